"""What a call costs beside the torch operations that it runs: medians over rounds in which all sides take turns.

    python tests/benchmarks/call_overhead.py

The tensors are 4x4, so that next to nothing but overhead is measured. `plain` is the Python function that a person
would write, `compiled` the one that the compiler wrote, called directly; the others call the formula. Of modules, the
first is the one that a person would write.
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


LAYERS = """
layer Linear[input -> output](X[input]) -> [output]:
    param W[output, input] ~ kaiming_uniform(input)
    param b[output] ~ zeros
    return tanh(W @[input] X + b)

layer Twice[layer](X[layer]) -> [layer]:
    up = Linear[layer -> hidden]
    down = Linear[hidden -> layer]
    return down(up(X))

layer Mean(X[batch, chans]; momentum = 0.1) -> [batch, chans]:
    state mean_so_far[chans] ~ zeros
    m = mean[batch](X)
    if training:
        mean_so_far = (1 - momentum) * mean_so_far + momentum * m
    return X - m
"""


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = torch.nn.Parameter(torch.randn(4, 4))
        self.b = torch.nn.Parameter(torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.nn.functional.linear(x, self.W, self.b))


class Twice(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = Linear(), Linear()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.up(x))


class Mean(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.momentum = 0.1
        self.mean_so_far: torch.Tensor
        self.register_buffer("mean_so_far", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        m = x.mean(0)
        if self.training:
            with torch.no_grad():
                self.mean_so_far.copy_((1 - self.momentum) * self.mean_so_far + self.momentum * m)
        return x - m


def modules() -> dict[str, tuple[torch.nn.Module, torch.nn.Module]]:
    """By hand, and as a formula."""
    made = nl.loads(LAYERS)
    return {
        "two parameters": (Linear(), made.Linear(input=4, output=4)),
        "two parts": (Twice(), made.Twice(layer=4, hidden=4)),
        "a state": (Mean(), made.Mean(chans=4)),
    }


def called(module: torch.nn.Module, x: torch.Tensor) -> Callable[[], object]:
    return lambda: module(x)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = medians(sides(), rounds=2000, calls=10)
    for name, seconds in found.items():
        print(f"{name:22} {seconds * 1e6:6.2f} µs   {(seconds - found['plain']) * 1e6:+6.2f} µs over plain")
    for name, pair in modules().items():
        x = torch.randn(4, 4)
        found = medians(dict(zip(("by hand", "formula"), (called(one, x) for one in pair), strict=True)), rounds=2000)
        by_hand, formula = found.values()
        print(f"{name:22} {formula * 1e6:6.2f} µs   {(formula - by_hand) * 1e6:+6.2f} µs over a module by hand")
