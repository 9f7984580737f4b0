"""Trains LeNet, written as a formula in lenet.nl, on real handwritten digits.

The images are scikit-learn's digits (1797 of 8x8 pixels, from the UCI optical recognition set); a fifth is kept for the
test. They are taken as they are, not upsampled, with 3x3 kernels padded by one pixel. The parameters are plain tensors:
the formula says what is computed from them, Adam changes them, and torch differentiates the compiled function.

    python examples/digits.py --epochs 30 --seed 0
"""

from __future__ import annotations

import argparse
from math import prod
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import nll_loss
from tqdm import tqdm

import namedlayers as nl

FORMULA = Path(__file__).with_name("lenet.nl")
BATCH = 64

# The sizes of the axes that the parameters have; the formula finds all others from the image.
SIZES = {"chans": 1, "chans'": 16, "chans''": 32, "kh": 3, "kw": 3, "layer": 2 * 2 * 32, "hidden": 64, "class": 10}
PARAMETERS = {
    "W1": ["chans'", "chans", "kh", "kw"],
    "b1": ["chans'"],
    "W2": ["chans''", "chans'", "kh", "kw"],
    "b2": ["chans''"],
    "V1": ["hidden", "layer"],
    "c1": ["hidden"],
    "V2": ["class", "hidden"],
    "c2": ["class"],
}


def main(argv: list[str] | None = None) -> float:
    """Trains, reports, and returns the accuracy on the test images."""
    options = arguments().parse_args(argv)
    torch.set_num_threads(options.threads)
    random = torch.Generator().manual_seed(options.seed)
    lenet = nl.load(FORMULA).lenet

    train, test = digits()
    parameters = {name: initial(axes, random) for name, axes in PARAMETERS.items()}
    optimizer = torch.optim.Adam(parameters.values(), lr=3e-3)
    with tqdm(range(options.epochs), unit="epoch") as epochs:
        for _ in epochs:
            for images, labels in batches(*train, random):
                optimizer.zero_grad()
                loss = nll_loss(lenet(images, **parameters), labels)
                loss.backward()
                optimizer.step()
            epochs.set_postfix(loss=f"{loss.item():.4f}")

    with torch.no_grad():
        images, labels = test
        accuracy = (lenet(images, **parameters).argmax(-1) == labels).double().mean().item()
    print(f"The formula ({FORMULA.name}):\n\n{FORMULA.read_text(encoding='utf-8')}")
    print(f"What it became:\n\n{excerpt(lenet.code, lenet.name)}\n")
    print(f"Accuracy on {len(labels)} test images: {accuracy:.2%}")
    return accuracy


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train LeNet, written as a formula, on scikit-learn's digits.")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training images (30)")
    parser.add_argument("--seed", type=int, default=0, help="of the first parameters and of the batches (0)")
    parser.add_argument("--threads", type=int, default=1, help="that torch may use; more gain nothing here (1)")
    return parser


Labelled = tuple[torch.Tensor, torch.Tensor]


def digits() -> tuple[Labelled, Labelled]:
    """Images [image, chans, height, width] between 0 and 1 with their labels: four fifths to train, one to test."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(data.target)
    # The split is the same for every seed, so that accuracies can be compared.
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    train, test = order.tensor_split([len(order) * 4 // 5])
    return (images[train], labels[train]), (images[test], labels[test])


def initial(axes: list[str], random: torch.Generator) -> torch.Tensor:
    """He's initial values for a weight, whose first axis is its output's; zeros for a bias."""
    shape = [SIZES[axis] for axis in axes]
    fan_in = prod(shape[1:])
    values = torch.randn(shape, generator=random) * (2 / fan_in) ** 0.5 if len(axes) > 1 else torch.zeros(shape)
    return values.requires_grad_()


def batches(images: torch.Tensor, labels: torch.Tensor, random: torch.Generator) -> list[Labelled]:
    order = torch.randperm(len(labels), generator=random)
    return [(images[batch], labels[batch]) for batch in order.split(BATCH)]


def excerpt(code: str, name: str, lines: int = 12) -> str:
    """The head of the generated function, and the lines before its first return: the checks of sizes are left out, and
    what stands above it."""
    listed = code.splitlines()
    begin = next(at for at, line in enumerate(listed) if line.startswith(f"def {name}("))
    head, *body = listed[begin:]
    end = next(at for at, line in enumerate(body) if line.lstrip().startswith("return"))
    return "\n".join([head.split("  #")[0], "    ...", *body[max(0, end - lines + 1) : end + 1]])


if __name__ == "__main__":
    main()
