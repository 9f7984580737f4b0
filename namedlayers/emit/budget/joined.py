"""Results of pieces, put together.

In: what there is so far and what the next piece gives. Out: both in one. What always holds: whatever order and number
the pieces have, the result is that of the whole, to rounding; what counts for nothing, -inf in a sum of exponentials,
has no gradient either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from namedlayers.plan.joining import Join

Results = Sequence[Tensor]


def joined(
    joins: Sequence[Join | None], so_far: Results, piece: Results, starts: Sequence[int | None], shares: Sequence[float]
) -> list[Tensor]:
    """What is there after a piece. `starts`: for each result where the piece begins along what is consumed, None where
    there is nothing before it; `shares`: how much of the whole length the piece has."""
    return [
        one if how is None or start is None and how.way != "mean"
        else _WAYS[how.way](how, None if start is None else so_far, piece, number, shares[number], start or 0)
        for number, (how, one, start) in enumerate(zip(joins, piece, starts, strict=True))
    ]  # fmt: skip


def slopes_of_pieces(
    joins: Sequence[Join | None], whole: Sequence[Tensor | None], piece: Results, slopes: Sequence[Tensor | None],
    shares: Sequence[float], ties: Sequence[Tensor | None],
) -> list[Tensor | None]:  # fmt: skip
    """The slopes of the results of a piece, of those of the whole. `ties`: of how many pieces an extreme is."""
    found = list(slopes)
    for number, (how, slope) in enumerate(zip(joins, slopes, strict=True)):
        if how is None or slope is None:
            continue
        one, all_, tied = piece[number], whole[number], ties[number]
        if how.way == "mean":
            found[number] = slope * shares[number]
        elif all_ is not None and tied is not None:
            found[number] = torch.where(one == all_, slope / tied, 0)
        elif all_ is not None and how.way == "logsumexp":
            found[number] = slope * _part_of(one, all_)
    for number, (how, slope) in enumerate(zip(joins, slopes, strict=True)):
        if how is not None and how.way == "softmax" and slope is not None:
            all_, total = whole[number], whole[how.total]
            assert all_ is not None and total is not None
            weight = _part_of(piece[how.total], total)
            found[number] = slope * _aligned(how, weight)
            beside = _back(how, (piece[number] - all_) * slope) * weight
            of_total = found[how.total]
            found[how.total] = beside if of_total is None else of_total + beside
    return found


def log_sum(first: Tensor, second: Tensor) -> Tensor:
    """log(exp(first) + exp(second)); the gradient is 0 where both are -inf.

    >>> log_sum(torch.tensor([0.0, -torch.inf]), torch.tensor([0.0, -torch.inf]))
    tensor([0.6931,   -inf])
    """
    top = torch.maximum(first, second).detach()
    top = torch.where(top.isfinite(), top, 0)
    total = (first - top).exp() + (second - top).exp()
    nothing = total == 0
    return torch.where(nothing, -torch.inf, torch.where(nothing, 1, total).log() + top)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _added(how: Join, so_far: Results | None, piece: Results, number: int, share: float, start: int) -> Tensor:
    return piece[number] if so_far is None else so_far[number] + piece[number]


def _averaged(how: Join, so_far: Results | None, piece: Results, number: int, share: float, start: int) -> Tensor:
    one = piece[number] * share
    return one if so_far is None else so_far[number] + one


def _by(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def both(how: Join, so_far: Results | None, piece: Results, number: int, share: float, start: int) -> Tensor:
        return piece[number] if so_far is None else function(so_far[number], piece[number])

    return both


def _weighed(how: Join, so_far: Results | None, piece: Results, number: int, share: float, start: int) -> Tensor:
    if so_far is None:
        return piece[number]
    whole = log_sum(so_far[how.total], piece[how.total])
    old, new = (_part_of(one[how.total], whole) for one in (so_far, piece))
    return so_far[number] * _aligned(how, old) + piece[number] * _aligned(how, new)


def _part_of(one: Tensor, whole: Tensor) -> Tensor:
    """exp(one - whole), 0 where both are -inf."""
    return (one - torch.where(whole == -torch.inf, 0, whole)).exp()


def _back(how: Join, one: Tensor) -> Tensor:
    """What goes to the total of something with the axes of the result: `_aligned` the other way."""
    order = [dim for dim in how.dims if dim is not None]
    more = [place for place, dim in enumerate(how.dims) if dim is None]
    one = one.sum(more) if more else one
    return one.permute([order.index(dim) for dim in range(len(order))])


def _placed(better: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def both(how: Join, so_far: Results | None, piece: Results, number: int, share: float, start: int) -> Tensor:
        assert so_far is not None
        old, new = (_aligned(how, one[how.total]) for one in (so_far, piece))
        # Of extremes that are equal the first counts, and so does the first that is no number.
        later = better(new, old) | (new.isnan() & ~old.isnan())
        return torch.where(later, piece[number] + start, so_far[number])

    return both


def _aligned(how: Join, weights: Tensor) -> Tensor:
    order = [dim for dim in how.dims if dim is not None]
    return weights.permute(order)[tuple(None if dim is None else slice(None) for dim in how.dims)]


_WAYS: dict[str, Callable[..., Tensor]] = {
    "sum": _added,
    "mean": _averaged,
    "max": _by(torch.maximum),
    "min": _by(torch.minimum),
    "logsumexp": _by(log_sum),
    "softmax": _weighed,
    "argmax": _placed(torch.gt),
    "argmin": _placed(torch.lt),
}
