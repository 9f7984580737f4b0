"""Log products of which one factor is the same each time, as in the steps of a loop.

In: that factor, once; then the other one, again and again, logarithms of one shape: matrices, or rows. Out: the
products, written into memory that is there. What always holds: they are those of `log_product`, to rounding; what
depends on the factor that stays is computed once. Where its least share is large enough, so is every sum, and nothing
is looked at; elsewhere a look at each product says whether it has all its digits, and one that has not is made with
care.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from namedlayers.emit.log_products.log_factors import maxima
from namedlayers.emit.log_products.quick_product import least

Product = TypeVar("Product", bound=Callable[..., Any])

PRODUCTS: set[Callable[..., Any]] = set()
"""The functions that `times` can stand for."""


def repeatable(product: Product) -> Product:
    """Declares such a function: it registers operators, so it is not imported for loops that have none."""
    PRODUCTS.add(product)
    return product


class Still:
    """A factor that stays, logarithms or (`linear`) weights; `right`: it is the right one, [..., k, n]. `shares` are
    numbers, whose logarithms plus `side` are the factor's (None: as they are)."""

    def __init__(self, factor: Tensor, linear: bool, right: bool) -> None:
        self.factor, self.linear, self.right = factor, linear, right
        self.dim = -1 if right else -2
        self.multiply = torch.mm if factor.dim() == 2 else torch.matmul  # which comes to the other by a detour
        self.shares: Tensor | None = None
        self.side: Tensor | None = None
        self.least, self.sure = 0.0, False
        self.room: tuple[Tensor, Tensor] | None = None
        self._there: Tensor | None = None
        if factor.device.type == "cpu" and factor.dtype in (torch.float32, torch.float64) and factor.numel():
            self._prepare()

    def _prepare(self) -> None:
        length = self.factor.shape[-2 if self.right else -1]
        self.least = least(self.factor.dtype, length)
        highest = torch.finfo(self.factor.dtype).max / length
        shares = self.factor if self.linear else self.factor.exp()
        low, high = (float(one) for one in torch.aminmax(shares))
        if not (low >= self.least and high <= highest) and not self.linear:
            top = maxima(self.factor, (-2 if self.right else -1,)).nan_to_num_()
            shares, self.side = (self.factor - top).exp_(), top
            low, high = (float(one) for one in torch.aminmax(shares))
        if low >= 0 and high <= highest:  # neither negative weights nor what is no number
            self.shares, self.sure = shares, low >= self.least

    def there(self) -> Tensor:
        """1 where there is something, 0 at -inf."""
        if self._there is None:
            self._there = (self.factor > (0 if self.linear else -torch.inf)).to(self.factor.dtype)
        return self._there


def still_factor(factor: Tensor, linear: bool, right: bool) -> Still:
    """What `times` takes.

    >>> still_factor(torch.zeros(2, 3), False, True).sure
    True
    """
    return Still(factor, linear, right)


def times(x: Tensor, still: Still, *, out: Tensor | None = None) -> Tensor:
    """log(sum over k of exp(x[m, k] + factor[k, n])), or with the factors the other way round; x may be one row.

    >>> still = still_factor(torch.tensor([[0.0], [-torch.inf]]), False, True)
    >>> times(torch.tensor([[2.0, 3.0]]), still)
    tensor([[2.]])
    """
    if x.dim() < still.factor.dim():
        found = times(x.unsqueeze(-2), still, out=None if out is None else out.unsqueeze(-2))
        return found.squeeze(-2) if out is None else out
    shares = still.shares
    if shares is None:
        return _with_care(x, still, out)
    if still.room is None:
        still.room = torch.amax(x, still.dim, keepdim=True), torch.empty_like(x)
    top, powers = still.room
    torch.amax(x, still.dim, True, out=top).nan_to_num_()  # of nothing, or of something infinite: these stay so
    torch.sub(x, top, out=powers).exp_()
    found = still.multiply(powers, shares, out=out) if still.right else still.multiply(shares, powers, out=out)
    if not still.sure and not found.amin().item() >= still.least and not _of_nothing(x, still, found):
        return _with_care(x, still, out)
    found.log_().add_(top)
    return found if still.side is None else found.add_(still.side)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _of_nothing(x: Tensor, still: Still, found: Tensor) -> bool:
    """Whether all sums that are too small are sums of nothing."""
    small = (found >= still.least).logical_not_()
    given = (x > -torch.inf).to(x.dtype)
    reached = torch.matmul(given, still.there()) if still.right else torch.matmul(still.there(), given)
    return not small.logical_and_(reached > 0).any().item() and not found.isnan().any().item()


def _with_care(x: Tensor, still: Still, out: Tensor | None) -> Tensor:
    from namedlayers.emit.log_products.log_product import log_product  # it is there: loops of it alone come here

    pair = (x, still.factor) if still.right else (still.factor, x)
    linear = (False, still.linear) if still.right else (still.linear, False)
    found = log_product(*pair, *linear)
    return found if out is None else out.copy_(found)
