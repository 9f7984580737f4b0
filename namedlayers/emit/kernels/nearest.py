"""Which of some points is the nearest, by one matrix product, and by differences where that cannot tell.

In: points as rows, x and y, for batches of both, whose numbers are at hand. Out: for each x the number of the nearest
y, the first of several, and all pairs that are as near as that one. What always holds: the product, from the middle of
y, is in error by no more than a bound; a point that is nearer than all others by twice that is the nearest. Between
those that are not, sums of squares of differences decide, so that no digits are lost. Numbers that are not finite leave
all to these.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels import pairs
from namedlayers.emit.kernels.eager import visible

FEW = 1 << 16
"""Of fewer differences all are taken."""

BLOCK = 1 << 20
"""So many pairs are looked at together."""

LANES = 32
"""The least numbers of so many columns each are taken first: that goes side by side in a processor."""

_TAKEN = (torch.float32, torch.float64)


def is_taken(x: Tensor, y: Tensor) -> bool:
    """Whether the numbers are at hand, and many, and products are of their precision, for which the bound is."""
    if x.dtype is not y.dtype or x.dtype not in _TAKEN or not visible(x) or not visible(y):
        return False
    many = x.shape[-2] >= LANES and x.numel() * y.shape[-2] > FEW and y.numel() > 0
    return many and not torch.is_autocast_enabled("cpu") and (x.dtype is torch.float64 or _has_whole_products())


def nearest(x: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """For rows x [*batch, n, d], y [*batch, k, d]: the numbers of the nearest y, [*batch, n], and where others are as
    near as these all such pairs, numbered through all batches.

    >>> nearest(torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([[1.0], [3.0]]))
    (tensor([0, 0, 1]), (tensor([0, 1, 1, 2]), tensor([0, 0, 1, 1])))
    """
    batch, (n, d), k = x.shape[:-2], x.shape[-2:], y.shape[-2]
    x, y = x.reshape(-1, n, d), y.reshape(-1, k, d)
    points, others, slack = _prepared(x, y)
    found = torch.empty(x.shape[:2], dtype=torch.int64)
    several: list[tuple[Tensor, Tensor]] = []
    each = max(1, BLOCK // max(1, n * k))
    rows = min(n, max(LANES, BLOCK // k))
    for first in range(0, x.shape[0], each):
        some = slice(first, first + each)
        for start in range(0, n, rows):
            part = slice(start, start + rows)
            tied = _of_block(x[some, part], y[some], points[some, part], others[some], slack[some, part],
                             found[some, part])  # fmt: skip
            if tied is not None:
                here, row = first + tied[0] // (part_rows := min(rows, n - start)), start + tied[0] % part_rows
                several.append((here * n + row, here * k + tied[1]))
    return found.view(*batch, n), _all_pairs(found, several, n, k) if several else None


# --- helpers ----------------------------------------------------------------------------------------------------------


def _has_whole_products() -> bool:
    """Whether nobody asked torch for products of single precision in fewer digits: what is set nearest counts."""
    settings: Any = torch.backends
    scopes = settings.mkldnn.matmul, settings.mkldnn, settings
    return next((one.fp32_precision == "ieee" for one in scopes if one.fp32_precision != "none"), True)


def _prepared(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows whose products are |y|^2 - 2 x . y from the middle of y, and by how much their order may be wrong."""
    (b, n, d), k = x.shape, y.shape[-2]
    middle = y.mean(-2, keepdim=True)
    points, others = x.new_empty(b, n, d + 1), y.new_zeros(b, k + -k % LANES, d + 1)
    moved = torch.sub(y, middle)
    torch.sub(x, middle, out=points[..., :d])
    points[..., d] = 1
    squares = (moved * moved).sum(-1)
    torch.mul(moved, -2, out=others[:, :k, :d])
    others[:, :k, d] = squares
    others[:, k:, d] = torch.inf
    lengths = torch.linalg.vector_norm(points[..., :d], dim=-1) + squares.amax(-1, keepdim=True).sqrt()
    limits = torch.finfo(x.dtype)
    return points, others.mT, lengths.square_().mul_(4 * (d + 8) * limits.eps).add_(limits.tiny)


def _of_block(
    x: Tensor, y: Tensor, points: Tensor, others: Tensor, slack: Tensor, found: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Fills in the numbers of the nearest; the pairs that are as near, if there are several of a row."""
    scores = torch.mm(points[0], others[0]) if len(points) == 1 else torch.bmm(points, others).flatten(0, 1)
    lanes = scores.view(scores.shape[0], -1, LANES)
    others_least = lanes.amin(1)
    least, lane = others_least.min(1)
    own = lanes.gather(2, lane.view(-1, 1, 1).expand(-1, lanes.shape[1], 1)).squeeze(2)
    place = own.min(1)[1]
    far = least + slack.flatten()
    if not torch.isfinite(far).all():
        return _by_differences(x, y, found)
    others_least.scatter_(1, lane.unsqueeze(1), torch.inf)
    own.scatter_(1, place.unsqueeze(1), torch.inf)
    number = place.mul_(LANES).add_(lane)
    found.copy_(number.view_as(found))
    open_rows = (torch.minimum(others_least.amin(1), own.amin(1)) <= far).nonzero().squeeze(1)
    if not len(open_rows):
        return None
    row, column = (scores[open_rows] <= far[open_rows].unsqueeze(1)).nonzero().unbind(1)
    if len(row) > scores.numel() // 8:
        return _by_differences(x, y, found)
    row = open_rows[row]
    batch = row // x.shape[1]
    squares = (x.flatten(0, 1)[row] - y[batch, column]).square_().sum(-1)
    best = squares.new_full((scores.shape[0],), torch.inf).scatter_reduce(0, row, squares, "amin")
    near = squares == best[row]
    row, column = row[near], column[near]
    firsts = number.scatter_reduce(0, row, column, "amin", include_self=False)
    found.copy_(firsts.view_as(found))
    return (row, column) if len(row) > len(open_rows) else None


def _by_differences(x: Tensor, y: Tensor, found: Tensor) -> tuple[Tensor, Tensor] | None:
    """The same by all distances; the first of those that are no number counts as the nearest."""
    squares = pairs.squares(x, y)
    least, number = squares.min(-1)
    found.copy_(number)
    tied = squares.flatten(0, 1) == least.flatten().unsqueeze(1)
    row, column = tied.nonzero().unbind(1)
    return (row, column) if len(row) > number.numel() else None


def _all_pairs(found: Tensor, several: list[tuple[Tensor, Tensor]], n: int, k: int) -> tuple[Tensor, Tensor]:
    """Those of rows that have several, and the others."""
    row, column = (torch.cat(parts) for parts in zip(*several, strict=True))
    alone = torch.ones(found.numel(), dtype=torch.bool).index_fill_(0, row, False).nonzero().squeeze(1)
    row = torch.cat([row, alone])
    column = torch.cat([column, found.flatten()[alone] + alone // n * k])
    order = row.argsort(stable=True)
    return row[order], column[order]
