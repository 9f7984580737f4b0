"""Loops that are one operator, run in place and differentiated as loops are elsewhere.

In: the function of a step, its `Loop`, the `Record` of its gradient if there is one. Out: what `scan_operator` asks
for: all values of all steps, stacked in front, and gradients from what comes back to these. What always holds: the
function that runs in place is made when it is first wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from namedlayers.emit.log_products.shares import TooSmall
from namedlayers.emit.loops import in_blocks, in_place
from namedlayers.emit.loops.compiled_loops import Compiled
from namedlayers.emit.loops.recorded import Record, Slope
from namedlayers.emit.loops.scanning import Loop

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction


@dataclass(frozen=True, eq=False)
class Whole:
    """`step`: the function of a step, of whose sizes the ones `chosen` are taken; `record`: its gradient;
    `compiled`: whether the inductor is to compile it."""

    step: BodyFunction
    loop: Loop
    chosen: tuple[int, ...]
    record: Record | None
    compiled: bool = False

    @property
    def function(self) -> Callable[..., Any]:
        """The step, of all sizes."""
        if self.record is None:
            return self.step.function
        count, function, chosen = len(self.loop.scanned), self.step.function, self.chosen
        return lambda *given: function(*given[:count], *(given[count + k] for k in chosen))

    def run(self, tensors: Sequence[Tensor], steps: int, sizes: Sequence[int]) -> Sequence[Tensor] | None:
        if self.compiled and steps > 1:
            made = self._compiled.run(tensors, steps, [sizes[k] for k in self.chosen])
            if made is not None:
                return made
        if self._in_place is None:
            return None
        found = self._in_place(*tensors, steps, *(sizes[k] for k in self.chosen))
        return (found,) if isinstance(found, Tensor) else found

    def gradients(
        self, tensors: Sequence[Tensor], steps: int, sizes: Sequence[int], slopes: Sequence[Tensor | None]
    ) -> Mapping[int, Tensor] | None:
        """The steps are run again, for what the gradient needs of them."""
        record = self.record
        if record is None or record.quick is None or not record.holds(sizes):
            return None
        found = record.quick(*tensors, steps, *record.of(1, sizes))
        if found is None:
            return None
        made = found if isinstance(found, tuple) else (found,)
        arriving = [_arriving(one, record, made, slopes, steps, tensors) for one in record.slopes]
        try:
            return in_blocks.gradients(record, tensors, [made[k] for k in record.kept], arriving, steps, sizes, {})
        except TooSmall:
            return None

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self.step, self.loop)

    @cached_property
    def _in_place(self) -> Callable[..., Any] | None:
        return in_place.alone(self.step, self.loop)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _arriving(
    of: Slope, record: Record, made: Sequence[Tensor], slopes: Sequence[Tensor | None], steps: int,
    tensors: Sequence[Tensor],
) -> Tensor:  # fmt: skip
    """What comes back to a result, where what comes back to all values of all steps is given, stacked in front. What
    comes back to the last step is among it."""
    if of.every < 0 and of.last < 0:
        slope = slopes[of.number]
        return torch.zeros_like(tensors[of.number]) if slope is None else slope[_last(record.loop)]
    place = of.every if of.every >= 0 else of.last
    number = record.loop.results[place][0]
    slope = slopes[number]
    if of.dim < 0:
        apart = any(one.every >= 0 and record.loop.results[one.every][0] == number for one in record.slopes)
        return made[place].new_zeros(made[place].shape) if slope is None or apart else slope[_last(record.loop)]
    if slope is None:
        shape = list(made[place].shape)
        if of.every < 0:
            shape.insert(of.dim, steps)
        return made[place].new_zeros(shape)
    return slope.movedim(0, of.dim)


def _last(loop: Loop) -> int:
    return 0 if loop.reverse else -1
