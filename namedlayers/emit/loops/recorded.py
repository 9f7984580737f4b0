"""Loops that are differentiated: one node of torch's graph, whose backward pass is a generated function.

In: the functions of a loop and of its gradient, which results are whose. Out: the loop's results, with derivatives of
all orders. What always holds: gradients are those of the steps written out; where a gradient is differentiated in turn,
it is taken of just these.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import batched_backward
from namedlayers.emit.log_products.shares import TooSmall
from namedlayers.emit.loops import in_blocks
from namedlayers.emit.loops.scanning import Loop, at_top_level, stepwise
from namedlayers.plan.plan import Guard

Step = Callable[..., Any]


@dataclass(frozen=True)
class Slope:
    """What comes back to value `number` of a step that the gradient asks for: of the results number `every` (all steps
    along `dim`) and number `last` (the last step); -1: there is none. `dim` -1: to the last step only. `ahead`: what
    comes back to all steps is asked for one step later, nothing at the first one, and what comes to the last step is
    part of what is asked for of that step alone."""

    number: int
    every: int
    last: int
    dim: int
    ahead: bool = False


@dataclass(frozen=True)
class Record:
    """`loop` is run on `step`, its results first (`loop`'s own), then what is kept besides; `keeping` is the loop
    with all of these, on `full`, and `quick` does it in place, if that can be. `backward` takes the inputs `given`,
    the results `kept` of `keeping`, the `slopes`, sizes; it gives what comes back to the inputs `wanted`. `sizes`:
    which ones `step`, `full` and `backward` take, of `symbols`, under which the `guards` must hold. `cut`: which of
    the sizes is the number of steps, if the gradient can be taken in blocks of them (-1: it cannot); `owned`: the
    sequences that were made for this loop alone, and at which no other gradient looks; `after`, if there is one,
    gives the last of what is wanted (`after_gives`), all steps at once: it takes what `backward` takes and what that
    gave for the inputs `after_takes`."""

    loop: Loop
    step: Step
    keeping: Loop
    full: Step
    quick: Step | None
    backward: Step
    sizes: tuple[tuple[int, ...], ...]
    given: tuple[int, ...]
    kept: tuple[int, ...]
    slopes: tuple[Slope, ...]
    wanted: tuple[int, ...]
    symbols: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    cut: int = -1
    owned: tuple[int, ...] = ()
    after: Step | None = None
    after_takes: tuple[int, ...] = ()
    after_gives: tuple[int, ...] = ()

    @property
    def kept_dims(self) -> list[int]:
        """Along which dimension each of the values kept has the steps."""
        return [self.keeping.results[k][1] for k in self.kept]

    @cached_property
    def trajectories(self) -> dict[int, int]:
        """The carried values that are kept at all steps: which one of those kept each is."""
        numbers = [self.keeping.results[k][0] for k in self.kept]
        return {number: k for k, number in enumerate(numbers) if number < self.loop.carries}

    def __repr__(self) -> str:
        """What tells it from others, beside its functions."""
        rest = (self.loop, self.keeping, self.sizes, self.given, self.kept, self.slopes, self.wanted)
        return f"Record{(*rest, self.symbols, self.guards, self.cut, self.owned, self.after_takes)}"

    def holds(self, sizes: Sequence[int]) -> bool:
        """Whether it is a gradient for these sizes."""
        known = dict(zip(self.symbols, sizes, strict=True))
        return all(_COMPARE[one.relation](one.left.evaluate(known), one.right.evaluate(known)) for one in self.guards)

    def of(self, function: int, sizes: Sequence[int]) -> list[int]:
        """The sizes that a function takes: 0 `step`, 1 `full`, 2 `backward`, 3 `after`."""
        return [sizes[k] for k in self.sizes[function]]


def recorded(*tensors: Tensor) -> bool:
    """Whether torch records a loop on these tensors, and nothing else looks on."""
    return torch.is_grad_enabled() and any(one.requires_grad for one in tensors) and at_top_level(*tensors)


def with_gradient(record: Record, tensors: Sequence[Tensor], steps: int, sizes: Sequence[int]) -> Any:
    """The results of a loop as one node of torch's graph."""
    found = _Recorded.apply(record, steps, tuple(sizes), *tensors)
    return found[0] if len(found) == 1 else found


_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "<=": operator.le, "<": operator.lt, "==": operator.eq, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Recorded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, record: Record, steps: int, sizes: tuple[int, ...], *tensors: Tensor) -> tuple[Tensor, ...]:
        found = None if record.quick is None else record.quick(*tensors, steps, *record.of(1, sizes))
        if found is None:
            found = stepwise(record.keeping, record.full, tensors, steps, record.of(1, sizes))
        made = found if isinstance(found, tuple) else (found,)
        results = made[: len(record.loop.results)]
        ctx.save_for_backward(*tensors, *(made[k] for k in record.kept))
        ctx.mark_non_differentiable(*(one for one in results if not one.is_floating_point()))
        ctx.plain = record, steps, sizes
        return results

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        record, steps, sizes = ctx.plain
        saved = ctx.saved_tensors
        count = len(record.loop.scanned)
        tensors, kept = saved[:count], saved[count:]
        wanted = [k for k in record.wanted if ctx.needs_input_grad[3 + k]]
        again = torch.is_grad_enabled() or batched_backward(*slopes)
        found = None if again else _quick(record, tensors, kept, steps, sizes, slopes, wanted)
        if found is None:
            with torch.enable_grad():
                found = _written_out(record, tensors, steps, sizes, slopes, wanted, again)
        return None, None, None, *(found.get(k) for k in range(count))


def _quick(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], steps: int, sizes: tuple[int, ...],
    slopes: Sequence[Tensor], wanted: Sequence[int],
) -> Mapping[int, Tensor | None] | None:  # fmt: skip
    """By the generated function, where it can be had by that."""
    over = {k: tensors[k].detach() for k in record.owned} if _freed() else {}
    try:
        every = _backward(record, tensors, kept, steps, sizes, slopes, over, wanted)
    except TooSmall:
        return None
    return {k: one for k, one in every.items() if k in wanted}


def _backward(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], steps: int, sizes: tuple[int, ...],
    slopes: Sequence[Tensor], over: Mapping[int, Tensor], asked: Sequence[int],
) -> dict[int, Tensor]:  # fmt: skip
    """By the generated function, at least to the inputs that are asked for."""
    arriving = [_arriving(one, steps, record.loop.reverse, slopes, tensors) for one in record.slopes]
    device = tensors[0].device.type
    with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else torch.no_grad():
        return in_blocks.gradients(record, tensors, kept, arriving, steps, sizes, over, asked)


def _freed() -> bool:
    """Whether torch lets go of all that was saved when this backward pass is over."""
    return not torch._C._autograd._get_current_graph_task_keep_graph()


def _arriving(
    of: Slope, steps: int, reverse: bool, slopes: Sequence[Tensor], tensors: Sequence[Tensor]
) -> Tensor:  # fmt: skip
    """What comes back to a value: to all of its steps, or, where the gradient begins with it, to the last."""
    if of.dim < 0:
        return torch.zeros_like(tensors[of.number]) if of.last < 0 else slopes[of.last]
    if of.last < 0:
        return slopes[of.every]
    last = slopes[of.last]
    shape = list(last.shape)
    shape.insert(of.dim, steps)
    found = last.new_zeros(shape) if of.every < 0 else slopes[of.every].clone()
    found.select(of.dim, 0 if reverse else -1).add_(last)
    return found


def _written_out(
    record: Record, tensors: Sequence[Tensor], steps: int, sizes: tuple[int, ...], slopes: Sequence[Tensor],
    wanted: Sequence[int], again: bool,
) -> dict[int, Tensor | None]:  # fmt: skip
    """By torch, of the steps one by one, so that it can be differentiated `again`."""
    # Twins, so that a tensor that is given twice is two.
    given = tensors if again else [one.detach() for one in tensors]
    twins = [one.view_as(one).requires_grad_() if k in wanted else one for k, one in enumerate(given)]
    made = stepwise(record.loop, record.step, twins, steps, record.of(0, sizes))
    ends = [(one, slope) for one, slope in zip(made, slopes, strict=True) if one.requires_grad]
    starts = [twins[k] for k in wanted]
    values, outer = zip(*ends, strict=True)
    found = torch.autograd.grad(values, starts, outer, create_graph=again, allow_unused=True)
    return dict(zip(wanted, found, strict=True))
