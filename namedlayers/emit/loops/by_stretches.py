"""Linear recurrences, with what is made for them and of them, one stretch of steps after the other.

In: a function of any number of steps: it takes tensors, the state before the first step last, then sizes, and returns
the state after the last step and sequences. Out: the sequences of all steps. What always holds: the results are those
of one call for all steps, to rounding; what is made on the way is there for one stretch only, also in the backward
pass, which makes it once more. Where somebody looks on (a tracer, a transform), it is one call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels import outer_states
from namedlayers.emit.loops.scanning import at_top_level, unobserved
from namedlayers.plan.scans.stretches import SHORTEST, STRETCH

LARGE = 1 << 23
"""From so many states on, the backward pass goes by stretches, too: it makes them once more, but need not keep them."""

FEW = 1 << 10
"""Of fewer states a step a stretch is long, and a scan of it many rounds: to make it once more takes longer."""

LARGE_OF_FEW = 1 << 24
"""The same as `LARGE`, for steps of fewer states than `FEW`."""

PAIRS = 1 << 19
"""About so many products of a query with a key are made at once, if nothing is recorded."""

SCAN = 6
"""About so many times a scan of all steps takes its values through memory."""

GRAIN = 1 << 15
"""Torch gives an operation on fewer values than these to one thread."""


def by_stretches(
    function: Callable[..., Any], tensors: Sequence[Tensor], dims: Sequence[int], results: Sequence[int], reverse: bool,
    steps: int, sizes: Sequence[int], cut: int, one_by_one: Callable[..., Any] | None = None, own: Sequence[int] = (),
    wide: int = 0, work: int = 0, in_blocks: Callable[..., Any] | None = None, blocked: Sequence[int] = (),
    at: int = -1, each: int = 0, ends: bool = False,
) -> Any:  # fmt: skip
    """`dims` and `results`: which dimension of a tensor and of a result are the steps (-1: none); `cut`: which of the
    sizes is their number (-1: none). `one_by_one` runs the steps in place, with the sizes `own`; `wide` and `work` tell
    when it is quicker. `in_blocks` takes the steps together, with the sizes `blocked`, of which `at` is their number,
    where states are made of `each` numbers. `ends`: the last state is wanted, too, and comes first."""
    run = _Run(function, tuple(dims), tuple(results), reverse, steps, tuple(sizes), cut, 0)
    if in_blocks is not None and together(tensors, steps, each):
        found = replace(run, function=in_blocks, sizes=tuple(blocked), cut=at).in_blocks(tensors, each)
        found = found if ends else found[1:]
        if all(math.isfinite(one.detach().sum().item()) for one in found):
            return found[0] if len(found) == 1 else tuple(found)
        del found
    if one_by_one is not None and steps and in_steps_of(tensors, wide, work):
        every = [one.movedim(dim, 0) if dim > 0 else one for one, dim in zip(tensors[:-1], dims, strict=False)]
        found = one_by_one(tensors[-1], *every, steps, *own)
        if found is not None:
            return found
    if at_top_level(*tensors) and not _narrow(tensors[-1]) and not ends:
        length = max(SHORTEST, STRETCH // max(1, tensors[-1].numel()))
        recorded = torch.is_grad_enabled() and any(one.requires_grad for one in tensors)
        if steps > length and (not recorded or made_twice(steps, tensors[-1].numel())):
            run = replace(run, length=length)
            made = _Stretches.apply(run, *tensors) if recorded else run.forward(tensors, [])[1:]
            return made[0] if len(made) == 1 else tuple(made)
    last, *made = (tensors[-1], *_nothing(run, tensors)) if steps == 0 else function(*tensors, *sizes)
    made = [last, *made] if ends else made
    return made[0] if len(made) == 1 else tuple(made)


def in_steps_of(tensors: Sequence[Tensor], wide: int, work: int) -> bool:
    """Whether steps run in place: nobody looks on, the state, which comes last, is not coarse, and they are quicker
    than a stretch."""
    return quicker(tensors[-1].numel(), wide, work) and unobserved(*tensors) and not _narrow(tensors[-1])


def quicker(states: int, wide: int, work: int) -> bool:
    """Whether steps of so many states are quicker one by one: with one thread from `wide` on (0: always). Threads share
    a stretch, but no step of few values, which goes through memory `work` times.

    >>> quicker(100, 1000, 1), quicker(100, 0, 1), quicker(GRAIN, 1000, 1)
    (False, True, True)
    """
    if states < wide:
        return False
    return not wide or states >= GRAIN or work * (torch.get_num_threads() - 1) <= SCAN


def together(tensors: Sequence[Tensor], steps: int, each: int) -> bool:
    """Whether steps go in blocks: it is quicker, products have all digits, and their numbers can be looked at."""
    return steps >= outer_states.TOGETHER and each > outer_states.EACH and outer_states.exactly_taken(*tensors)


def made_twice(steps: int, states: int) -> bool:
    """Whether the backward pass of so many steps makes their states once more.

    >>> made_twice(1024, 8192), made_twice(4096, 1024), made_twice(1 << 16, 64), made_twice(1 << 18, 64)
    (True, False, False, True)
    """
    return steps * states >= (LARGE if states >= FEW else LARGE_OF_FEW)


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """A call; `length`: the steps of a stretch."""

    function: Callable[..., Any]
    dims: tuple[int, ...]
    results: tuple[int, ...]
    reverse: bool
    steps: int
    sizes: tuple[int, ...]
    cut: int
    length: int

    def forward(self, tensors: Sequence[Tensor], states: list[Tensor]) -> list[Tensor]:
        """The last state and the results; `states` becomes those before each stretch."""
        found: list[Tensor] = []
        state = tensors[-1]
        for at in self.stretches(self.reverse):
            states.append(state)
            state = self.stretch(tensors, at, state, found)
        return [state, *found]

    def in_blocks(self, tensors: Sequence[Tensor], each: int) -> Sequence[Tensor]:
        """The same; for all steps at once if that is recorded, or takes little."""
        groups = max(1, tensors[-1].numel() // each)
        length = max(1, PAIRS // (groups * outer_states.BLOCK * outer_states.BLOCK)) * outer_states.BLOCK
        recorded = torch.is_grad_enabled() and any(one.requires_grad for one in tensors)
        if recorded or self.steps <= length:
            return self.function(*tensors, *self.sizes)
        return replace(self, length=length).forward(tensors, [])

    def stretch(self, tensors: Sequence[Tensor], at: slice, state: Tensor, found: list[Tensor]) -> Tensor:
        """The state after a stretch, of which nothing else is left but what goes into the results."""
        last, *parts = self.of([*self.within(tensors, at), state], at)
        if not found:
            found += [_room(part, dim, self.steps) for part, dim in zip(parts, self.results, strict=True)]
        for whole, part, dim in zip(found, parts, self.results, strict=True):
            _narrowed(whole, dim, at).copy_(part)
        return last.clone()

    def backward(
        self,
        tensors: Sequence[Tensor],
        states: Sequence[Tensor],
        slopes: Sequence[Tensor | None],
        wanted: Sequence[int],
    ) -> dict[int, Tensor]:
        """What comes back to the tensors that are wanted."""
        found: dict[int, Tensor] = {}
        onward: Tensor | None = None
        start = len(tensors) - 1
        for at, state in zip(self.stretches(not self.reverse), reversed(states), strict=True):
            given = [one.detach() for one in (*self.within(tensors, at), state)]
            asked = sorted({*wanted, start})
            for k in asked:
                given[k] = given[k].requires_grad_()
            with torch.enable_grad():
                made = self.of(given, at)
            pairs = [(made[0], onward)]
            for part, slope, dim in zip(made[1:], slopes, self.results, strict=True):
                pairs.append((part, None if slope is None else _narrowed(slope, dim, at)))
            ends = [(one, slope) for one, slope in pairs if slope is not None and one.requires_grad]
            values, outer = zip(*ends, strict=True)
            parts = torch.autograd.grad(values, [given[k] for k in asked], outer, allow_unused=True)
            for k, part in zip(asked, parts, strict=True):
                if k == start:
                    onward = part
                elif part is not None and self.dims[k] >= 0:
                    if k not in found:
                        found[k] = torch.zeros_like(tensors[k])
                    _narrowed(found[k], self.dims[k], at).copy_(part)
                elif part is not None:
                    found[k] = found[k] + part if k in found else part
        if onward is not None and start in wanted:
            found[start] = onward
        return found

    def whole(
        self, tensors: Sequence[Tensor], slopes: Sequence[Tensor | None], wanted: Sequence[int]
    ) -> dict[int, Tensor | None]:
        """The same for all steps at once, so that it can be differentiated again."""
        # Twins, so that a tensor that is given twice is two.
        twins = [one.view_as(one).requires_grad_() if k in wanted else one for k, one in enumerate(tensors)]
        _, *made = self.function(*twins, *self.sizes)
        ends = [
            (one, slope) for one, slope in zip(made, slopes, strict=True) if slope is not None and one.requires_grad
        ]
        values, outer = zip(*ends, strict=True)
        starts = [twins[k] for k in wanted]
        found = torch.autograd.grad(values, starts, outer, create_graph=True, allow_unused=True)
        return dict(zip(wanted, found, strict=True))

    def stretches(self, backwards: bool) -> Iterator[slice]:
        begins = range(0, self.steps, self.length)
        for begin in reversed(begins) if backwards else begins:
            yield slice(begin, min(begin + self.length, self.steps))

    def within(self, tensors: Sequence[Tensor], at: slice) -> list[Tensor]:
        """What a stretch sees of all tensors but the state."""
        pairs = zip(tensors[:-1], self.dims, strict=False)
        return [_narrowed(one, dim, at) if dim >= 0 else one for one, dim in pairs]

    def of(self, given: Sequence[Tensor], at: slice) -> Sequence[Tensor]:
        lengths = [at.stop - at.start if k == self.cut else size for k, size in enumerate(self.sizes)]
        return self.function(*given, *lengths)


class _Stretches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: _Run, *tensors: Tensor) -> tuple[Tensor, ...]:
        states: list[Tensor] = []
        _, *made = run.forward(tensors, states)
        ctx.save_for_backward(*tensors, *states[1:])
        ctx.run = run
        ctx.set_materialize_grads(False)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Any:
        run: _Run = ctx.run
        count = len(run.dims)
        tensors, states = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        wanted = [k for k in range(count) if ctx.needs_input_grad[1 + k]]
        found: dict[int, Any] = {}
        if any(one is not None for one in slopes):
            if torch.is_grad_enabled():
                found = run.whole(tensors, slopes, wanted)
            else:
                with torch.autocast(tensors[-1].device.type, enabled=False):
                    found = run.backward(tensors, [tensors[-1], *states], slopes, wanted)
        return None, *(found.get(k) for k in range(count))


def _nothing(run: _Run, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The sequences of no steps: there is no state after the last of none, and so they are those of one, cut off."""
    one = [_with_step(tensor, dim) if dim >= 0 else tensor for tensor, dim in zip(tensors, run.dims, strict=True)]
    _, *made = run.of(one, slice(0, 1))
    return [part.narrow(dim, 0, 0) for part, dim in zip(made, run.results, strict=True)]


def _with_step(none: Tensor, dim: int) -> Tensor:
    shape = list(none.shape)
    shape[dim] = 1
    return torch.cat([none, none.new_zeros(shape)], dim)


def _narrow(state: Tensor) -> bool:
    """Whether states are handed on in less precision than they are made in."""
    return state.dtype in (torch.float16, torch.bfloat16)


def _narrowed(whole: Tensor, dim: int, at: slice) -> Tensor:
    return whole.narrow(dim, at.start, at.stop - at.start)


def _room(part: Tensor, dim: int, steps: int) -> Tensor:
    """Memory for all steps of a result, of which a stretch is there."""
    shape = list(part.shape)
    shape[dim] = steps
    return part.new_empty(shape)
