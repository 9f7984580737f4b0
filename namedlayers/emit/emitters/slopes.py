"""Derivatives of activations and norms, by the kernels by which torch differentiates them.

In: tensors, numbers. Out: the derivative of an activation at each element; what comes back through a norm. What always
holds: at kinks it is what autograd says.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from namedlayers.emit.attributes import positions
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node

_aten = torch.ops.aten


def gelu_slope(x: Tensor) -> Tensor:
    """
    >>> gelu_slope(torch.zeros(1))
    tensor([0.5000])
    """
    return _aten.gelu_backward(_one(x), x)


def gelu_tanh_slope(x: Tensor) -> Tensor:
    """
    >>> gelu_tanh_slope(torch.zeros(1))
    tensor([0.5000])
    """
    return _aten.gelu_backward(_one(x), x, approximate="tanh")


def clip_slope(x: Tensor, low: float, high: float) -> Tensor:
    """
    >>> clip_slope(torch.tensor([-2.0, 0.5, 2.0]), -1, 1)
    tensor([0., 1., 0.])
    """
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low < high:
        return _aten.hardtanh_backward(_one(x), x, low, high)
    return ((x >= low) & (x <= high)).to(x.dtype)


def leaky_relu_slope(x: Tensor, slope: float) -> Tensor:
    """
    >>> leaky_relu_slope(torch.tensor([-2.0, 2.0]), 0.5)
    tensor([0.5000, 1.0000])
    """
    return _aten.leaky_relu_backward(_one(x), x, slope, False)


def elu_slope(x: Tensor, alpha: float) -> Tensor:
    """
    >>> elu_slope(torch.tensor([-torch.inf, 2.0]), 0.5)
    tensor([0., 1.])
    """
    return _aten.elu_backward(_one(x), alpha, 1.0, 1.0, False, x)


def selu_slope(x: Tensor) -> Tensor:
    """
    >>> selu_slope(torch.tensor([-torch.inf, 2.0]))
    tensor([0.0000, 1.0507])
    """
    return _aten.elu_backward(_one(x), _ALPHA, _SCALE, 1.0, False, x)


def softshrink_slope(x: Tensor, bound: float) -> Tensor:
    """
    >>> softshrink_slope(torch.tensor([-2.0, 0.5, 2.0]), 1.0)
    tensor([1., 0., 1.])
    """
    return _aten.softshrink_backward(_one(x), x, bound)


def hardshrink_slope(x: Tensor, bound: float) -> Tensor:
    """
    >>> hardshrink_slope(torch.tensor([-2.0, 0.5, 2.0]), 1.0)
    tensor([1., 0., 1.])
    """
    return _aten.hardshrink_backward(_one(x), x, bound)


def threshold_slope(x: Tensor, least: float, value: float) -> Tensor:
    """
    >>> threshold_slope(torch.tensor([0.5, 2.0]), 1.0, 0.0)
    tensor([0., 1.])
    """
    return _aten.threshold_backward(_one(x), x, least)


def hardswish_slope(x: Tensor) -> Tensor:
    """
    >>> hardswish_slope(torch.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return _aten.hardswish_backward(_one(x), x)


def hardsigmoid_slope(x: Tensor) -> Tensor:
    """As `activations.hard_sigmoid` is computed.

    >>> hardsigmoid_slope(torch.tensor([-4.0, 3.0, 0.0], dtype=torch.float64))
    tensor([0.0000, 0.0000, 0.1667], dtype=torch.float64)
    """
    if x.dtype is torch.float64:
        return _aten.hardtanh_backward(_one(x), x + 3, 0, 6) / 6
    return _aten.hardsigmoid_backward(_one(x), x)


def mish_slope(x: Tensor) -> Tensor:
    """
    >>> mish_slope(torch.zeros(1))
    tensor([0.6000])
    """
    return _aten.mish_backward(_one(x), x)


SLOPES: dict[str, Callable[..., Tensor]] = {
    "gelu": gelu_slope, "gelu_tanh": gelu_tanh_slope, "clip": clip_slope, "leaky_relu": leaky_relu_slope,
    "elu": elu_slope, "selu": selu_slope, "softshrink": softshrink_slope, "hardshrink": hardshrink_slope,
    "threshold": threshold_slope, "hardswish": hardswish_slope, "hardsigmoid": hardsigmoid_slope, "mish": mish_slope,
    "lgamma": torch.digamma,
}  # fmt: skip


@emits("slope")
def emit_slope(lo: Lowering, node: Node) -> Value:
    x, *numbers = lo.operands(node)
    x = lo.working(lo.tensor(x))
    return lo.call(SLOPES[str(node.attr("function"))], (x, *numbers), x.axes, weak=x.weak)


def norm_slope(g: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor | None, dims: int) -> Tensor:
    """What comes back through a norm over the last `dims` dimensions, by the kernel of layer norms.

    >>> norm_slope(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 1.0]), torch.zeros(1), torch.ones(1), None, 1)
    tensor([0., 0.])
    """
    shape, wanted = x.shape[x.dim() - dims :], [True, False, False]
    rows = mean.contiguous(), inverse.contiguous()
    return _aten.native_layer_norm_backward(g, x, shape, *rows, weight, None, wanted)[0]


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

_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805
"""Of `torch.selu`."""


def _one(x: Tensor) -> Tensor:
    """What comes back: 1, everywhere."""
    return x.new_ones(()).expand_as(x)
