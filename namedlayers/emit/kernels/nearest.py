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

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

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

MOST_KEPT = 1 << 14
"""The numbers of so many rows are kept: a call takes some 15 microseconds after a kernel of megabytes."""

# What torch.backends.mkldnn.matmul, .mkldnn and torch.backends say as `fp32_precision`: these attributes take 8
# microseconds to ask, and a hundred after a large kernel.
_SCOPES = ("mkldnn", "matmul"), ("mkldnn", "all"), ("generic", "all")
_precision_of: Callable[[str, str], str] = torch._C._get_fp32_precision_getter

_TAKEN = (torch.float32, torch.float64)
_NONE = torch.empty(0, dtype=torch.int64)
_Pairs = tuple[Tensor, Tensor]


def is_taken(x: Tensor, y: Tensor) -> bool:
    """Whether the numbers are at hand, and many, and products are of their precision, for which the bound is."""
    if not all_visible(x, y) or not may_be_taken(x, y):
        return False
    return not torch.is_autocast_enabled("cpu") and (x.dtype is torch.float64 or has_whole_products())


def may_be_taken(x: Tensor, y: Tensor) -> bool:
    """Whether they are many, and of the right kind."""
    if x.dtype is not y.dtype or x.dtype not in _TAKEN or not x.is_cpu:
        return False
    return x.shape[-2] >= ROWS and x.numel() * y.shape[-2] > FEW and y.numel() > 0 and y.shape[-2] < MOST


def has_whole_products() -> bool:
    """Whether nobody asked torch for products of single precision in fewer digits: what is set nearest counts."""
    for scope in _SCOPES:
        precision = _precision_of(*scope)
        if precision != "none":
            return bool(precision == "ieee")
    return True


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


def slack(length: Tensor, reach: Tensor, d: int) -> Tensor:
    """By how much less a score may be that is not the least: of the lengths of x, and the square of the longest y's."""
    limits = torch.finfo(reach.dtype)
    return (reach + 2 * length * reach.sqrt()) * _share(d, limits.eps) + 4 * d * limits.tiny


def settled(told: Tensor, x: Tensor, y: Tensor) -> Tensor | None:
    """The numbers of the nearest, of sums as `_Seen` has them, for one batch; None, if much is left open."""
    k = y.shape[0]
    least, most = (one.item() for one in torch.aminmax(told))
    if least < k:
        return None
    found = told.to(torch.int64).sub_(k)
    if most < 2 * k:
        return found
    rows = (told >= 2 * k).nonzero().squeeze(1)
    if len(rows) * y.numel() > FEW_OPEN:
        return None
    return found.index_copy_(0, rows, _by_differences(x.index_select(0, rows), y, False)[0])


# --- helpers ----------------------------------------------------------------------------------------------------------


def _share(d: int, eps: float) -> float:
    """By what share of |y|^2 + 2 |x| |y| two scores are in error together: of each, a sum of d products by d / 2 of
    `eps`, in whatever order it is added up; by less than 8 what rounds besides. The rest is for errors of errors."""
    share = (d + 8) * eps
    return share * (1 + share)


def _found(x: Tensor, y: Tensor, several: list[_Pairs] | None) -> Tensor:
    """The numbers of the nearest; where these are wanted, all pairs of rows that have several, block by block."""
    n, k = x.shape[-2], y.shape[-2]
    found = torch.empty(x.shape[:-1], dtype=torch.int64)
    if x.dim() == 2:
        _fill(x, y, found, several, 0)
        return found
    xs, ys, numbers = x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:]), found.view(-1, n)
    each = BLOCK // (n * k)
    for first in range(0, len(xs), max(1, each)):
        here = slice(first, first + each) if each > 1 else first
        _fill(xs[here], ys[here], numbers[here], several, first)
    return found


def _fill(x: Tensor, y: Tensor, found: Tensor, several: list[_Pairs] | None, batch: int) -> None:
    """The same of one batch, in blocks of rows, or of a few at once; `batch` is the number of the first."""
    n, k = x.shape[-2], y.shape[-2]
    points = _Points.of(y, None)
    rows = n if x.dim() == 3 else max(ROWS, BLOCK // k)
    for start in range(0, n, rows):
        some, here = (x, found) if rows >= n else (x[start : start + rows], found[start : start + rows])
        seen = points.look(some)
        if points.middle is None and len(seen.rows) * 8 > len(seen.told):  # it may be that all are far from 0
            points = _Points.of(y, y.mean(-2, keepdim=True))
            seen = points.look(some)
        tied = _settle(some, y, seen, here, several is not None)
        if tied is not None and several is not None:
            several.append((batch * n + start + tied[0], batch * k + tied[1]))


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
        lengths = torch.linalg.vector_norm(y, dim=-1)
        reach = lengths.amax().item()
        return _Points(middle, y.mT, lengths.square_(), reach)

    def look(self, x: Tensor) -> _Seen:
        (d, k), limits = self.columns.shape[-2:], torch.finfo(x.dtype)
        if self.middle is not None:
            x = x - self.middle
        share, reach = _share(d, limits.eps), self.reach
        square = share * reach * reach + 4 * d * limits.tiny
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        if x.dim() == 2:
            marks = torch.addmm(self.squares, x, self.columns, alpha=-2)
        else:
            marks = torch.baddbmm(self.squares.unsqueeze(-2), x, self.columns, alpha=-2)
        far = marks.amin(-1, keepdim=True).add_(length, alpha=2 * share * reach)
        torch.le(marks, far.add_(square if square <= limits.max else torch.inf), out=marks)
        marks = marks.view(-1, k)
        told = torch.mv(marks, (_kept if k <= MOST_KEPT else _numbers)(k, x.dtype))
        least, most = torch.aminmax(told)
        greatest = most.item()
        rows = (told >= 2 * k).nonzero().squeeze(1) if greatest >= 2 * k else _NONE
        return _Seen(marks, told, least.item(), greatest, rows)


def _numbers(k: int, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # what is made in inference mode could not be kept for other calls
        return torch.arange(k, 2 * k, dtype=dtype, device="cpu")


_kept = lru_cache(32)(_numbers)


def _settle(x: Tensor, y: Tensor, seen: _Seen, found: Tensor, ties: bool) -> _Pairs | None:
    """Fills in the numbers of the nearest; the pairs that are as near, if there are several of a row."""
    marks, told, least, most, rows = seen
    k = y.shape[-2]
    # the least of a row is no number, or in a row nothing is too far
    if least < k or most > 0.75 * (3 * k - 1) * k / 2 > k:
        return _of_all(x, y, found, ties)
    found.copy_(told if x.dim() == 2 else told.view_as(found)).sub_(k)
    if not len(rows):
        return None
    if x.dim() == 2 and len(rows) * y.numel() <= FEW_OPEN:
        number, tied = _by_differences(x.index_select(0, rows), y, ties)
        found.index_copy_(0, rows, number)
        return (rows[tied[0]], tied[1]) if tied is not None else None
    one, column = marks.index_select(0, rows).nonzero().unbind(1)
    if len(one) > marks.numel() // 8:
        return _of_all(x, y, found, ties)
    return _among(x, y, found, rows, one, column)


def _of_all(x: Tensor, y: Tensor, found: Tensor, ties: bool) -> _Pairs | None:
    number, tied = _by_differences(x, y, ties)
    found.copy_(number)
    return tied


def _among(x: Tensor, y: Tensor, found: Tensor, rows: Tensor, one: Tensor, column: Tensor) -> _Pairs | None:
    """Of rows that have several: pairs of one of them and a number, of which differences tell the nearest."""
    k = y.shape[-2]
    place = column + (torch.div(rows, x.shape[-2], rounding_mode="floor") * k)[one]
    squares = (x.flatten(0, -2)[rows[one]] - y.flatten(0, -2)[place]).square_().sum(-1)
    best = squares.new_full((len(rows),), torch.inf).scatter_reduce_(0, one, squares, "amin")
    near = squares == best[one]
    one, column, place = one[near], column[near], place[near]
    firsts = column.new_empty(len(rows)).scatter_reduce_(0, one, column, "amin", include_self=False)
    found.view(-1).index_copy_(0, rows, firsts)
    return (rows[one], place) if len(one) > len(rows) else None


def _by_differences(x: Tensor, y: Tensor, ties: bool) -> tuple[Tensor, _Pairs | None]:
    """The same by all distances; the first of those that are no number counts as the nearest."""
    squares = pairs.squares(x, y)
    least, number = squares.min(-1)
    if not ties:
        return number, None
    row, column = (squares == least.unsqueeze(-1)).flatten(0, -2).nonzero().unbind(1)
    several = len(row) > number.numel()
    return number, (row, column + row // x.shape[-2] * y.shape[-2]) if several else None


def _all_pairs(found: Tensor, several: list[_Pairs], n: int, k: int) -> _Pairs:
    """Those of rows that have several, and the others."""
    row, column = (torch.cat(parts) for parts in zip(*several, strict=True))
    alone = torch.ones(len(found), dtype=torch.bool).index_fill_(0, row, False).nonzero().squeeze(1)
    row = torch.cat([row, alone])
    column = torch.cat([column, found[alone] + alone // n * k])
    order = row.argsort(stable=True)
    return row[order], column[order]
