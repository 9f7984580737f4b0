"""What a call costs beside the torch operations that it runs: medians over rounds in which all sides take turns.

    python tests/benchmarks/call_overhead.py

The tensors are 4x4, so that next to nothing but overhead is measured. `plain` is the Python function that a person
would write, `compiled` the one that the compiler wrote, called directly; the others call the formula.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from turns import medians

import namedlayers as nl

MIX = """
def mix(Q[query, key], K[seq, key], V[seq, val]; scale = 2.0, power = 2) -> [query, val]:
    Y = (Q @[key] K * scale) @[seq] V
    repeat power as i:
        Y = tanh(Y)
    return Y
"""


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    y = torch.matmul(torch.matmul(q, k.mT) * 2.0, v)
    return torch.tanh(torch.tanh(y))


def sides() -> dict[str, Callable[[], object]]:
    """The ways of calling that are compared."""
    mix = nl.compile(MIX)
    q, k, v = (torch.randn(4, 4) for _ in range(3))
    double = v.double()
    names = ("query key", "seq key", "seq val")
    nq, nk, nv = (nl.named(tensor, axes) for tensor, axes in zip((q, k, v), names, strict=True))
    compiled = mix.specialize(q, k, v).compiled.function
    return {
        "plain": lambda: plain(q, k, v),
        "compiled": lambda: compiled(q, k, v),
        "positional": lambda: mix(q, k, v),
        "by name": lambda: mix(Q=q, K=k, V=v),
        "a number at run time": lambda: mix(q, k, v, scale=3.0),
        "a static option": lambda: mix(q, k, v, power=2),
        "named tensors": lambda: mix(nq, nk, nv),
        "mixed precision": lambda: mix(q, k, double),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = medians(sides(), rounds=2000, calls=10)
    for name, seconds in found.items():
        print(f"{name:22} {seconds * 1e6:6.2f} µs   {(seconds - found['plain']) * 1e6:+6.2f} µs over plain")
