"""Loops beside their floor: the fewest calls of torch that a step can be, and all else outside of the loop.

In: an `Effort`. Out: a table, as rows of text. What always holds: the floor computes the result in place, as nothing
that is differentiated may; of gradients it has the products only, or what is derived by hand, where somebody has done
so (`derived_by_hand.py`). So no form of torch calls goes below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.inspect.passes import both, forward
from namedlayers.inspect.timing import medians
from tests.benchmarks import cells, loops
from tests.benchmarks.derived_by_hand import DERIVED
from tests.benchmarks.records import Row
from tests.benchmarks.running import Effort
from tests.benchmarks.workloads.recurrences import STEPS, TINY


def floors(effort: Effort) -> Row:
    """The formulas of `loops.LOOPS` and `cells.CELLS` at all sizes: ratios to the loop, to the floor, and to the loop
    of somebody who takes out of it what he can."""
    lines = []
    for sizes in [TINY] if effort.quick else STEPS.values():
        for loop in (*loops.LOOPS, *cells.CELLS):
            tensors = [one.to(effort.device) for one in loop.tensors(sizes)]
            formula = nl.compile(loop.text, loop.formula)
            functions = {"formula": formula, "loop": loop.by_hand, "hoisted": loop.hoisted}
            passes: tuple[dict[str, Callable[[], object]], ...] = (
                {name: forward(function, tensors) for name, function in functions.items()},
                {name: both(function, tensors) for name, function in functions.items()},
            )
            told = []
            for backward, sides in enumerate(passes):
                sides["floor"] = torch.no_grad()(_floor(loop, tensors, bool(backward)))
                told.append(
                    medians(
                        sides, rounds=effort.rounds, calls=None, seconds=3 * effort.seconds,
                        device=effort.device, clock=effort.clock,
                    )
                )  # fmt: skip
            pairs = [" / ".join(f"{one[first] / one[second]:.2f}" for one in told) for first, second in _COMPARED]
            size = "{time} steps, batch {batch}, {input} inputs, {hidden} hidden".format_map(sizes)
            lines.append((f"{loop.name}, {size}", *pairs))
    return {"head": ("loop", *(f"{first} to the {second}" for first, second in _COMPARED)), "lines": lines}


def _floor(loop: loops.Loop | cells.Cell, tensors: Sequence[Tensor], backward: bool) -> Callable[[], object]:
    if not backward or loop.name not in DERIVED:
        return partial(loop.floor, tensors, backward=backward)
    return partial(DERIVED[loop.name], torch.ones_like(loop.floor(tensors)), *tensors)


_COMPARED = (("formula", "loop"), ("floor", "loop"), ("formula", "floor"), ("formula", "hoisted"))
