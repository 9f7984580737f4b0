"""Loops beside their floor: the fewest calls of torch that a step can be, and all else outside of the loop.

In: an `Effort`. Out: a table, as rows of text. What always holds: the floor computes the result in place, as nothing
that is differentiated may; of gradients it has the products only. So no form of torch calls goes below it.
"""

from __future__ import annotations

from functools import partial

import torch

import namedlayers as nl
from namedlayers.inspect.passes import both, forward
from namedlayers.inspect.timing import medians
from tests.benchmarks import loops
from tests.benchmarks.records import Row
from tests.benchmarks.running import Effort
from tests.benchmarks.workloads.recurrences import STEPS, TINY


def floors(effort: Effort) -> Row:
    """The formulas of `loops.LOOPS` at all sizes: seconds of the floor, and ratios to it and to the loop."""
    lines = []
    for sizes in [TINY] if effort.quick else STEPS.values():
        for loop in loops.LOOPS:
            tensors = [one.to(effort.device) for one in loop.tensors(sizes)]
            formula = nl.compile(loop.text)
            passes = (
                {"formula": forward(formula, tensors), "loop": forward(loop.by_hand, tensors)},
                {"formula": both(formula, tensors), "loop": both(loop.by_hand, tensors)},
            )
            told = []
            for backward, sides in enumerate(passes):
                sides["floor"] = torch.no_grad()(partial(loop.floor, tensors, backward=bool(backward)))
                told.append(
                    medians(
                        sides, rounds=effort.rounds, calls=None, seconds=3 * effort.seconds,
                        device=effort.device, clock=effort.clock,
                    )
                )  # fmt: skip
            pairs = [
                " / ".join(f"{one[first] / one[second]:.2f}" for one in told)
                for first, second in (("formula", "loop"), ("floor", "loop"), ("formula", "floor"))
            ]
            size = "{time} steps, batch {batch}, {input} inputs, {hidden} hidden".format_map(sizes)
            lines.append((f"{loop.name}, {size}", *pairs))
    return {"head": ("loop", "formula to the loop", "floor to the loop", "formula to the floor"), "lines": lines}
