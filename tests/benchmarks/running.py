"""One workload is run: all sides must agree, then they are timed by turns, and what they hold is measured.

In: a workload and an `Effort`. Out: a row of figures, as JSON holds it. What always holds: nothing is timed that has
not agreed, values and gradients, with the first form by hand.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from namedlayers.inspect.passes import both, forward, leaves
from namedlayers.inspect.roofline import Machine
from namedlayers.inspect.timing import Clock, Interval, Side, intervals, peak_bytes, watched
from tests.benchmarks.generated import CODE, generated
from tests.benchmarks.sides import OURS, Sides, is_compiled, make_all, parameters, share, sides_of
from tests.benchmarks.workload import Formula, Function, Sizes, Workload

Row = dict[str, Any]
Figures = dict[str, dict[str, Any]]

MEASURES = ("forward", "both")
"""Forward without gradients; forward and backward."""


@dataclass(frozen=True)
class Effort:
    """How long is measured, and on what. `seconds` bounds each measure of a side, about."""

    quick: bool = False
    rounds: int = 31
    seconds: float = 0.4
    device: str = "cpu"
    compiled: bool = True
    clock: Clock = time.perf_counter

    def sizes(self, workload: Workload) -> Sizes:
        return workload.quick if self.quick else workload.full


def run(workload: Workload, effort: Effort, machine: Machine | None = None) -> Row:
    """The figures of a workload: seconds, bytes, seconds of compiling, and what was compiled, by side."""
    torch._dynamo.reset()
    sizes, device = effort.sizes(workload), effort.device
    sides = sides_of(workload, compiled=effort.compiled)
    functions, figures = _first_calls(sides, workload, effort)
    once = workload.once and not effort.quick
    check_agreement(workload, functions, sides, workload.quick if once else sizes, device)
    for measure in MEASURES if workload.backward else MEASURES[:1]:
        calls = _calls(functions, sides, workload.tensors(sizes, device), measure)
        seconds, held = _once(calls, effort) if once else _by_turns(calls, effort)
        for name in calls:
            found = seconds[name]
            figures[name] |= {
                measure: found.median, f"{measure}_low": found.low, f"{measure}_high": found.high,
                f"{measure}_bytes": held[name],
            }  # fmt: skip
    row: Row = {"group": workload.group, "sizes": dict(sizes), "sides": figures, "left_out": sides.left_out}
    if machine is not None and isinstance(workload.ours, Formula):
        cost = workload.ours.make().specialize(*workload.tensors(sizes, device)).cost()
        row["bound"] = {"flops": cost.flops, "bytes": cost.bytes, "seconds": machine.seconds(cost)}
    return row


def check_agreement(
    workload: Workload, functions: Mapping[str, Function], sides: Sides, sizes: Sizes, device: str = "cpu"
) -> None:
    """Raises AssertionError for a side whose values or gradients are not those of the first form by hand."""
    first = next(iter(workload.by_hand))
    tensors = workload.tensors(sizes, device)
    wanted = _results(functions[first], tensors, workload.backward)
    for name, function in functions.items():
        found = _results(function, tensors, workload.backward and name not in sides.forward_only)
        for what, one, other in zip(("value", *("gradient",) * len(found)), found, wanted, strict=False):
            scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
            try:
                torch.testing.assert_close(
                    one.reshape(other.shape), other, rtol=workload.tolerance, atol=workload.tolerance * scale
                )
            except AssertionError as error:
                message = f"{workload.name}: the {what} of `{name}` is not that of `{first}`: {error}"
                raise AssertionError(message) from None


def agreeing(workload: Workload, sizes: Sizes, *, compiled: bool = False) -> list[str]:
    """The names of the sides that were found to agree. Raises AssertionError for one that does not."""
    sides = sides_of(workload, compiled=compiled)
    check_agreement(workload, make_all(workload, sides), sides, sizes)
    return list(sides.made)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _first_calls(sides: Sides, workload: Workload, effort: Effort) -> tuple[dict[str, Function], Figures]:
    """All sides as functions, and the seconds from nothing to the first result, where something is compiled."""
    sizes = workload.quick if workload.once else effort.sizes(workload)
    tensors = workload.tensors(sizes, effort.device)
    functions: dict[str, Function] = {}
    figures: Figures = {}
    for name, make in sides.made.items():
        start = time.perf_counter()
        function = functions[name] = _placed(make(), effort.device)
        figures[name] = {}
        if name == OURS and isinstance(workload.ours, Formula):
            function.specialize(*tensors)  # type: ignore[attr-defined]
        elif is_compiled(name):
            figures[name] |= _code("forward", forward(function, tensors), workload)
        else:
            continue
        figures[name]["compile"] = time.perf_counter() - start
    for function in functions.values():
        function(*tensors)  # sizes of lazy modules are found
    share(workload, functions)
    if workload.backward:
        for name in filter(is_compiled, functions):
            call = both(functions[name], tensors, parameters(functions[name]))
            figures[name] |= _code("both", call, workload)
    return functions, figures


def _code(measure: str, call: Side, workload: Workload) -> dict[str, str | None]:
    """What the call has compiled, unless what is measured is at other sizes."""
    found = generated(call)
    return {} if workload.once else {f"{measure}{CODE}": found}


def _placed(function: Function, device: str) -> Function:
    return function.to(device) if isinstance(function, torch.nn.Module) else function


def _by_turns(calls: Mapping[str, Side], effort: Effort) -> tuple[dict[str, Interval], dict[str, int]]:
    seconds = intervals(
        calls,
        rounds=effort.rounds,
        calls=None,
        seconds=effort.seconds * len(calls),
        device=effort.device,
        clock=effort.clock,
    )
    return seconds, {name: peak_bytes(call, effort.device) for name, call in calls.items()}


def _once(calls: Mapping[str, Side], effort: Effort) -> tuple[dict[str, Interval], dict[str, int]]:
    with large_blocks_returned():
        found = {name: watched(call, effort.device, effort.clock) for name, call in calls.items()}
    seconds = {name: Interval(one.seconds, one.seconds, one.seconds) for name, one in found.items()}
    return seconds, {name: one.bytes for name, one in found.items()}


@contextmanager
def large_blocks_returned() -> Iterator[None]:
    """glibc's allocator gives large blocks back, as it does unless told otherwise: kept ones of many sizes, between
    which small ones lie, would soon fill the memory."""
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is None:
        yield
        return
    adjust(MMAP_THRESHOLD, 2**24)
    try:
        yield
    finally:
        adjust(MMAP_THRESHOLD, 2**30)


MMAP_THRESHOLD = -3
"""Its number in malloc.h."""


def _calls(functions: Mapping[str, Function], sides: Sides, tensors: list[Tensor], measure: str) -> dict[str, Side]:
    if measure == "forward":
        return {name: forward(function, tensors) for name, function in functions.items()}
    learning = {name: function for name, function in functions.items() if name not in sides.forward_only}
    return {name: both(function, tensors, parameters(function)) for name, function in learning.items()}


def _results(function: Function, tensors: list[Tensor], backward: bool) -> tuple[Tensor, ...]:
    """The value, and the gradients to all that is learned."""
    torch.manual_seed(0)  # of what draws
    if not backward:
        with torch.no_grad():
            return (function(*tensors),)
    given = leaves(tensors)
    found = function(*given)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0), dtype=found.dtype).to(found.device)
    learned = [one for one in given if one.requires_grad] + parameters(function)
    gradients = torch.autograd.grad(found, learned, weights, allow_unused=True, materialize_grads=True)
    return found.detach(), *gradients
