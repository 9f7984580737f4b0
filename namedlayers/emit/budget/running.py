"""A call as its parts, of which the large ones run in pieces.

In: the stages of a call, its arguments. Out: its results. What always holds: at once there are the results of a part,
and what one piece makes. Where slopes are wanted, a part is one function of autograd, which keeps what it takes and
gives: its backward pass computes each piece once more and adds its slopes, in place, to those of what the part takes.
Transformed by `torch.func`, and in second derivatives, pieces are operations of torch like all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from namedlayers.emit.budget.joined import joined, slopes_of_pieces
from namedlayers.emit.budget.pieces import Cut, Stage, lengths_of, pieces_of, ways_of
from namedlayers.plan.joining import Join


@dataclass(frozen=True, slots=True)
class Schedule:
    """The stages of a call, none where it is run as it is; which of the program's inputs each input of the graph is."""

    stages: tuple[Stage, ...] = ()
    inputs: tuple[tuple[int, int], ...] = ()


def run(found: Schedule, slopes: bool, args: tuple[Any, ...]) -> Any:
    """The call; `slopes`: whether any are wanted."""
    values = {number: args[k] for number, k in found.inputs}
    for stage in found.stages:
        part = stage.made.part
        result = _run(stage, [*args, *[values[number] for number in part.taken]], slopes)
        if part.last:
            return result
        values |= zip(part.given, _as_tuple(result)[: len(part.given)], strict=True)
    raise AssertionError("the last part gives the results")


# --- a stage ----------------------------------------------------------------------------------------------------------


def _run(stage: Stage, taken: list[Any], slopes: bool) -> Any:
    made = stage.made
    if not made.part.large:
        return (made.function if slopes else made.quick)(*taken, *lengths_of(stage, {}))
    if torch._C._functorch.peek_interpreter_stack() is not None or torch.autograd.forward_ad._current_level >= 0:
        return _as_operations(stage, stage.cuts, taken, {}, again=False)
    if not slopes:
        return _one_if_one(_whole(stage, taken, made.quick, compared=False)[0])
    own = len(taken) - len(made.part.taken)  # before them are the program's inputs, of which options alone are read
    places = [k for k, one in enumerate(taken) if isinstance(one, Tensor) and (k >= own or one.ndim == 0)]
    fixed = [None if k in places else one for k, one in enumerate(taken)]
    return _one_if_one(_InPieces.apply(stage, fixed, places, *[taken[k] for k in places]))


def _whole(
    stage: Stage, taken: Sequence[Any], function: Callable[..., Any], *, compared: bool
) -> tuple[list[Tensor], dict[int, Tensor]]:  # fmt: skip
    """The results, without slopes; and how many pieces have what is the extreme of a result, if that is `compared`."""
    cuts = stage.cuts
    results: list[Tensor] = []
    ties: dict[int, Tensor] = {}
    for piece in pieces_of(cuts):
        part = [piece.of_taken(cuts, k, one) if isinstance(one, Tensor) else one for k, one in enumerate(taken)]
        found = list(_as_tuple(function(*part, *lengths_of(stage, piece.sizes(cuts)))))
        joins = ways_of(cuts, len(found))
        if not results:
            results = [one.new_empty(_shape(cuts, k, one)) for k, one in enumerate(found)]
            extremes = [k for k, how in enumerate(joins) if compared and how and how.way in _EXTREMES]
            ties = {k: torch.zeros_like(results[k]) for k in extremes}
        here = [piece.of_result(cuts, k, one) for k, one in enumerate(results)]
        starts = [piece.start(cuts, k) for k in range(len(found))]
        shares = [piece.share(cuts, k) for k in range(len(found))]
        new = joined(joins, here, found, starts, shares)
        for k, tied in ties.items():
            of_piece = piece.of_result(cuts, k, tied)
            of_piece.mul_(new[k] == here[k] if starts[k] else torch.zeros_like(of_piece))
            of_piece.add_(new[k] == found[k])
        for one, place in zip(new, here, strict=True):
            place.copy_(one)
        del found, new, one  # or they would be held while the next piece is computed
    return results, ties


_EXTREMES = ("max", "min")


def _to_be_compared(stage: Stage) -> Callable[..., Any]:
    """The function of the part; where the extreme of pieces is asked for again, to the last digit, as it is computed
    where slopes are wanted."""
    ways = {one.way for cut in stage.cuts for one in cut.tile.outputs if isinstance(one, Join)}
    if ways.isdisjoint(_EXTREMES):
        return stage.made.function

    def function(*taken: Any) -> Any:
        with torch.enable_grad():
            found = stage.made.function(*[_leaf(one) if isinstance(one, Tensor) else one for one in taken])
        return tuple(one.detach() for one in _as_tuple(found))

    return function


def _leaf(one: Tensor) -> Tensor:
    one = one.detach()
    return one.requires_grad_() if one.is_floating_point() or one.is_complex() else one


def _shape(cuts: Sequence[Cut], number: int, one: Tensor) -> list[int]:
    shape = list(one.shape)
    for cut in cuts:
        dim = cut.tile.outputs[number]
        if isinstance(dim, int):
            shape[dim] = cut.size
    return shape


class _InPieces(torch.autograd.Function):
    """A part that autograd sees as one. Its results are those of `_whole`; `fixed` are arguments without slopes, among
    which those at `places` belong."""

    @staticmethod
    def forward(ctx: Any, stage: Stage, fixed: list[Any], places: list[int], *given: Tensor) -> tuple[Tensor, ...]:
        ctx.stage, ctx.fixed, ctx.places = stage, fixed, places
        device = next((one.device for one in given), torch.device("cpu"))
        ctx.state = _states(device) if stage.made.draws else ()
        ctx.cast = (device.type, torch.get_autocast_dtype(device.type), torch.is_autocast_enabled(device.type))
        taken = _among(fixed, places, [one.detach() for one in given])
        results, ties = _whole(stage, taken, _to_be_compared(stage), compared=True)
        joins = ways_of(stage.cuts, len(results))
        ctx.ties, ctx.count = list(ties), len(results)
        kept = [one for one, how in zip(results, joins, strict=True) if how and how.way in _ASKED]
        ctx.kept = [k for k, how in enumerate(joins) if how and how.way in _ASKED]
        ctx.save_for_backward(*given, *kept, *ties.values())
        ctx.mark_non_differentiable(*[one for one in results if not (one.is_floating_point() or one.is_complex())])
        ctx.set_materialize_grads(False)
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> Any:
        count = len(ctx.places)
        given, rest = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        needed = ctx.needs_input_grad[3:]
        with _drawing_again(ctx.state, next((one.device for one in given), None)), torch.autocast(*ctx.cast):
            if torch.is_grad_enabled():
                found = _differentiable(ctx.stage, ctx.fixed, ctx.places, given, needed, slopes)
            else:
                whole: list[Tensor | None] = [None] * ctx.count
                for k, one in zip(ctx.kept, rest, strict=False):
                    whole[k] = one
                ties = dict(zip(ctx.ties, rest[len(ctx.kept) :], strict=True))
                found = _slopes(ctx.stage, ctx.fixed, ctx.places, given, needed, slopes, whole, ties)
        return (None, None, None, *found)


_ASKED = (*_EXTREMES, "logsumexp", "softmax")
"""Ways to put pieces together whose slopes ask for the whole."""


def _among(fixed: Sequence[Any], places: Sequence[int], given: Sequence[Any]) -> list[Any]:
    taken = list(fixed)
    for k, one in zip(places, given, strict=True):
        taken[k] = one
    return taken


def _slopes(
    stage: Stage, fixed: list[Any], places: list[int], given: Sequence[Tensor], needed: Sequence[bool],
    slopes: Sequence[Tensor | None], whole: Sequence[Tensor | None], ties: Mapping[int, Tensor],
) -> list[Tensor | None]:  # fmt: skip
    """Those of what is given, piece by piece; `slopes` are the results', and `whole` are these where they are asked."""
    cuts, joins = stage.cuts, ways_of(stage.cuts, len(slopes))
    sums: list[Tensor | None] = [torch.zeros_like(one) if n else None for one, n in zip(given, needed, strict=True)]
    wanted = [k for k, need in enumerate(needed) if need]
    for piece in pieces_of(cuts):
        leaves = [piece.of_taken(cuts, k, one).detach() for k, one in zip(places, given, strict=True)]
        for k in wanted:
            leaves[k].requires_grad_()
        rest = [piece.of_taken(cuts, k, one) if isinstance(one, Tensor) else one for k, one in enumerate(fixed)]
        with torch.enable_grad():
            taken = [*_among(rest, places, leaves), *lengths_of(stage, piece.sizes(cuts))]
            found = _as_tuple(stage.made.function(*taken))

        def here(of: Sequence[Tensor | None]) -> list[Tensor | None]:
            return [None if one is None else piece.of_result(cuts, k, one) for k, one in enumerate(of)]  # noqa: B023

        shares = [piece.share(cuts, k) for k in range(len(found))]
        tied = here([ties.get(k) for k in range(len(found))])
        back = slopes_of_pieces(joins, here(whole), [one.detach() for one in found], here(slopes), shares, tied)
        pairs = [(one, s) for one, s in zip(found, back, strict=True) if s is not None and one.requires_grad]
        if not pairs:
            continue  # nothing of this piece has a slope
        starts = [s.to(one.dtype).expand_as(one) for one, s in pairs]
        of_leaves = torch.autograd.grad(
            [one for one, _ in pairs], [leaves[k] for k in wanted], starts, allow_unused=True
        )
        del found, pairs, back, starts
        for k, slope in zip(wanted, of_leaves, strict=True):
            if slope is not None:
                piece.of_taken(cuts, places[k], sums[k]).add_(slope)  # type: ignore[arg-type]
        del of_leaves, slope, leaves, rest, taken
    return sums


# --- as operations ----------------------------------------------------------------------------------------------------


def _differentiable(
    stage: Stage, fixed: list[Any], places: list[int], given: Sequence[Tensor], needed: Sequence[bool],
    slopes: Sequence[Tensor | None],
) -> list[Tensor | None]:  # fmt: skip
    """The slopes, which have slopes themselves."""
    # Each by itself: what is given twice has a slope for each time.
    leaves = [one.view_as(one) for one in given]
    found = _as_tuple(_as_operations(stage, stage.cuts, _among(fixed, places, leaves), {}, again=True))
    pairs = [(one, s) for one, s in zip(found, slopes, strict=True) if s is not None and one.requires_grad]
    wanted = [k for k, need in enumerate(needed) if need]
    if not pairs:
        return [None] * len(given)
    ends, starts = [one for one, _ in pairs], [s for _, s in pairs]
    back = torch.autograd.grad(ends, [leaves[k] for k in wanted], starts, create_graph=True, allow_unused=True)
    slope_of = dict(zip(wanted, back, strict=True))
    return [slope_of.get(k) for k in range(len(given))]


def _as_operations(stage: Stage, cuts: Sequence[Cut], taken: list[Any], sizes: dict[str, int], *, again: bool) -> Any:
    """The part, of operations that torch differentiates. `again`: pieces are computed once more for that."""
    made = stage.made
    if not cuts:
        lengths = lengths_of(stage, sizes)
        if again:  # (a generator's state, kept for each, may take more than a piece does)
            return checkpoint(made.function, *taken, *lengths, use_reentrant=False, preserve_rng_state=made.draws)
        return made.function(*taken, *lengths)
    cut, *inner = cuts
    pieces: list[list[Tensor]] = []
    so_far: list[Tensor] | None = None
    joins: list[Join | None] = []
    # All at once: the slope of a single slice would be as large as what it is of.
    split = {k: taken[k].split(cut.step, dim) for k, dim in cut.dims.items()}
    for number, start in enumerate(range(0, cut.size, cut.step)):
        length = min(cut.step, cut.size - start)
        piece = [split[k][number] if k in split else a for k, a in enumerate(taken)]
        found = _as_tuple(_as_operations(stage, inner, piece, {**sizes, cut.tile.symbol: length}, again=again))
        joins = ways_of([cut], len(found))
        starts, shares = [start or None] * len(found), [length / cut.size] * len(found)
        so_far = joined(joins, so_far or found, found, starts, shares)
        pieces.append([one for one, how in zip(found, joins, strict=True) if how is None])
    assert so_far is not None
    whole = iter(zip(*pieces, strict=True))
    results = [
        so_far[k] if isinstance(dim, Join) else torch.cat(next(whole), dim) for k, dim in enumerate(cut.tile.outputs)
    ]
    return _one_if_one(results)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _states(device: torch.device) -> tuple[Tensor, ...]:
    """Those of the generators that draw."""
    return (torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else []))


@contextmanager
def _drawing_again(states: tuple[Tensor, ...], device: torch.device | None) -> Iterator[None]:
    """What is drawn once more is what was drawn."""
    if not states:
        yield
        return
    with torch.random.fork_rng([device] if len(states) > 1 else []):
        torch.set_rng_state(states[0])
        for state in states[1:]:
            torch.cuda.set_rng_state(state)
        yield


def _as_tuple(found: Any) -> tuple[Any, ...]:
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def _one_if_one(found: Sequence[Tensor]) -> Any:
    return tuple(found) if len(found) > 1 else found[0]
