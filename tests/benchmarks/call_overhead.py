"""What a call costs beside the torch operations that it runs, and what compiling and importing cost.

In: an `Effort`. Out: tables, as rows of text. What always holds: all ways of calling take turns, in one thread.

The tensors are 4x4, so that next to nothing but overhead is measured. `plain` is the Python function that a person
would write, `compiled` the one that the compiler wrote, called directly; the others call the formula. Of modules, the
first is the one that a person would write.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import torch

import namedlayers as nl
from namedlayers.inspect.timing import medians
from tests.benchmarks.records import Row
from tests.benchmarks.running import Effort
from tests.benchmarks.workloads.attention import PLAIN
from tests.benchmarks.workloads.blocks import LENET

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


def calls(effort: Effort) -> Row:
    """Ways of calling a function of 4x4 tensors."""
    found = _alone(sides(), effort, calls=10)
    lines = [(TOLD[name], _microseconds(one), _more(one - found["plain"])) for name, one in found.items()]
    return {"head": ("way of calling", "time", "over plain Python"), "lines": lines}


def module_calls(effort: Effort) -> Row:
    """Modules, beside an `nn.Module` by hand that does the same."""
    lines = []
    for name, pair in modules().items():
        x = torch.randn(4, 4)
        found = _alone(dict(zip(("by hand", "formula"), (called(one, x) for one in pair), strict=True)), effort)
        by_hand, formula = found.values()
        lines.append((name, _microseconds(by_hand), _microseconds(formula), _more(formula - by_hand)))
    return {"head": ("module", "by hand", "formula", "more"), "lines": lines}


def compiling(effort: Effort) -> Row:
    """From text to what runs, the grammar and the prelude being loaded; and importing it all."""
    q = torch.randn(1, 2, 4, 4)
    shapes = ((2, 1, 28, 28), (6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 256), (120,), (10, 120), (10,))
    tensors = [torch.randn(shape) for shape in shapes]
    found = _alone(
        {
            "attention, from text to a callable": lambda: PLAIN.make().specialize(q, q, q),
            "LeNet, from text to a callable": lambda: nl.compile(LENET).specialize(*tensors),
        },
        effort,
        most=15,
    )
    found["importing namedlayers with its compiler, after torch and funsor"] = _importing(3 if effort.quick else 7)
    return {"head": ("what", "time"), "lines": [(name, f"{one * 1e3:.3g} ms") for name, one in found.items()]}


TOLD = {
    "plain": "plain Python function with the same operations",
    "compiled": "the compiled function itself (all checks of sizes included)",
    "positional": "tensors by position",
    "by name": "tensors by name",
    "a number at run time": "with a number at run time (`scale=3.0`)",
    "a static option": "with a static option (`power=2`)",
    "named tensors": "named tensors",
    "mixed precision": "mixed precisions (a tensor is converted)",
}


# --- helpers ----------------------------------------------------------------------------------------------------------


def _alone(
    sides: dict[str, Callable[[], object]], effort: Effort, calls: int = 1, most: int = 2000
) -> dict[str, float]:
    """Medians with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return medians(sides, rounds=20 if effort.quick else most, calls=calls, clock=effort.clock)
    finally:
        torch.set_num_threads(threads)


def _importing(times: int) -> float:
    code = (
        "import time, torch, funsor; t = time.perf_counter(); import namedlayers; namedlayers.compile; "
        "print(time.perf_counter() - t)"
    )
    taken = sorted(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(times))
    return taken[times // 2]


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def _more(seconds: float) -> str:
    return f"{seconds * 1e6:+.1f} µs"
