"""Activations, and losses of single differences: one function of torch each, of tensors and numbers.

In: tensors in any layout. Out: a tensor in the layout of the first. What always holds: numbers are no tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.attributes import position
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node


def hard_sigmoid(x: Tensor) -> Tensor:
    """`F.hardsigmoid`, whose gradient has in double precision the digits of a single one only.

    >>> hard_sigmoid(torch.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return F.hardtanh(x + 3, 0, 6) / 6 if x.dtype is torch.float64 else F.hardsigmoid(x)


FUNCTIONS: dict[str, Callable] = {
    "clip": torch.clamp, "leaky_relu": F.leaky_relu, "elu": F.elu, "softshrink": F.softshrink,
    "hardshrink": F.hardshrink, "threshold": F.threshold, "selu": F.selu, "hardswish": F.hardswish,
    "hardsigmoid": hard_sigmoid, "mish": F.mish, "log_sigmoid": F.logsigmoid,
}  # fmt: skip

KNOWN: Mapping[tuple[Any, ...], Callable] = {
    (torch.clamp, 0, 6): F.relu6, (torch.clamp, -1, 1): F.hardtanh, (F.softshrink, 0.5): F.softshrink,
    (F.hardshrink, 0.5): F.hardshrink, (F.leaky_relu, 0.01): F.leaky_relu, (F.elu, 1): F.elu,
}  # fmt: skip
"""What knows these numbers by itself: to pass one takes torch a quarter of a microsecond."""

LOSSES: dict[str, Callable] = {
    "square": F.mse_loss, "huber": F.huber_loss, "entropy": F.binary_cross_entropy_with_logits,
}  # fmt: skip


@emits("activation")
def emit_activation(lo: Lowering, node: Node) -> Value:
    x, *numbers = lo.operands(node)
    x = lo.tensor(x)
    function = FUNCTIONS[str(node.attr("function"))]
    known = KNOWN.get((function, *(one.held for one in numbers if one.literal)))
    if known is not None:
        return lo.call(known, (x,), x.axes, weak=x.weak)
    if function is torch.clamp and all(one.literal for one in numbers) and numbers[0].held < numbers[1].held:  # type: ignore[operator]
        function = F.hardtanh  # whose gradient is one pass too
    return lo.call(function, (x, *numbers), x.axes, weak=x.weak)


@emits("prelu")
def emit_prelu(lo: Lowering, node: Node) -> Value:
    x, slope = lo.alike([lo.filled(value, arg.axes) for value, arg in zip(lo.operands(node), node.args, strict=True)])
    (along,) = slope.axes
    if x.dim(along) != 1:
        first, *rest = (axis for axis in x.axes if axis != along)
        x = lo.permuted(x, (first, along, *rest))
    return lo.call(F.prelu, (x, slope), x.axes)


@emits("glu")
def emit_glu(lo: Lowering, node: Node) -> Value:
    x = lo.working(lo.tensor(lo.operands(node)[0]))
    halves = own(node.args[0].axes.index(-1))
    axes = tuple(position(node, "axis") if a == halves else a for a in x.axes)
    return lo.call(F.glu, (x, x.dim(halves)), axes)


@emits("difference")
def emit_difference(lo: Lowering, node: Node) -> Value:
    x, y, *more = lo.operands(node)
    x, y = lo.alike([x, y])
    y = lo.permuted(y, x.axes)
    options: dict[str, Any] = {"reduction": str(node.attr("reduction"))}
    function = LOSSES[str(node.attr("function"))]
    if more and function is F.huber_loss:
        options["delta"] = more[0]
    elif more:
        function = weighted_entropy
        options["weight"] = more[0] if more[0].number else lo.aligned(lo.alike([x, more[0]])[1], x.axes)
    return lo.call(function, (x, y), x.axes if node.rank else (), options)


def weighted_entropy(x: Tensor, y: Tensor, *, weight: Tensor | float, reduction: str) -> Tensor:
    """`F.binary_cross_entropy_with_logits` with a weight of y = 1 that may be a number, or learned, where torch has no
    gradient of it.

    >>> weighted_entropy(torch.zeros(2), torch.tensor([0.0, 1.0]), weight=2.0, reduction="none")
    tensor([0.6931, 1.3863])
    """
    if not isinstance(weight, Tensor):
        weight = x.new_full((), weight)
    if not weight.requires_grad:
        return F.binary_cross_entropy_with_logits(x, y, pos_weight=weight, reduction=reduction)
    losses = (1 - y) * x + (1 + (weight - 1) * y) * F.softplus(-x, threshold=40)
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()
