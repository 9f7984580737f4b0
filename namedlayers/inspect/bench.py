"""A compiled formula against itself as it is written, under torch.compile or not, and against what the machine allows.

In: a function or a module, and sizes. Out: a `Bench`, and a table of it. What always holds: all ways compute the same,
or it is an error; what is not differentiable has no backward pass to be timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import torch
from rich.table import Table
from torch import Tensor

from namedlayers.emit.build import build
from namedlayers.errors import FormulaError
from namedlayers.inspect.graph import rendered
from namedlayers.inspect.passes import Call, both, differentiable, forward, results_of
from namedlayers.inspect.roofline import Machine, measured
from namedlayers.inspect.timing import Side, medians, peak_bytes
from namedlayers.inspect.views import examples
from namedlayers.plan.cost import Figures
from namedlayers.plan.written import written
from namedlayers.program.numbering import number

FORMULA, NAIVE, COMPILED = "formula", "as it is written", "the same, torch.compile"
COLUMNS = ("way", "forward", "ratio", "memory", "of bound", "with backward", "ratio", "memory", "making")


@dataclass(frozen=True, slots=True)
class Effort:
    """`seconds` bounds each measure of each way, about. `compiled`: torch.compile takes part, which takes its time."""

    device: str = "cpu"
    rounds: int = 31
    seconds: float = 2.0
    compiled: bool = True


@dataclass(frozen=True, slots=True)
class Pass:
    """Seconds, and bytes held at once beside the inputs."""

    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Way:
    """One way of running; `making`: the seconds from the program to the first result. No `both`: no gradients."""

    making: float
    forward: Pass
    both: Pass | None


@dataclass(frozen=True, slots=True)
class Bench:
    """`bound`: the least seconds in which the machine can do what the formula's plan does, forward."""

    ways: Mapping[str, Way]
    cost: Figures
    machine: Machine
    bound: float


def bench(function: Any, sizes: Mapping[str, int], effort: Effort = Effort()) -> Bench:
    """Runs a function, or a module, on random tensors whose axes have these sizes. Raises FormulaError for a size that
    is missing.

    >>> import namedlayers as nl
    >>> dot = nl.compile("def dot(a[i], b[i]) = a @[i] b")
    >>> bench(dot, {"i": 8}, Effort(rounds=3, compiled=False)).cost.flops
    16
    """
    tensors = arguments(function, sizes, effort.device)
    given = list(tensors.values())
    owned = list(function.parameters()) if isinstance(function, torch.nn.Module) else []
    calls, making = _calls(function, tensors, effort.compiled)
    _check_alike(calls, given)
    first = _measured({name: forward(call, given) for name, call in calls.items()}, effort)
    learning = calls if differentiable(calls[FORMULA], given, owned) else {}
    second = _measured({name: both(call, given, owned) for name, call in learning.items()}, effort)
    ways = {name: Way(making[name], first[name], second.get(name)) for name in calls}
    cost, machine = function.specialize(**tensors).cost(), measured(effort.device)
    return Bench(ways, cost, machine, machine.seconds(cost))


def arguments(function: Any, sizes: Mapping[str, int], device: str) -> dict[str, Tensor]:
    """Random tensors for a call without optional ones: normal numbers, fair coins; integers, which may be coordinates
    of anything, are 0."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, _, example in examples(function, sizes):
        if example.dtype == torch.bool:
            tensor = torch.rand(example.shape, generator=generator) < 0.5
        elif example.dtype.is_floating_point or example.dtype.is_complex:
            tensor = torch.randn(example.shape, generator=generator, dtype=example.dtype)
        else:
            tensor = torch.zeros(example.shape, dtype=example.dtype)
        found[name] = tensor.to(device)
    return found


def table(found: Bench, terminal: TextIO | None = None) -> str:
    """The figures, the fastest way first, and the bound below; given a terminal, in its width and colours."""
    shown = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold underline")
    for column in shown.columns[1:]:
        column.justify = "right"
    ours = found.ways[FORMULA]
    for name, way in sorted(found.ways.items(), key=lambda item: item[1].forward.seconds):
        first, second = _cells(way.forward, ours.forward), _cells(way.both, ours.both)
        shown.add_row(name, *first, f"{found.bound / way.forward.seconds:.0%}", *second, _time(way.making))
    cost, machine = found.cost, found.machine
    bound = (
        f"bound: {_time(found.bound)}, forward, for {cost.flops:,} operations and {cost.bytes:,} bytes,\n"
        f"at {machine.flops / 1e9:,.0f} GFLOP/s and {machine.bandwidth / 1e9:,.0f} GB/s, measured here"
    )
    if any(found.bound > way.forward.seconds for way in found.ways.values()):
        bound += "; above 100%: what is moved stays in the caches"
    return f"{rendered(shown, terminal)}\n\n{bound}"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _calls(function: Any, tensors: Mapping[str, Tensor], compiled: bool) -> tuple[dict[str, Call], dict[str, float]]:
    """The ways of running, by position; and how long each took to make."""
    makers: dict[str, Callable[[], Call]] = {
        FORMULA: lambda: _by_position(function, list(tensors)),
        NAIVE: lambda: _as_written(function, tensors),
    }
    if compiled:
        makers[COMPILED] = lambda: torch.compile(_as_written(function, tensors), dynamic=False)
    calls, making = {}, {}
    for name, make in makers.items():
        start = time.perf_counter()
        calls[name] = make()
        forward(calls[name], list(tensors.values()))()
        making[name] = time.perf_counter() - start
    return calls, making


def _by_position(function: Any, names: list[str]) -> Call:
    return lambda *given: function(**dict(zip(names, given, strict=True)))


def _as_written(function: Any, tensors: Mapping[str, Tensor]) -> Call:
    """What runs for these tensors without anything that a planner knows."""
    made = function.specialize(**tensors)
    plain = build(made.program, written(number(made.program))).function
    order = [list(tensors).index(one.name) for one in made.program.inputs if not one.owned]
    if made.owned is None:
        return lambda *given: plain(*[given[k] for k in order])
    return lambda *given: made.owned.run(plain, [given[k] for k in order], made.owned.find(function))


def _measured(sides: Mapping[str, Side], effort: Effort) -> dict[str, Pass]:
    seconds = medians(
        sides, rounds=effort.rounds, calls=None, seconds=effort.seconds * len(sides), device=effort.device
    )
    return {name: Pass(seconds[name], peak_bytes(side, effort.device)) for name, side in sides.items()}


def _check_alike(calls: Mapping[str, Call], given: list[Tensor]) -> None:
    found = {}
    for name, call in calls.items():
        torch.manual_seed(0)  # of what draws
        found[name] = results_of(forward(call, given)())
    for name, results in found.items():
        for one, other in zip(results, found[FORMULA], strict=True):
            finite = other[other.isfinite()].abs()
            scale = max(1.0, float(finite.max())) if finite.numel() else 1.0
            if not torch.allclose(one, other, rtol=1e-3, atol=1e-3 * scale, equal_nan=True):
                message = f"the formula and the way {name!r} give different numbers for random tensors"
                hint = "an inner result of one of them overflows: scale the formula, while it is timed"
                raise FormulaError("NL0650", message, hint=hint)


def _cells(one: Pass | None, ours: Pass | None) -> tuple[str, str, str]:
    if one is None or ours is None:
        return "", "", ""
    return _time(one.seconds), f"{one.seconds / ours.seconds:.2f}", _amount(one.bytes)


def _time(seconds: float) -> str:
    """
    >>> [_time(one) for one in (2.5, 0.0123, 0.0000456)]
    ['2.50 s', '12.30 ms', '45.6 µs']
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.1f} µs"


def _amount(found: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if found >= size:
            return f"{found / size:.3g} {unit}"
    return f"{found:.0f} B"
