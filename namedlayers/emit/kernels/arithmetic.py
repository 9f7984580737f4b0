"""Arithmetic that torch lacks under its own names: quotients that have a slope, and bounds beyond a type.

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
