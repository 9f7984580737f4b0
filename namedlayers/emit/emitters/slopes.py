"""Derivatives of activations and norms, by the kernels by which torch differentiates them.

In: tensors, numbers. Out: what comes back through an activation, or its derivative at each element (where nothing is
said of what comes back); what comes back through a norm. What always holds: at kinks it is what autograd says.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch
from torch import Tensor

from namedlayers.emit.attributes import positions
from namedlayers.emit.calls import unwrap
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node

_aten = torch.ops.aten


def gelu_back(g: Tensor | None, x: Tensor) -> Tensor:
    """
    >>> gelu_back(None, torch.zeros(1))
    tensor([0.5000])
    """
    return _aten.gelu_backward(_given(g, x), x)


def gelu_tanh_back(g: Tensor | None, x: Tensor) -> Tensor:
    """
    >>> gelu_tanh_back(None, torch.zeros(1))
    tensor([0.5000])
    """
    return _aten.gelu_backward(_given(g, x), x, approximate="tanh")


def clip_back(g: Tensor | None, x: Tensor, low: float, high: float) -> Tensor:
    """
    >>> clip_back(torch.full((3,), 5.0), torch.tensor([-2.0, 0.5, 2.0]), -1, 1)
    tensor([0., 5., 0.])
    """
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low < high:
        return _aten.hardtanh_backward(_given(g, x), x, low, high)
    return torch.where((x >= low) & (x <= high), _given(g, x), 0)


def leaky_relu_back(g: Tensor | None, x: Tensor, slope: float) -> Tensor:
    """
    >>> leaky_relu_back(None, torch.tensor([-2.0, 2.0]), 0.5)
    tensor([0.5000, 1.0000])
    """
    return _aten.leaky_relu_backward(_given(g, x), x, slope, False)


def elu_back(g: Tensor | None, x: Tensor, alpha: float) -> Tensor:
    """
    >>> elu_back(None, torch.tensor([-torch.inf, 2.0]), 0.5)
    tensor([0., 1.])
    """
    return _aten.elu_backward(_given(g, x), alpha, 1.0, 1.0, False, x)


def selu_back(g: Tensor | None, x: Tensor) -> Tensor:
    """
    >>> selu_back(None, torch.tensor([-torch.inf, 2.0]))
    tensor([0.0000, 1.0507])
    """
    return _aten.elu_backward(_given(g, x), _ALPHA, _SCALE, 1.0, False, x)


def softshrink_back(g: Tensor | None, x: Tensor, bound: float) -> Tensor:
    """
    >>> softshrink_back(None, torch.tensor([-2.0, 0.5, 2.0]), 1.0)
    tensor([1., 0., 1.])
    """
    return _aten.softshrink_backward(_given(g, x), x, bound)


def hardshrink_back(g: Tensor | None, x: Tensor, bound: float) -> Tensor:
    """
    >>> hardshrink_back(None, torch.tensor([-2.0, 0.5, 2.0]), 1.0)
    tensor([1., 0., 1.])
    """
    return _aten.hardshrink_backward(_given(g, x), x, bound)


def threshold_back(g: Tensor | None, x: Tensor, least: float, value: float) -> Tensor:
    """
    >>> threshold_back(None, torch.tensor([0.5, 2.0]), 1.0, 0.0)
    tensor([0., 1.])
    """
    return _aten.threshold_backward(_given(g, x), x, least)


def hardswish_back(g: Tensor | None, x: Tensor) -> Tensor:
    """
    >>> hardswish_back(None, torch.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return _aten.hardswish_backward(_given(g, x), x)


def hardsigmoid_back(g: Tensor | None, x: Tensor) -> Tensor:
    """As `activations.hard_sigmoid` is computed.

    >>> hardsigmoid_back(None, torch.tensor([-4.0, 3.0, 0.0], dtype=torch.float64))
    tensor([0.0000, 0.0000, 0.1667], dtype=torch.float64)
    """
    if x.dtype is torch.float64:
        return _aten.hardtanh_backward(_given(g, x), x + 3, 0, 6) / 6
    return _aten.hardsigmoid_backward(_given(g, x), x)


def mish_back(g: Tensor | None, x: Tensor) -> Tensor:
    """
    >>> mish_back(None, torch.zeros(1))
    tensor([0.6000])
    """
    return _aten.mish_backward(_given(g, x), x)


def silu_back(g: Tensor | None, x: Tensor) -> Tensor:
    """
    >>> silu_back(None, torch.zeros(1))
    tensor([0.5000])
    """
    return _aten.silu_backward(_given(g, x), x)


def relu_back(g: Tensor | None, y: Tensor) -> Tensor:
    """Of the value y.

    >>> relu_back(torch.full((2,), 5.0), torch.tensor([0.0, 2.0]))
    tensor([0., 5.])
    """
    return _aten.threshold_backward(_given(g, y), y, 0)


def sigmoid_back(g: Tensor | None, y: Tensor) -> Tensor:
    """Of the value y.

    >>> sigmoid_back(None, torch.tensor([0.5]))
    tensor([0.2500])
    """
    return _aten.sigmoid_backward(_given(g, y), y)


def tanh_back(g: Tensor | None, y: Tensor) -> Tensor:
    """Of the value y.

    >>> tanh_back(None, torch.tensor([0.5]))
    tensor([0.7500])
    """
    return _aten.tanh_backward(_given(g, y), y)


def lgamma_back(g: Tensor | None, x: Tensor) -> Tensor:
    """
    >>> lgamma_back(None, torch.ones(1))
    tensor([-0.5772])
    """
    slope = torch.digamma(x)
    return slope if g is None else g * slope


BACKS: dict[str, Callable[..., Tensor]] = {
    "gelu": gelu_back, "gelu_tanh": gelu_tanh_back, "clip": clip_back, "leaky_relu": leaky_relu_back,
    "elu": elu_back, "selu": selu_back, "softshrink": softshrink_back, "hardshrink": hardshrink_back,
    "threshold": threshold_back, "hardswish": hardswish_back, "hardsigmoid": hardsigmoid_back, "mish": mish_back,
    "silu": silu_back, "relu": relu_back, "sigmoid": sigmoid_back, "tanh": tanh_back, "lgamma": lgamma_back,
}  # fmt: skip


@emits("slope")
def emit_slope(lo: Lowering, node: Node) -> Value:
    x, *numbers = lo.operands(node)
    x = lo.working(lo.tensor(x))
    return lo.call(BACKS[str(node.attr("function"))], (None, x, *numbers), x.axes, weak=x.weak)


@emits("slope_times")
def emit_slope_times(lo: Lowering, node: Node) -> Value:
    pair, numbers = node.args[:2], node.args[2:]
    g, x = lo.alike([lo.working(lo.tensor(lo.operand(one))) for one in pair])
    order = lo.filled(x, tuple(range(node.rank))).axes
    g, x = (lo.permuted(lo.filled(one, order), order) for one in (g, x))
    given = [lo.operand(one) for one in numbers]
    return lo.call(BACKS[str(node.attr("function"))], (g, x, *given), order)


def norm_slope(g: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor | None, dims: int) -> Tensor:
    """What comes back through a norm over the last `dims` dimensions, by the kernel of layer norms.

    >>> norm_slope(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 1.0]), torch.zeros(1), torch.ones(1), None, 1)
    tensor([0., 0.])
    """
    shape, wanted = x.shape[x.dim() - dims :], [True, False, False]
    rows = mean.contiguous(), inverse.contiguous()
    return _aten.native_layer_norm_backward(g, x, shape, *rows, weight, None, wanted)[0]


def moments(x: Tensor, dims: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """What is standardized over the last `dims` dimensions, the means, and one by the roots of variances and eps.

    >>> moments(torch.tensor([[1.0, 5.0]]), 1, 0.0)
    (tensor([[-1.,  1.]]), tensor([3.]), tensor([0.5000]))
    """
    rest = x.shape[: x.dim() - dims]
    value, mean, inverse = torch.native_layer_norm(x, x.shape[x.dim() - dims :], None, None, eps)
    return value, mean.reshape(rest), inverse.reshape(rest)


@emits("moment")
def emit_moment(lo: Lowering, node: Node) -> Value:
    axes = node.args[0].axes
    found, order = _moments(lo, node, tuple(axis for axis in axes if axis >= node.rank))
    number = 1 if node.attr("which") == "mean" else 2
    return lo.call(operator.getitem, (found, number), tuple(axis for axis in order if axis < node.rank))


@emits("standard")
def emit_standard(lo: Lowering, node: Node) -> Value:
    found, order = _moments(lo, node, positions(node, "axes"))
    return lo.call(operator.getitem, (found, 0), order)


@emits("standardize_back")
def emit_standardize_back(lo: Lowering, node: Node) -> Value:
    axes = positions(node, "axes")
    g, x, mean, inverse, *weight = lo.alike([lo.working(lo.tensor(one)) for one in lo.operands(node)])
    every = tuple(range(node.rank))
    liked = lo.filled(x, every).axes
    rest = tuple(axis for axis in liked if axis not in axes)
    last = tuple(axis for axis in liked if axis in axes)
    g, x = (lo.permuted(lo.filled(one, every), (*rest, *last)) for one in (g, x))
    rows = [lo.permuted(lo.filled(one, rest), rest) for one in (mean, inverse)]
    over = lo.permuted(weight[0], last) if weight else None
    return lo.call(norm_slope, (g, x, *rows, over, len(last)), x.axes)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _moments(lo: Lowering, node: Node, axes: tuple[int, ...]) -> tuple[Value, tuple[int, ...]]:
    """The call of `moments` over `axes`, one for all that is asked of it, and the axes of the operand in its order:
    these last."""
    x, eps = lo.operands(node)
    x = lo.working(lo.tensor(x))
    order = (*(axis for axis in x.axes if axis not in axes), *(axis for axis in x.axes if axis in axes))
    args = unwrap((lo.permuted(x, order), len(axes), eps))
    same = next((one for one in lo.fx.nodes if one.target is moments and one.args == args), None)
    if same is not None:
        return Value(same, order, node.kind, node.weak), order
    return lo.call(moments, args, order), order


_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805
"""Of `torch.selu`."""


def _given(g: Tensor | None, x: Tensor) -> Tensor:
    """What comes back; if nothing is said, 1 everywhere."""
    return x.new_ones(()).expand_as(x) if g is None else g
