"""The product of the semiring `log` in torch operations, exact also where the shifted product underflows.

In: two factors of a `Form`, logarithms or weights. Out: the product [..., m, n], or the slopes at the factors' parts.
What always holds: each factor is shifted by its row's or column's maximum, so that one matrix product does the work.
Where something is too small to have all its digits, the product is made again in double precision, shifted to the
middle of its range, and what is too small there by itself, entry by entry. Few entries are left to the last at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor

from namedlayers.emit.log_products.log_factors import BOOST, Factor, Form
from namedlayers.emit.log_products.quick_product import least, multiplied

CHUNK = 1 << 22
"""How many elements are held at once where entries are computed one by one."""

MANY = 1 / 64
"""From which part of the entries on it is quicker to compute all of them in double precision than some one by one."""


def product(form: Form, tensors: Sequence[Tensor], made: Tensor | None = None) -> Tensor:
    """log(sum over k of exp(a[m, k] + b[k, n])); a linear factor w stands for log(w). `made`: what shares gave for
    it, of factors that have finite maxima; it may be written over."""
    left, right = form.sides(tensors)
    shift = left.shift() + right.shift()
    out = multiplied(left.scaled(), right.scaled()).log_().add_(shift) if made is None else made
    small = _small(shift - out > highest(out.dtype, left.length), out, left, right)
    if small is None:
        return out
    if _many(small):
        wide = multiplied(left.wide(), right.wide())
        low = small & (wide < least(torch.float64, left.length) * math.exp(BOOST)).logical_or_(wide.isnan())
        out = torch.where(small, wide.log_().sub_(2 * BOOST).add_(shift).to(out.dtype), out)
        small = low
    for places in _places(small, left.length):
        *batch, rows, columns = places
        out[places] = torch.logsumexp(left.lines((*batch, rows)) + right.lines((*batch, columns)), -1).to(out.dtype)
    return out


def slopes(form: Form, tensors: Sequence[Tensor], out: Tensor, slope: Tensor) -> list[Tensor]:
    """What a slope at the result is at the parts of the factors: each weighs as its share of the sum."""
    left, right = form.sides(tensors)
    shift, total, boost = left.shift() + right.shift(), out, 0.0
    with torch.no_grad():
        there = torch.isfinite(out)
        small = (shift - out > highest(out.dtype, left.length)) & there
        wide = _many(small)
        if wide:
            boost = BOOST
            small = (shift.double() - out.double() > highest(torch.float64, left.length) + BOOST) & there
    if wide:
        lefts, rights, shift, total = left.wide(), right.wide(), shift.double(), out.double()
    else:
        lefts, rights = left.scaled(), right.scaled()
    counts = there & ~small
    shares = torch.where(counts, slope * torch.exp(torch.where(counts, shift - total, 0) - 2 * boost), 0)
    to_left = left.slopes(multiplied(shares, rights.mT), lefts, boost)
    to_right = right.slopes(multiplied(lefts.mT, shares), rights, boost)
    for places in _places(small, left.length):
        *batch, rows, columns = places
        in_row, in_column = (*batch, rows), (*batch, columns)
        weigh, above = slope[places].unsqueeze(-1), out[places].unsqueeze(-1)
        row, column = left.lines(in_row), right.lines(in_column)
        both = row + column
        to_left = left.add_lines(to_left, in_row, torch.exp((column if left.linear else both) - above) * weigh)
        to_right = right.add_lines(to_right, in_column, torch.exp((row if right.linear else both) - above) * weigh)
    return [one.to(part.dtype) for one, part in zip((*to_left, *to_right), tensors, strict=True)]


def lacking(form: Form, tensors: Sequence[Tensor], out: Tensor) -> bool:
    """Whether a product of unguarded factors may not be what it should."""
    left, right = (side.unguarded() for side in form.sides(tensors))
    above = (left.shift() - out).add_(right.shift())
    return not above.max().item() <= highest(out.dtype, left.length)


@cache
def highest(dtype: torch.dtype, length: int) -> float:
    """Up to which height of the maxima above a result its sum has all its digits."""
    return -math.log(least(dtype, max(1, length)))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _small(low: Tensor, out: Tensor, left: Factor, right: Factor) -> Tensor | None:
    """The entries of a product that may lack digits; those of nothing at all, and of a NaN, are what they are."""
    small = low.logical_or_(out.isnan())
    if not small.any():
        return None
    small &= multiplied(left.there(), right.there()) > 0
    small &= ~(left.undefined() | right.undefined())
    return small if small.any() else None


def _many(small: Tensor) -> bool:
    return int(small.sum()) > small.numel() * MANY


def _places(small: Tensor, length: int) -> Iterator[tuple[Tensor, ...]]:
    """The coordinates of what is small, some at a time, so that their rows of this length can be held."""
    found = small.nonzero()
    if len(found):
        for part in found.split(max(1, CHUNK // max(1, length))):
            yield part.unbind(1)
