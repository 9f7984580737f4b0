"""Arithmetic that torch lacks under its own names: quotients that have a slope, bounds beyond a type, sums of products,
means of two precisions.

In: tensors and numbers. Out: a tensor. What always holds: where torch's function does it, it is called.
"""

from __future__ import annotations

import torch
from torch import Tensor


def floor_quotient(x: Tensor, y: Tensor | float) -> Tensor:
    """`x // y`, of which torch has no derivative under that name; it is 0.

    >>> x = torch.tensor([-1.0, 7.0], requires_grad=True)
    >>> torch.autograd.grad(floor_quotient(x, 2).sum(), x)[0]
    tensor([0., 0.])
    """
    return torch.div(x, y, rounding_mode="floor")


def clamped(x: Tensor, min: int | None = None, max: int | None = None) -> Tensor:
    """`torch.clamp` of integers, whose bounds may be out of their type: it is the nearest that the type holds.

    >>> clamped(torch.tensor([3, 250], dtype=torch.uint8), max=300)
    tensor([  3, 250], dtype=torch.uint8)
    """
    held = torch.iinfo(x.dtype)
    bounds = (None if one is None else torch.sym_min(torch.sym_max(one, held.min), held.max) for one in (min, max))
    return torch.clamp(x, *bounds)


def plus_product(x: Tensor, a: Tensor, b: Tensor, sign: int = 1) -> Tensor:
    """`x + a * b`, or `x - a * b`, in one pass where nothing is differentiated: the slope of that pass has one product
    more than those of two.

    >>> plus_product(torch.ones(2), torch.tensor([2.0, 3.0]), torch.ones(1), -1)
    tensor([-1., -2.])
    """
    derived = torch.is_grad_enabled() and (x.requires_grad or a.requires_grad or b.requires_grad)
    if not derived and x.dtype is a.dtype is b.dtype:
        return torch.addcmul(x, a, b, value=sign)
    return x + a * b if sign == 1 else x - a * b


def lerp(start: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """`torch.lerp`, which takes tensors of one precision only; under autocast there may be two.

    >>> lerp(torch.zeros(2), torch.ones(2, dtype=torch.bfloat16), 0.5)
    tensor([0.5000, 0.5000])
    """
    same = start.dtype is end.dtype and (not isinstance(weight, Tensor) or weight.dtype is start.dtype)
    return torch.lerp(start, end, weight) if same else start + weight * (end - start)
