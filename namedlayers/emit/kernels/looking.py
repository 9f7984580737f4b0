"""Kernels whose results are looked at: where a row was all -inf, they are computed once more, with care.

torch's kernels give NaN where the language promises a number: a softmax of a row of -inf, the slope of a logsumexp of
one. What guards against it beforehand costs several passes over the data; to look at the result costs next to none,
since one element tells of a whole row.

In: real tensors, the dimensions along which they are reduced. Out: what the kernels give, but 0 for the softmax of a
row of -inf, and slopes of 0 from a result of -inf. What always holds: a look decides only which of two ways to the same
values is taken; where nobody may look (what is traced or transformed, and other devices, which would have to be waited
for) the careful way is taken at once: for a compiler that fuses, in operations that it fuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import visible

Dims = int | tuple[int, ...]

_WHOLE = (torch.float32, torch.float64)

FEW = 1024
"""Up to so many elements it is quicker to look at all of them than to pick some."""


def softmax(x: Tensor, dim: int) -> Tensor:
    """`torch.softmax`; 0 in a row of -inf, with slopes of 0.

    >>> softmax(torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]]), 1)
    tensor([[1., 0.],
            [0., 0.]])
    """
    if not visible(x):
        fuses = is_dynamo_compiling() and not is_exporting()
        return _Fused.apply(x, dim) if fuses else _careful_softmax(x, dim)
    found = torch.softmax(x, dim)
    # Not `detach`ed: where nothing is in the caches, one call of torch's more takes longer than what it saves.
    seen = found.select(dim, 0) if x.numel() > FEW else found
    if torch.equal(seen, seen):  # no NaN: such rows have nothing else
        return found
    return _careful_softmax(x.to(found.dtype), dim)


def powers(logarithm: Tensor, x: Tensor, dim: int) -> Tensor:
    """`softmax(x, dim)`, whose logarithm is there: its exponential has as many digits but in half precision.

    >>> x = torch.tensor([[0.0, 0.0], [-torch.inf, -torch.inf]])
    >>> powers(torch.log_softmax(x, 1), x, 1)
    tensor([[0.5000, 0.5000],
            [0.0000, 0.0000]])
    """
    if logarithm.dtype not in _WHOLE or not visible(x):  # (a compiler fuses both as they are)
        return softmax(x, dim)
    found = torch.exp(logarithm)
    seen = found.select(dim, 0) if x.numel() > FEW else found
    return found if torch.equal(seen, seen) else softmax(x, dim)


def logsumexp(x: Tensor, dims: Dims) -> Tensor:
    """`torch.logsumexp`; where it is -inf, the slopes are 0.

    >>> x = torch.full((2,), -torch.inf, requires_grad=True)
    >>> torch.autograd.grad(logsumexp(x, 0), x)
    (tensor([0., 0.]),)
    """
    return _without_slope(x, dims, torch.logsumexp)


def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """`torch.logcumsumexp`; where it is -inf, the slopes are 0."""
    return _without_slope(x, dim, torch.logcumsumexp)


# --- helpers ----------------------------------------------------------------------------------------------------------

_careful_softmax = torch.ops.aten._safe_softmax.default
"""(As `torch._safe_softmax` the compiler does not know it.)"""


class _Fused(torch.autograd.Function):
    """Softmax in operations that a compiler fuses: what is guarded is one number a row. It is kept for its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, dim: int) -> Tensor:
        if x.size(dim) == 0:
            return torch.softmax(x, dim)
        given, x = x.dtype, x.to(torch.promote_types(x.dtype, torch.float32))
        # What a compiler repeats for every element is one instruction a guard, and no branch.
        limits = torch.finfo(x.dtype)
        top = x.amax(dim, keepdim=True)
        powers = torch.exp(x - torch.where(top > limits.min, top, limits.min))
        total = powers.sum(dim, keepdim=True)  # 0, or at least 1: to which what is added is too small to count
        return (powers / (total + limits.tiny)).to(given)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.dim = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (found,) = ctx.saved_tensors
        return torch.ops.aten._softmax_backward_data(slope, found, ctx.dim, found.dtype), None


def _without_slope(x: Tensor, dims: Dims, kernel: Callable[..., Tensor]) -> Tensor:
    """A kernel that is -inf where all of a row is: no matter, unless its slope is asked for."""
    if not visible(x):
        return _raised(x, dims, kernel)
    found = kernel(x, dims)
    if found.requires_grad and (found.detach() == -math.inf).any():
        return _raised(x.to(found.dtype), dims, kernel)
    return found


def _raised(x: Tensor, dims: Dims, kernel: Callable[..., Tensor]) -> Tensor:
    """The lowest number stands in for -inf, and gives it back at the end."""
    lowest = torch.finfo(x.dtype).min
    found = kernel(torch.clamp(x, min=lowest), dims)
    return found.masked_fill(found <= lowest, -math.inf)
