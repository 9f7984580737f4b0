"""Variances and standard deviations in two passes over what is in a processor's cache.

In: a real tensor, the dimensions that go, a number that their count is less by. Out: what `torch.var` and `torch.std`
give, which on CPUs go through the values one by one, without vector instructions. What always holds: values are taken
less one of them first, so that of equal ones the deviation is 0, exactly, and its slope with it; what is made on the
way is as long as a block. Who asks for a derivative of the derivative gets torch's.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import visible

FEW = 2048
"""Of fewer values a call less is worth more."""
BLOCK = 2**17
"""So many values are a block, about."""

_ACCURATE = (torch.float32, torch.float64)


def var(x: Tensor, dim: int | tuple[int, ...], correction: int = 0) -> Tensor:
    """
    >>> var(torch.tensor([[1.0, 3.0]]), 1), var(torch.tensor([[1.0, 3.0]]), 1, correction=1)
    (tensor([1.]), tensor([2.]))
    """
    return _by_blocks(x, dim, correction, False)


def std(x: Tensor, dim: int | tuple[int, ...], correction: int = 0) -> Tensor:
    """
    >>> std(torch.tensor([[1.0, 3.0], [0.1, 0.1]]), 1)
    tensor([1., 0.])
    """
    return _by_blocks(x, dim, correction, True)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _by_blocks(x: Tensor, dim: int | tuple[int, ...], correction: int, root: bool) -> Tensor:
    if not visible(x) or x.dtype not in _ACCURATE or x.numel() < FEW:
        return (torch.std if root else torch.var)(x, dim, correction=correction)
    dims = (dim,) if isinstance(dim, int) else dim
    if torch.is_grad_enabled() and x.requires_grad:
        return _Deviation.apply(x, dims, correction, root)
    return _computed(x, dims, correction, root)


def _computed(x: Tensor, dims: tuple[int, ...], correction: int, root: bool) -> Tensor:
    if 0 in dims or x.numel() <= BLOCK:
        found = _block(x, dims)
    else:
        rows = max(1, BLOCK * x.size(0) // x.numel())
        found = torch.cat([_block(part, dims) for part in x.split(rows)])
    found = found.div_(max(_count(x, dims) - correction, 0))
    return found.sqrt_() if root else found


def _block(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The sums of squares of what is left of values less their mean."""
    one = x
    for dim in dims:
        one = one.narrow(dim, 0, 1)
    left = x - one
    left -= left.mean(dims, keepdim=True)
    return left.mul_(left).sum(dims)


def _count(x: Tensor, dims: tuple[int, ...]) -> int:
    return math.prod(x.size(dim) for dim in dims)


class _Deviation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...], correction: int, root: bool) -> Tensor:
        found = _computed(x.detach(), dims, correction, root)
        ctx.save_for_backward(x, *([found] if root else []))
        ctx.dims, ctx.correction, ctx.root = dims, correction, root
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, *found = ctx.saved_tensors
        if torch.is_grad_enabled():  # of this, a derivative is wanted
            x = x.view_as(x)
            again = (torch.std if ctx.root else torch.var)(x, ctx.dims, correction=ctx.correction)
            return torch.autograd.grad(again, x, slope, create_graph=True)[0], None, None, None
        scale = slope / (_count(x, ctx.dims) - ctx.correction)
        scale = (scale / found[0]).masked_fill(found[0] == 0, 0) if ctx.root else scale * 2
        for dim in sorted(ctx.dims):
            scale = scale.unsqueeze(dim)
        return (x - x.mean(ctx.dims, keepdim=True)) * scale, None, None, None
