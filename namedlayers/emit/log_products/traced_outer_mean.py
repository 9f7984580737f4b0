"""Means by the softmax of an outer sum for compilers: operators that look, and their slopes by formula.

In: what `outer_mean` takes, traced by torch.compile or not. Out: the mean, which has slopes. What always holds: all
weights are held only where their total is too small for all its digits; what transforms the function, and other
devices, hold them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.in_graphs import in_graph
from namedlayers.emit.log_products import outer_mean as plain
from namedlayers.emit.log_products.quick_product import least, multiplied


def outer_mean(a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    """The mean of values, weighed by the softmax over the middle dimension of a[m, k] + b[k, n].

    >>> outer_mean(torch.zeros(1, 2), torch.zeros(2, 1), torch.tensor([[3.0], [5.0]]))
    tensor([[4.]])
    """
    if is_dynamo_compiling() and not is_exporting():
        return plain.in_one_precision(_traced, a, b, values)
    return plain.outer_mean(a, b, values)


# --- helpers ----------------------------------------------------------------------------------------------------------


@in_graph  # it is traced from tensor to tensor, not line by line, and guards nothing
def _traced(a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    if torch._C._functorch.peek_interpreter_stack() is not None or not a.is_cpu:
        return plain.weighed(a, b, values)
    found: Tensor = _Mean.apply(a, b, values)
    return found


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, values: Tensor) -> Tensor:
        found, total = torch.ops.namedlayers.outer_mean(a, b, values)
        ctx.save_for_backward(a, b, values, found, total)
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.ops.namedlayers.outer_mean_slopes(slope, *ctx.saved_tensors))


def _mean(a: Tensor, b: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The mean, and the totals of weights."""
    if not (a.numel() and b.numel() and values.numel()):
        found = plain.weighed(a, b, values)
        return found, torch.zeros_like(found)
    left, right = _powers(a, b)
    total = multiplied(left, right)
    if total.min().item() >= least(a.dtype, a.shape[-1]):
        found = multiplied(left, right * values) / total
    else:
        found = plain.outer_mean(a, b, values)
    return found.contiguous(), total.expand(found.shape).contiguous()


def _slopes(
    slope: Tensor, a: Tensor, b: Tensor, values: Tensor, found: Tensor, total: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """By formula where nothing is too small."""
    given = (a, b, values)
    if not total.numel() or not total.min().item() >= plain.least_derived(a.dtype):
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in given]
            made = torch.autograd.grad(plain.outer_mean(*leaves), leaves, slope)
        return tuple(x.contiguous() for x in made)  # type: ignore[return-value]
    left, right = _powers(a, b)
    share = slope / total
    rest = share * found
    back = multiplied(left.mT, share)
    to_a = left * (multiplied(share, (right * values).mT) - multiplied(rest, right.mT))
    to_b = right * (back * values - multiplied(left.mT, rest))
    made = (to_a, to_b, right * back)
    return tuple(one.sum_to_size(x.shape).contiguous() for one, x in zip(made, given, strict=True))  # type: ignore[return-value]


def _powers(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return (a - a.amax(-1, keepdim=True)).exp_(), (b - b.amax(-2, keepdim=True)).exp_()


def _like_mean(a: Tensor, b: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    shape = torch.broadcast_shapes(
        (*a.shape[:-1], 1), *((*one.shape[:-2], 1, one.shape[-1]) for one in (b, values))
    )  # fmt: skip
    return a.new_empty(shape), a.new_empty(shape)


def _like_slopes(slope: Tensor, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a, b, values, *_ = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in given)
    return a, b, values


_operators = torch.library.Library("namedlayers", "FRAGMENT")
_operators.define("outer_mean(Tensor a, Tensor b, Tensor values) -> (Tensor, Tensor)")
_operators.define(
    "outer_mean_slopes(Tensor slope, Tensor a, Tensor b, Tensor values, Tensor found, Tensor total) "
    "-> (Tensor, Tensor, Tensor)"
)
for _name, _function, _fake in (
    ("outer_mean", _mean, _like_mean),
    ("outer_mean_slopes", _slopes, _like_slopes),
):  # fmt: skip
    _operators.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"namedlayers::{_name}", _fake, lib=_operators)
