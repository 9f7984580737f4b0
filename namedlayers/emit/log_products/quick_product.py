"""The product of the semiring `log` where nothing is too small, and its slopes, in as few operations as there are.

In: a `Form` and its tensors, whose numbers are at hand. Out: the product or the slopes at the parts; None where
something has not all its digits, is nothing or undefined, or an axis is empty: that is for `shifted_product`. What
always holds: exponentials are taken of the parts before these are broadcast, each shifted by its own maxima; what is
made is written over as soon as it is used up, so nothing here has a derivative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, reduce
from operator import add, mul

import torch
from torch import Tensor

from namedlayers.emit.log_products.log_factors import Form, maxima


def product(form: Form, tensors: Sequence[Tensor]) -> tuple[Tensor | None, bool]:
    """log(sum over k of exp(a[m, k] + b[k, n])), where a linear factor w stands for log(w), and whether it is right. If
    not, it may lack digits, and is None where something is infinite or undefined, or nothing at all."""
    if not all(map(torch.numel, tensors)):
        return None, False
    left, right, top, side, length = _scaled(form, tensors)
    found = multiplied(left, right)
    right_so = found.min().item() >= least(found.dtype, length)
    if not right_so and not (torch.isfinite(top).all() and torch.isfinite(side).all()):
        return None, False
    return found.log_().add_(top).add_(side), right_so


def slopes(
    form: Form, tensors: Sequence[Tensor], out: Tensor, slope: Tensor, wanted: tuple[bool, bool] = (True, True)
) -> list[Tensor] | None:
    """What a slope at the result is at the parts of the factors: each weighs as its share of the sum. At those of a
    factor that is not wanted it is 0."""
    if not all(map(torch.numel, tensors)):
        return None
    left, right, top, side, length = _scaled(form, tensors)
    shares = (top - out).add_(side)
    if not shares.max().item() <= -math.log(least(out.dtype, length)):
        return None
    shares.exp_().mul_(slope)
    lefts, rights = tensors[: form.lefts], tensors[form.lefts :]
    to_right = multiplied(left.mT, shares) if wanted[1] else None
    to_left = multiplied(shares, right.mT) if wanted[0] else None
    return [
        *_at_parts(to_left, lefts, left, top if form.a_linear else None),
        *_at_parts(to_right, rights, right, side if form.b_linear else None),
    ]


def least(dtype: torch.dtype, length: int) -> float:
    """From where on a sum of so many products of numbers up to 1 has all its digits."""
    return length * _least_of(dtype)


def multiplied(a: Tensor, b: Tensor) -> Tensor:
    """In the precision that the factors have, whatever autocast would rather have."""
    if a.device.type == "meta" or not torch.is_autocast_enabled(a.device.type):
        return torch.matmul(a, b)
    with torch.autocast(a.device.type, enabled=False):
        return torch.matmul(a, b)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _at_parts(found: Tensor | None, parts: Sequence[Tensor], shares: Tensor, top: Tensor | None) -> list[Tensor]:
    """From the slope at the shares of a factor, as a matrix, to those at its parts; `top` is that of weights."""
    if found is None:
        return [part.new_zeros(()).expand(part.shape) for part in parts]
    found = found.mul_(shares) if top is None else found.div_(top.exp())
    if len(parts) == 1:
        return [found.view(parts[0].shape)]
    whole = found.view(torch.broadcast_shapes(*(part.shape for part in parts)))
    return [whole.sum_to_size(part.shape) for part in parts]


@cache
def _least_of(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).tiny / torch.finfo(dtype).eps


def _scaled(form: Form, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """The factors as matrices of shares of their maxima, the logarithms of these, and the length of the sum."""
    lefts, rights, rows, inner, columns, a_linear, b_linear = form
    left, top = _side(tensors[:lefts], a_linear, rows, inner, _last(inner))
    right, side = _side(tensors[lefts:], b_linear, inner, columns, _last(inner, columns))
    return left, right, top, side, left.shape[-1]


def _side(
    parts: Sequence[Tensor], linear: bool, first: int, second: int, summed: tuple[int, ...]
) -> tuple[Tensor, Tensor]:  # fmt: skip
    tops = [maxima(part, summed) for part in parts]
    if linear:
        shares, top = torch.where(parts[0] < 0, torch.nan, parts[0]).div_(tops[0]), torch.log(tops[0])
    elif len(parts) == 1:
        shares, top = (parts[0] - tops[0]).exp_(), tops[0]
    else:
        shares = reduce(mul, [(part - own).exp_() for part, own in zip(parts, tops, strict=True)])
        top = reduce(add, tops)
    if second > 1:
        shares, top = shares.flatten(-second), top.flatten(-second)
    if first > 1:
        shares, top = shares.flatten(-1 - first, -2), top.flatten(-1 - first, -2)
    return shares, top


@cache
def _last(count: int, behind: int = 0) -> tuple[int, ...]:
    """So many of the last dimensions, before others."""
    return tuple(range(-count - behind, -behind))
