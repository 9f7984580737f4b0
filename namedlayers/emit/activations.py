"""Activations, and losses of single differences: one function of torch each, of tensors and numbers.

In: tensors in any layout. Out: a tensor in the layout of the first. What always holds: numbers are no tensors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node

FUNCTIONS: dict[str, Callable] = {
    "clip": torch.clamp, "leaky_relu": F.leaky_relu, "elu": F.elu, "softshrink": F.softshrink,
    "hardshrink": F.hardshrink, "threshold": F.threshold, "selu": F.selu, "hardswish": F.hardswish,
    "mish": F.mish, "log_sigmoid": F.logsigmoid,
}  # fmt: skip

LOSSES: dict[str, Callable] = {
    "square": F.mse_loss, "huber": F.huber_loss, "entropy": F.binary_cross_entropy_with_logits,
}  # fmt: skip


@emits("activation")
def emit_activation(lo: Lowering, node: Node) -> Value:
    x, *numbers = lo.operands(node)
    x = lo.tensor(x)
    function = FUNCTIONS[str(node.attr("function"))]
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


@emits("difference")
def emit_difference(lo: Lowering, node: Node) -> Value:
    x, y, *numbers = lo.operands(node)
    x, y = lo.alike([x, y])
    y = lo.permuted(y, x.axes)
    options = {"reduction": str(node.attr("reduction"))} | ({"delta": numbers[0]} if numbers else {})
    return lo.call(LOSSES[str(node.attr("function"))], (x, y), x.axes if node.rank else (), options)
