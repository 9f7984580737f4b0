"""Trains the small GPT of gpt.nl on a text that ships with Python, the language reference, and lets it write.

The text is that of `help("if")` and the like (pydoc_data.topics, half a million characters); its last tenth is kept for
the test. In a copy of the repository, for a minute on two cores:

    pip install -c constraints.txt -e ".[gpt]"
    python examples/gpt.py --steps 1000 --seed 0
"""

from __future__ import annotations

import argparse
from pathlib import Path
from pydoc_data.topics import topics

import torch
from tqdm import tqdm

import namedlayers as nl

FORMULA = Path(__file__).with_name("gpt.nl")
WINDOW = 64  # characters that the model sees


def main(argv: list[str] | None = None) -> tuple[float, float, str]:
    """Trains, reports, and returns the bits a character of unseen text before and after, and a sample."""
    options = arguments().parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    text = "\n".join(topics.values())
    characters = sorted(set(text))
    number = {character: at for at, character in enumerate(characters)}
    numbers = torch.tensor([number[character] for character in text])
    train, test = numbers.split([len(text) * 9 // 10, len(text) - len(text) * 9 // 10])

    formulas = nl.load(FORMULA)
    model = formulas.GPT(vocab=len(characters), depth=options.depth)
    before = evaluate(model, test)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, options.steps + 1, pct_start=0.1)
    with tqdm(range(options.steps), unit="step") as steps:
        for step in steps:
            shown, following = batch(train, options.batch)
            loss = formulas.surprise(model(shown), following).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 50 == 0:
                tqdm.write(f"step {step:4}: {loss.item():.3f} bits a character")
    after = evaluate(model, test)
    print(f"Unseen text: {before:.3f} bits a character before, {after:.3f} after. It writes:\n")
    written = "".join(characters[at] for at in write(model, train[:1], options.length, options.temperature))
    print(written)
    return before, after, written


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train a small GPT, written as a formula, on Python's documentation.")
    parser.add_argument("--steps", type=int, default=1000, help="of training (1000)")
    parser.add_argument("--batch", type=int, default=16, help="windows of text a step (16)")
    parser.add_argument("--depth", type=int, default=4, help="blocks (4)")
    parser.add_argument("--rate", type=float, default=4e-3, help="the highest learning rate (0.004)")
    parser.add_argument("--length", type=int, default=500, help="characters to write (500)")
    parser.add_argument("--temperature", type=float, default=0.7, help="of what it writes; 0 < t <= 1 (0.7)")
    parser.add_argument("--seed", type=int, default=0, help="of the first parameters, the batches and the writing (0)")
    parser.add_argument("--threads", type=int, default=2, help="that torch may use (2)")
    return parser


def batch(text: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of the text, [window, seq], and what follows each of their characters."""
    starts = torch.randint(len(text) - WINDOW, (size, 1))
    places = starts + torch.arange(WINDOW)
    return text[places], text[places + 1]


@torch.no_grad()
def evaluate(model: torch.nn.Module, text: torch.Tensor, windows: int = 64) -> float:
    """Bits a character on windows spread evenly over a text."""
    starts = torch.linspace(0, len(text) - WINDOW - 1, windows).long()[:, None]
    places = starts + torch.arange(WINDOW)
    return nl.load(FORMULA).surprise(model(text[places]), text[places + 1]).mean().item()


@torch.no_grad()
def write(model: torch.nn.Module, text: torch.Tensor, length: int, temperature: float) -> list[int]:
    """The numbers of characters that the model writes after a text, one drawn after another."""
    choose = nl.load(FORMULA).choose
    for _ in range(length):
        following = choose(model(text[-WINDOW:]), temperature=temperature)
        text = torch.cat([text, following[None]])
    return text[-length:].tolist()


if __name__ == "__main__":
    main()
