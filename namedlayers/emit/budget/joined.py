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


def joined(joins: Sequence[Join | None], so_far: Results | None, piece: Results, share: float) -> list[Tensor]:
    """The results for which there is a join; `share`: how much of the whole length the piece has."""
    return [
        one if how is None else _WAYS[how.way](how, so_far, piece, number, share)
        for number, (how, one) in enumerate(zip(joins, piece, strict=True))
    ]


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


def _added(how: Join, so_far: Results | None, piece: Results, number: int, share: float) -> Tensor:
    return piece[number] if so_far is None else so_far[number] + piece[number]


def _averaged(how: Join, so_far: Results | None, piece: Results, number: int, share: float) -> Tensor:
    one = piece[number] * share
    return one if so_far is None else so_far[number] + one


def _by(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def both(how: Join, so_far: Results | None, piece: Results, number: int, share: float) -> Tensor:
        return piece[number] if so_far is None else function(so_far[number], piece[number])

    return both


def _weighed(how: Join, so_far: Results | None, piece: Results, number: int, share: float) -> Tensor:
    if so_far is None:
        return piece[number]
    whole = log_sum(so_far[how.total], piece[how.total])
    whole = torch.where(whole == -torch.inf, 0, whole)
    old, new = ((one[how.total] - whole).exp() for one in (so_far, piece))
    return so_far[number] * _aligned(how, old) + piece[number] * _aligned(how, new)


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
}
