"""Loops beside their floor: what would be left if nothing but products and activations took any time.

In: an `Effort`. Out: a table, as rows of text. What always holds: the floor computes nothing of use; it is what no
order of the steps can go below.
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
        for name, text, hand, gates, states, count in loops.LOOPS:
            steps, batch, inputs, hidden = (sizes[axis] for axis in ("time", "batch", "input", "hidden"))
            state = (hidden,) if name.startswith("independent") else (hidden, hidden)
            shapes = [(steps, batch, inputs), *[(batch, hidden)] * states]
            shapes += [(hidden, inputs), state, (hidden,)] * count
            tensors = [(torch.randn(shape) * 0.1).to(effort.device) for shape in shapes]
            formula, known = nl.compile(text), gates(*tensors[1 + states :])
            least = partial(loops.floor, tensors[0], tensors[1], known)
            passes = (
                {"formula": forward(formula, tensors), "loop": forward(hand, tensors)},
                {"formula": both(formula, tensors), "loop": both(hand, tensors)},
            )
            told = []
            for backward, sides in enumerate(passes):
                sides["floor"] = torch.no_grad()(partial(least, backward=bool(backward)))
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
            lines.append((f"{name}, {steps} steps, batch {batch}, {inputs} inputs, {hidden} hidden", *pairs))
    return {"head": ("loop", "formula to the loop", "floor to the loop", "formula to the floor"), "lines": lines}
