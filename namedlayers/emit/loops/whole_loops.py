"""Loops that are one operator, run in place or compiled, and differentiated as loops are elsewhere.

In: the function of a step, its `Loop`, the `Record` of its gradient if there is one. Out: what `scan_operator` asks
for: all values of all steps, stacked in front, and gradients from what comes back to these. What always holds: the
functions that run are made when they are first wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from namedlayers.emit.log_products.shares import TooSmall
from namedlayers.emit.loops import in_blocks, in_place
from namedlayers.emit.loops.compiled_loops import Compiled, Quick
from namedlayers.emit.loops.recorded import Record, Slope
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.loops.written_out import no_steps

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction


AT_ONCE = 1 << 25
"""Up to so many bytes that it reads, a compiled gradient is taken of all steps at once: nearly nothing is made in
between, and each block would cost a call of what is compiled."""


@dataclass(frozen=True, eq=False)
class Whole:
    """`step`: the function of a step, of whose sizes the ones `chosen` are taken; `record`: its gradient;
    `compiled`: whether the inductor is to compile both; `keeps`: whether among the values of a step are those that the
    gradient takes."""

    step: BodyFunction
    loop: Loop
    chosen: tuple[int, ...]
    record: Record | None
    compiled: bool = False
    keeps: bool = False

    @property
    def function(self) -> Callable[..., Any]:
        """The step, of all sizes."""
        if self.record is None:
            return self.step.function
        count, function, chosen = len(self.loop.scanned), self.step.function, self.chosen
        return lambda *given: function(*given[:count], *(given[count + k] for k in chosen))

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """Which of a step's values the gradient takes, beside those that are carried."""
        if self.record is None or not self.keeps:
            return ()
        numbers = {number for number, _ in self._kept_results}
        return tuple(sorted(number for number in numbers if number >= self.loop.carries))

    @property
    def source(self) -> str:
        """What the inductor compiles of the loop; empty if that is nothing."""
        return self._compiled.source if self.compiled else ""

    @property
    def failures(self) -> Sequence[str]:
        """What the inductor should have compiled so far, and could not, with torch's reason."""
        backward = self._record.backward if self._record else None
        found = {
            f"`{self.step.name}`": self._compiled.failure,
            f"the gradient of `{self.step.name}`": backward.failure if isinstance(backward, Quick) else "",
        }
        return [f"{what}: {why}" for what, why in found.items() if why]

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
        self, tensors: Sequence[Tensor], steps: int, sizes: Sequence[int], slopes: Sequence[Tensor | None],
        made: Mapping[int, Tensor],
    ) -> Mapping[int, Tensor] | None:  # fmt: skip
        """From what was kept; where nothing was, the steps are run again for it."""
        record = self._record
        if record is None or not record.holds(sizes):
            return None
        if self.keeps:
            kept = [made[number].movedim(0, dim) for number, dim in self._kept_results]
        elif record.quick is None:
            return None
        else:
            found = record.quick(*tensors, steps, *record.of(1, sizes))
            if found is None:
                return None
            kept = [(found if isinstance(found, tuple) else (found,))[k] for k in record.kept]

        def like(number: int) -> Tensor:
            return no_steps(self.function, tensors, self.loop.scanned, sizes)[number]

        arriving = [_arriving(one, record.slopes, self.loop, like, slopes, steps, tensors) for one in record.slopes]
        try:
            if self.compiled and _nbytes([*tensors, *kept]) <= AT_ONCE:
                return in_blocks.at_once(record, tensors, kept, arriving, steps, sizes)
            return in_blocks.gradients(record, tensors, kept, arriving, steps, sizes, {})
        except TooSmall:
            return None

    @property
    def _kept_results(self) -> list[tuple[int, int]]:
        """The values that the gradient takes, each with the dimension along which it takes all steps."""
        assert self.record is not None
        return [self.record.keeping.results[k] for k in self.record.kept]

    @cached_property
    def _record(self) -> Record | None:
        if self.record is None or not self.compiled:
            return self.record
        return replace(self.record, backward=Quick(self.record.backward))

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self.step, self.loop)

    @cached_property
    def _in_place(self) -> Callable[..., Any] | None:
        return in_place.alone(self.step, self.loop)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _nbytes(tensors: Sequence[Tensor]) -> int:
    return sum(one.nbytes for one in tensors)


def _arriving(
    of: Slope, every: Sequence[Slope], loop: Loop, like: Callable[[int], Tensor], slopes: Sequence[Tensor | None],
    steps: int, tensors: Sequence[Tensor],
) -> Tensor:  # fmt: skip
    """What comes back to a result, where what comes back to all values of all steps is given, stacked in front. What
    comes back to the last step is among it. `every`: all slopes of the loop; `like`: no steps of a value."""
    number = of.number if of.every < 0 and of.last < 0 else loop.results[of.every if of.every >= 0 else of.last][0]
    slope = slopes[number]
    if of.dim < 0:
        if slope is None or any(one.number == of.number and one.dim >= 0 for one in every):
            return torch.zeros_like(tensors[number]) if of.last < 0 else like(number).sum(0)
        return slope[0 if loop.reverse else -1]
    if slope is None:
        none = like(number)
        slope = none.new_zeros((steps, *none.shape[1:]))
    return slope.movedim(0, of.dim)
