"""Means whose weights are the softmax of an outer sum, as two matrix products; exact also where these underflow.

In: a [..., rows, inner] and b [..., inner, columns], logits of which the sum is taken; values [..., inner, columns].
Out: the sum over `inner` of softmax(a + b) * values, [..., rows, columns]. What always holds: each side is shifted by
its maxima; rows of which a total is too small for all its digits, is nothing or undefined, are computed with their
weights. Where numbers may not be looked at, all are. Half precision is computed in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, reduce

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import visible
from namedlayers.emit.kernels.looking import softmax
from namedlayers.emit.log_products.quick_product import least, multiplied

FEW = 1 << 12
"""Up to how many weights it is quicker to hold all of them."""

CHUNK = 1 << 22
"""How many weights are held at once where rows are computed with theirs."""

_HALF = (torch.float16, torch.bfloat16)


def outer_mean(a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    """The mean of values, weighed by the softmax over the middle dimension of a[m, k] + b[k, n].

    >>> a, b, values = torch.zeros(1, 2), torch.tensor([[0.0], [-1000.0]]), torch.tensor([[3.0], [5.0]])
    >>> outer_mean(a, b, values), outer_mean(a, b * 0, values)
    (tensor([[3.]]), tensor([[4.]]))
    """
    return in_one_precision(_mean, a, b, values)


def in_one_precision(function: Callable[..., Tensor], a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    """What a function makes of them in the widest of their precisions, or in single precision if that is half."""
    dtype = a.dtype
    if not dtype is b.dtype is values.dtype:
        dtype = reduce(torch.promote_types, (x.dtype for x in (a, b, values)))
        a, b, values = (x.to(dtype) for x in (a, b, values))
    if dtype in _HALF:
        return function(a.float(), b.float(), values.float()).to(dtype)
    return function(a, b, values)


def weighed(a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    """With all weights."""
    weights = softmax(a.unsqueeze(-1) + b.unsqueeze(-3), -2)
    return (weights * values.unsqueeze(-3)).sum(-2)


@cache
def least_derived(dtype: torch.dtype) -> float:
    """What is divided by a total may be divided by it again, and does not overflow."""
    return math.sqrt(torch.finfo(dtype).tiny)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _mean(a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    looked_at = visible(a) and visible(b) and visible(values)
    return _multiplied_out(a, b, values) if looked_at and _are_many(a, b, values) else weighed(a, b, values)


def _are_many(a: Tensor, b: Tensor, values: Tensor) -> bool:
    return a.numel() * b.shape[-1] > FEW and b.numel() > 0 and values.numel() > 0


def _multiplied_out(a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    derived = torch.is_grad_enabled() and any(x.requires_grad for x in (a, b, values))
    bound = least_derived(a.dtype) if derived else least(a.dtype, a.shape[-1])
    left, right = (a - a.detach().amax(-1, keepdim=True)).exp_(), (b - b.detach().amax(-2, keepdim=True)).exp_()
    total = multiplied(left, right)
    if total.detach().min().item() >= bound:
        return multiplied(left, right * values) / total if derived else multiplied(left, right.mul(values)).div_(total)
    left, right = _shares(a, -1), _shares(b, -2)
    total, found = multiplied(left, right), multiplied(left, right * values)
    low = ~(total.detach() >= bound)
    rows = low.movedim(-2, 0).flatten(1).any(1).nonzero()[:, 0]
    each = max(1, CHUNK // max(1, math.prod(found.shape[:-2]) * b.shape[-2] * b.shape[-1]))
    whole = torch.cat([weighed(a[..., some, :], b, values) for some in rows.split(each)], -2)
    return (found / total.masked_fill(low, 1)).index_copy(-2, rows, whole)


def _shares(x: Tensor, dim: int) -> Tensor:
    """Where all is -inf, 0."""
    top = x.detach().amax(dim, keepdim=True).clamp_(min=torch.finfo(x.dtype).min)
    return (x - top).exp_()
