"""Which of some points is the nearest, by one matrix product, and by differences where that cannot tell.

In: points as rows, x and y, for batches of both, whose numbers are at hand. Out: for each x the number of the nearest
y, the first of several, and all pairs that are as near as that one. What always holds: |y|^2 - 2 x . y, as a product
gives it, is in error by no more than a bound; a point that is nearer than all others by twice that is the nearest.
Between those that are not, sums of squares of differences decide, so that no digits are lost. Numbers that are not
finite leave all to these.

No pass asks each pair for its number: the least of a row is taken, what is within the bound of it is marked by 1 among
0, in place, and a product with one vector tells how many these are, and if it is one, which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from namedlayers.emit.kernels import pairs
from namedlayers.emit.kernels.eager import all_visible

FEW = 1 << 16
"""Of fewer differences all are taken."""

FEW_OPEN = 1 << 18
"""Of rows that have several near ones, too: the operations that pick those of a row take as long."""

BLOCK = 1 << 19
"""So many pairs are looked at together: they stay near the processor."""

ROWS = 32
"""Of fewer rows of x all differences are taken, and no block has fewer."""

MOST = 1 << 22
"""A sum in single precision tells the numbers of so many rows of y."""

_TAKEN = (torch.float32, torch.float64)
_NONE = torch.empty(0, dtype=torch.int64)
_Pairs = tuple[Tensor, Tensor]


def is_taken(x: Tensor, y: Tensor) -> bool:
    """Whether the numbers are at hand, and many, and products are of their precision, for which the bound is."""
    if x.dtype is not y.dtype or x.dtype not in _TAKEN or not all_visible(x, y):
        return False
    many = x.shape[-2] >= ROWS and x.numel() * y.shape[-2] > FEW and y.numel() > 0 and y.shape[-2] < MOST
    return many and not torch.is_autocast_enabled("cpu") and (x.dtype is torch.float64 or _has_whole_products())


def nearest(x: Tensor, y: Tensor) -> Tensor:
    """For rows x [*batch, n, d], y [*batch, k, d]: the numbers of the nearest y, [*batch, n].

    >>> nearest(torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([[1.0], [3.0]]))
    tensor([0, 0, 1])
    """
    return _found(x, y, None)


def all_nearest(x: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """The same, and where others are as near as these all such pairs, numbered through all batches.

    >>> all_nearest(torch.tensor([[0.0], [2.0], [9.0]]), torch.tensor([[1.0], [3.0]]))
    (tensor([0, 0, 1]), (tensor([0, 1, 1, 2]), tensor([0, 0, 1, 1])))
    """
    several: list[_Pairs] = []
    found = _found(x, y, several)
    return found, _all_pairs(found.flatten(), several, x.shape[-2], y.shape[-2]) if several else None


# --- helpers ----------------------------------------------------------------------------------------------------------


def _has_whole_products() -> bool:
    """Whether nobody asked torch for products of single precision in fewer digits: what is set nearest counts."""
    settings: Any = torch.backends
    scopes = settings.mkldnn.matmul, settings.mkldnn, settings
    return next((one.fp32_precision == "ieee" for one in scopes if one.fp32_precision != "none"), True)


def _found(x: Tensor, y: Tensor, several: list[_Pairs] | None) -> Tensor:
    """The numbers of the nearest; where these are wanted, all pairs of rows that have several, for each block."""
    shape, (n, d), k = x.shape[:-1], x.shape[-2:], y.shape[-2]
    x, y = x.reshape(-1, n, d), y.reshape(-1, k, d)
    points = _Points.of(y, None)
    found = torch.empty(x.shape[:2], dtype=torch.int64)
    each, rows = max(1, BLOCK // (n * k)), min(n, max(ROWS, BLOCK // k))
    for first in range(0, len(x), each):
        for start in range(0, n, rows):
            part = slice(first, first + each), slice(start, start + rows)
            seen = points.some(part[0]).look(x[part])
            if points.middle is None and len(seen.rows) * 8 > len(seen.told):  # it may be that all are far from 0
                points = _Points.of(y, y.mean(-2, keepdim=True))
                seen = points.some(part[0]).look(x[part])
            tied = _settle(x[part], y[part[0]], seen, found[part], several is not None)
            if tied is not None and several is not None:
                row, count = tied[0], min(rows, n - start)
                several.append(((first + row // count) * n + start + row % count, first * k + tied[1]))
    return found.view(shape)


class _Seen(NamedTuple):
    """A row of 0 and 1 for each x, of what is near enough (`marks`); of these the sum of their numbers, and of as many
    times how many numbers there are (`told`); the least and the greatest such sum; and `rows` that have several."""

    marks: Tensor
    told: Tensor
    least: float
    most: float
    rows: Tensor


@dataclass(frozen=True, slots=True)
class _Points:
    """Points from `middle`, or from 0, as columns; the squares of their lengths, and the greatest length."""

    middle: Tensor | None
    columns: Tensor
    squares: Tensor
    reach: float

    @staticmethod
    def of(y: Tensor, middle: Tensor | None) -> _Points:
        if middle is not None:
            y = y - middle
        squares = (y * y).sum(-1)
        return _Points(middle, y.mT, squares.unsqueeze(-2), squares.amax().item() ** 0.5)

    def some(self, batch: slice) -> _Points:
        if batch.start == 0 and batch.stop >= len(self.columns):
            return self
        middle = None if self.middle is None else self.middle[batch]
        return _Points(middle, self.columns[batch], self.squares[batch], self.reach)

    def look(self, x: Tensor) -> _Seen:
        (d, k), limits = self.columns.shape[-2:], torch.finfo(x.dtype)
        if self.middle is not None:
            x = x - self.middle
        share = 2 * (d + 8) * limits.eps
        reach = torch.linalg.vector_norm(x, dim=-1).add_(self.reach + (d * limits.tiny / share) ** 0.5).view(-1, 1)
        if len(x) == 1:
            marks = torch.addmm(self.squares[0, 0], x[0], self.columns[0], alpha=-2)
        else:
            marks = torch.baddbmm(self.squares, x, self.columns, alpha=-2).flatten(0, 1)
        torch.le(marks, marks.amin(1, keepdim=True).addcmul_(reach, reach, value=share), out=marks)
        told = torch.mv(marks, torch.arange(k, 2 * k, dtype=x.dtype))
        least, most = (one.item() for one in torch.aminmax(told))
        rows = (told >= 2 * k).nonzero().squeeze(1) if most >= 2 * k else _NONE
        return _Seen(marks, told, least, most, rows)


def _settle(x: Tensor, y: Tensor, seen: _Seen, found: Tensor, ties: bool) -> _Pairs | None:
    """Fills in the numbers of the nearest; the pairs that are as near, if there are several of a row."""
    marks, told, least, most, rows = seen
    k = marks.shape[1]
    if least < k or most > 0.75 * (3 * k - 1) * k / 2 > k:  # the least of a row is no number, or nothing is too far
        return _by_differences(x, y, found, ties)
    found.copy_(told.view_as(found))
    found.sub_(k)
    if not len(rows):
        return None
    if len(x) == 1 and len(rows) * y.numel() <= FEW_OPEN:
        few = found.new_empty(1, len(rows))
        tied = _by_differences(x[:, rows], y, few, ties)
        found[0, rows] = few[0]
        return (rows[tied[0]], tied[1]) if tied is not None else None
    one, column = marks[rows].nonzero().unbind(1)
    if len(one) > marks.numel() // 8:
        return _by_differences(x, y, found, ties)
    return _among(x, y, found, rows, one, column)


def _among(x: Tensor, y: Tensor, found: Tensor, rows: Tensor, one: Tensor, column: Tensor) -> _Pairs | None:
    """Of rows that have several: pairs of one of them and a number, of which differences tell the nearest."""
    batch = torch.div(rows, x.shape[1], rounding_mode="floor")[one]
    squares = (x.flatten(0, 1)[rows][one] - y[batch, column]).square_().sum(-1)
    best = squares.new_full((len(rows),), torch.inf).scatter_reduce_(0, one, squares, "amin")
    near = squares == best[one]
    one, column = one[near], column[near]
    firsts = column.new_empty(len(rows)).scatter_reduce_(0, one, column, "amin", include_self=False)
    found.view(-1)[rows] = firsts
    return (rows[one], column + batch[near] * y.shape[1]) if len(one) > len(rows) else None


def _by_differences(x: Tensor, y: Tensor, found: Tensor, ties: bool) -> _Pairs | None:
    """The same by all distances; the first of those that are no number counts as the nearest."""
    squares = pairs.squares(x, y)
    least, number = squares.min(-1)
    found.copy_(number)
    if not ties:
        return None
    tied = squares.flatten(0, 1) == least.flatten().unsqueeze(1)
    row, column = tied.nonzero().unbind(1)
    return (row, column + row // x.shape[1] * y.shape[1]) if len(row) > number.numel() else None


def _all_pairs(found: Tensor, several: list[_Pairs], n: int, k: int) -> _Pairs:
    """Those of rows that have several, and the others."""
    row, column = (torch.cat(parts) for parts in zip(*several, strict=True))
    alone = torch.ones(len(found), dtype=torch.bool).index_fill_(0, row, False).nonzero().squeeze(1)
    row = torch.cat([row, alone])
    column = torch.cat([column, found[alone] + alone // n * k])
    order = row.argsort(stable=True)
    return row[order], column[order]
