"""The product of the semiring `log` in torch operations, exact also where the shifted product underflows.

In: A [..., m, k] and B [..., k, n], logarithms, or, where they are `linear`, the weights themselves. Out: the product
[..., m, n], or the slopes at A and B. What always holds: each factor is shifted by its row's or column's
maximum, so that one matrix product does the work; an entry of it that is too small to have all its digits is computed
again, in double precision, and what is too small there by itself, element by element. All of it can be differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 1 << 22
"""How many elements are held at once where entries are computed one by one."""


def product(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    """log(sum over k of exp(a[m, k] + b[k, n])); a linear factor w stands for log(w)."""
    left, right = _Factor(a, a_linear, -1), _Factor(b, b_linear, -2)
    found = _matmul(left.scaled, right.scaled)
    if found.numel() == 0 or found.amin() >= _least(found, a.shape[-1]):
        return found.log_().add_(left.shift).add_(right.shift)
    shift = left.shift + right.shift
    out = torch.log(found) + shift
    small = _small(found, left, right)
    if small.any():
        if found.dtype is not torch.float64:
            wide = _matmul(left.wide(), right.wide())
            out = torch.where(small, (torch.log(wide) + shift).to(out.dtype), out)
            small = small & _small(wide, left, right)
        for places in _places(small, a.shape[-1]):
            rows, columns = left.rows(places), right.columns(places)
            out[places] = torch.logsumexp(rows + columns, -1).to(out.dtype)
    return out


def slopes(a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool) -> tuple[Tensor, Tensor]:
    """What a slope at the result is at the factors: each weighs as its share of the sum."""
    left, right = _Factor(a, a_linear, -1), _Factor(b, b_linear, -2)
    above = (left.shift - out).add_(right.shift)
    if out.numel() == 0 or above.amax() <= -math.log(_least(out, max(1, a.shape[-1]))):
        lefts, rights, shares = left.scaled, right.scaled, above.exp_() * slope
        return left.slope(_matmul(shares, rights.mT), lefts), right.slope(_matmul(lefts.mT, shares), rights)
    shift = left.shift + right.shift
    with torch.no_grad():
        small = _small(torch.exp(out - shift), left, right)
        few = bool(small.any())
        if few and out.dtype is not torch.float64:
            small = _small(torch.exp(out.double() - shift), left, right)
    if few and out.dtype is not torch.float64:
        lefts, rights, wide = left.wide(), right.wide(), out.double()
    else:
        lefts, rights, wide = left.scaled, right.scaled, out
    nothing = small | ~torch.isfinite(wide)
    shares = torch.where(nothing, 0, slope * torch.exp(shift - torch.where(nothing, shift, wide)))
    shares = shares.to(lefts.dtype)
    to_a = left.slope(_matmul(shares, rights.mT), lefts).to(a.dtype)
    to_b = right.slope(_matmul(lefts.mT, shares), rights).to(b.dtype)
    if few:
        for places in _places(small & torch.isfinite(out), a.shape[-1]):
            total = out[places].unsqueeze(-1)
            rows, columns = left.rows(places), right.columns(places)
            weigh = slope[places].unsqueeze(-1)
            row = torch.exp((columns if a_linear else rows + columns) - total) * weigh
            column = torch.exp((rows if b_linear else rows + columns) - total) * weigh
            to_a = to_a.index_put((*places[:-2], places[-2]), row.to(a.dtype), accumulate=True)
            to_b = to_b.mT.index_put((*places[:-2], places[-1]), column.to(b.dtype), accumulate=True).mT
    return to_a, to_b


class _Factor:
    """A factor with its shift along `dim`: `scaled` is between 0 and 1, and its logarithm plus `shift` the factor's."""

    def __init__(self, given: Tensor, linear: bool, dim: int) -> None:
        self.given, self.linear, self.dim = given, linear, dim
        with torch.no_grad():
            top = given.amax(dim, keepdim=True) if given.shape[dim] else given.new_zeros(given.shape).sum(dim, True)
            if linear:
                self.unit = torch.where((top > 0) & torch.isfinite(top), top, 1)
                self.shift = torch.log(self.unit)
                self.empty = top <= 0
            else:
                self.shift = torch.where(torch.isfinite(top), top, 0)
                self.empty = top == -torch.inf

    @property
    def scaled(self) -> Tensor:
        return self._scaled(self.given, self.shift)

    def wide(self) -> Tensor:
        return self._scaled(self.given.double(), self.shift.double())

    def slope(self, found: Tensor, scaled: Tensor) -> Tensor:
        """From the slope at `scaled` to that at what was given."""
        return found / self.unit.to(found.dtype) if self.linear else found * scaled

    def rows(self, places: tuple[Tensor, ...]) -> Tensor:
        return self._logarithms(self.given[(*places[:-2], places[-2])])

    def columns(self, places: tuple[Tensor, ...]) -> Tensor:
        return self._logarithms(self.given.mT[(*places[:-2], places[-1])])

    def _logarithms(self, rows: Tensor) -> Tensor:
        return torch.log(rows) if self.linear else rows

    def _scaled(self, given: Tensor, shift: Tensor) -> Tensor:
        if not self.linear:
            return (given - shift).exp_()
        return torch.where(given < 0, torch.nan, given) / self.unit.to(given.dtype)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """In the precision that the factors have, whatever autocast would rather have."""
    if a.device.type == "meta" or not torch.is_autocast_enabled(a.device.type):
        return a @ b
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


def _small(product: Tensor, left: _Factor, right: _Factor) -> Tensor:
    """The entries of a product that may lack digits, but for those of nothing at all."""
    small = product < _least(product, left.given.shape[-1])
    return small & ~left.empty & ~right.empty if small.any() else small


def _least(product: Tensor, length: int) -> float:
    """From where on a sum of so many products of numbers up to 1 has all its digits."""
    info = torch.finfo(product.dtype)
    return length * info.tiny / info.eps


def _places(small: Tensor, length: int) -> Iterator[tuple[Tensor, ...]]:
    """The coordinates of what is small, some at a time, so that their rows of this length can be held."""
    found = small.nonzero()
    if len(found):
        for part in found.split(max(1, CHUNK // max(1, length))):
            yield part.unbind(1)
