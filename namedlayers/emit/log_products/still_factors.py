"""Log products of which one factor is the same each time, as in the steps of a loop.

In: that factor, once; then the other one, again and again, logarithms of one shape: matrices, or rows. Out: the
products, written into memory that is there. What always holds: they are those of `log_product`, to rounding; what
depends on the factor that stays is computed once. Where its least share is large enough, so is every sum, and nothing
is looked at; elsewhere a look at each product says whether it has all its digits, and one that has not is made with
care.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    """A factor that stays, logarithms or (`linear`) weights; `right`: it is the right one, [..., k, n]. `held`: as the
    products are made, None where `log_product` makes them; single precision gives way to double once it must."""

    def __init__(self, factor: Tensor, linear: bool, right: bool) -> None:
        self.factor, self.linear, self.right = factor, linear, right
        self.multiply = torch.mm if factor.dim() == 2 else torch.matmul  # which comes to the other by a detour
        plain = factor.device.type == "cpu" and factor.dtype in (torch.float32, torch.float64) and factor.numel()
        self.held = _held(factor, linear, right) if plain else None
        self._there: Tensor | None = None

    def widened(self) -> bool:
        """Whether the products could be, and are from now on, made in double precision."""
        if self.held is None or self.held.shares.dtype is torch.float64:
            return False
        self.held = _held(self.factor.double(), self.linear, self.right)
        return self.held is not None

    def there(self) -> Tensor:
        """1 where there is something, 0 at -inf."""
        if self._there is None:
            self._there = (self.factor > (0 if self.linear else -torch.inf)).to(self.factor.dtype)
        return self._there


@dataclass
class _Held:
    """`shares` are numbers whose logarithms plus `side` are the factor's (None: as they are). Where a product of shares
    is `least` or more, it has all its digits: `sure` says that each is. `room` is for what is made on the way."""

    shares: Tensor
    side: Tensor | None
    least: float
    sure: bool
    room: tuple[Tensor, Tensor] | None = None


def _held(factor: Tensor, linear: bool, right: bool) -> _Held | None:
    """None of negative weights, and of what is no number."""
    length = factor.shape[-2 if right else -1]
    lowest, highest = least(factor.dtype, length), torch.finfo(factor.dtype).max / length
    shares, side = factor if linear else factor.exp(), None
    low, high = (float(one) for one in torch.aminmax(shares))
    if not (low >= lowest and high <= highest) and not linear:
        side = maxima(factor, (-2 if right else -1,)).nan_to_num_()
        shares = (factor - side).exp_()
        low, high = (float(one) for one in torch.aminmax(shares))
    return _Held(shares, side, lowest, low >= lowest) if low >= 0 and high <= highest else None


def still_factor(factor: Tensor, linear: bool, right: bool) -> Still:
    """What `times` takes.

    >>> still_factor(torch.zeros(2, 3), False, True).held.sure
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
    held = still.held
    if held is None:
        return _with_care(x, still, out)
    if held.room is None:
        held.room = torch.amax(x, -1 if still.right else -2, True), torch.empty_like(x, dtype=held.shares.dtype)
    top, powers = held.room
    torch.amax(x, -1 if still.right else -2, True, out=top).nan_to_num_()  # what is not finite stays so by this
    torch.sub(x, top, out=powers).exp_()
    wide = x.dtype is not powers.dtype
    factors = (powers, held.shares) if still.right else (held.shares, powers)
    found = still.multiply(*factors, out=None if wide else out)
    if not held.sure and not found.min().item() >= held.least and not _of_nothing(x, still, found):
        return times(x, still, out=out) if still.widened() else _with_care(x, still, out)
    found.log_().add_(top)
    if held.side is not None:
        found.add_(held.side)
    if not wide:
        return found
    return found.to(x.dtype) if out is None else out.copy_(found)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _of_nothing(x: Tensor, still: Still, found: Tensor) -> bool:
    """Whether all sums that are too small are sums of nothing."""
    assert still.held is not None
    small = (found >= still.held.least).logical_not_()
    given = (x > -torch.inf).to(x.dtype)
    reached = torch.matmul(given, still.there()) if still.right else torch.matmul(still.there(), given)
    return not small.logical_and_(reached > 0).any().item() and not found.isnan().any().item()


def _with_care(x: Tensor, still: Still, out: Tensor | None) -> Tensor:
    from namedlayers.emit.log_products.log_product import log_product  # it is there: loops of it alone come here

    pair = (x, still.factor) if still.right else (still.factor, x)
    linear = (False, still.linear) if still.right else (still.linear, False)
    found = log_product(*pair, *linear)
    return found if out is None else out.copy_(found)
