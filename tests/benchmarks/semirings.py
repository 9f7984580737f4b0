"""The log semiring and planned contractions, beside the forms that one writes by hand.

    python tests/benchmarks/semirings.py [--threads 2] [--rounds 15]

All sides compute the same from the same tensors; that they agree is asserted before anything is timed. `plain` is
shift, exponential, matrix product, logarithm, which is wrong where the product underflows; `broadcast` holds the outer
sum.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from turns import medians, report

import namedlayers as nl

MIX = nl.compile(
    "def mix(X[fold, batch, unit]; W[fold, unit, out]) = X @[unit] W", semiring="log", semiring_inputs=["X", "W"]
)
LINEAR = nl.compile("""
def attention(Q[query, key], K[seq, key], V[seq, val]) -> [query, val]:
    S = exp(Q) @[key] exp(K)
    return (S @[seq] V) / sum[seq](S)
""")


def plain(x: Tensor, w: Tensor) -> Tensor:
    top, side = x.amax(-1, keepdim=True), w.amax(-2, keepdim=True)
    return torch.log(torch.exp(x - top) @ torch.exp(w - side)) + top + side


def broadcast(x: Tensor, w: Tensor) -> Tensor:
    return torch.logsumexp(x.unsqueeze(-1) + w.unsqueeze(-3), -2)


def quadratic(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("qk,sk->qs", q.exp(), k.exp())
    return torch.einsum("qs,sv->qv", scores, v) / scores.sum(1, keepdim=True)


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    keys = k.exp()
    return (q.exp() @ (keys.t() @ v)) / (q.exp() @ keys.sum(0)).unsqueeze(1)


def compare(
    name: str, sides: dict[str, Callable[..., Tensor]], tensors: Sequence[Tensor], base: str, rounds: int
) -> None:
    """One table for the forward pass, one with the backward pass."""
    results = [side(*tensors) for side in sides.values()]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-4)
    learned = [tensor.clone().requires_grad_() for tensor in tensors]
    weigh = torch.randn_like(results[0])

    def both(side: Callable[..., Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(side(*learned), learned, weigh)

    forward = {key: functools.partial(side, *tensors) for key, side in sides.items()}
    report(f"{name}, forward", medians(forward, rounds=rounds), base)
    backward = {key: both(side) for key, side in sides.items()}
    report(f"{name}, forward and backward", medians(backward, rounds=rounds), base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    log = {"formula": MIX, "plain": plain, "broadcast": broadcast}
    compare("log product, 64 folds, 256 x 64 x 64", log, (torch.randn(64, 256, 64), torch.randn(64, 64, 64)), "plain",
            arguments.rounds)  # fmt: skip
    far = {"formula": MIX, "broadcast": broadcast}
    wide = (torch.randn(64, 256, 64) * 300, torch.randn(64, 64, 64) * 300)
    compare("the same, of logarithms of scale 300", far, wide, "broadcast", max(3, arguments.rounds // 3))
    tensors = (torch.randn(4096, 64), torch.randn(4096, 64), torch.randn(4096, 64))
    attention = {"formula": LINEAR, "linear by hand": linear, "quadratic by hand": quadratic}
    compare("linear attention written quadratically, 4096 tokens, 64 features", attention, tensors, "linear by hand",
            max(3, arguments.rounds // 3))  # fmt: skip


if __name__ == "__main__":
    main()
