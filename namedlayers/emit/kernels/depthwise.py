"""One kernel for each channel along a sequence, where channels lie beside one another in memory.

In: a sequence [batch, place, channel] or [place, channel], weights [channel, 1, tap], perhaps a bias [channel]. Out:
the same axes, with as many places as are left. What always holds: it is `conv1d` in which each channel is a group.

On the CPU it runs as an image of one row whose channels are last: torch's kernel of these goes over channels at once
and turns nothing, that of sequences turns them and goes channel by channel, in two to ten times the time. The slopes of
more taps than `TAPS` have a fast way in neither. torch.compile would turn what the slopes are made of: there an
operator makes them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.in_graphs import in_graph

TAPS = 16

FEW = 1 << 13
"""So few numbers are turned in less time than an operator takes to be called."""


def depthwise_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """
    >>> x = torch.tensor([[1.0, 1.0], [2.0, 0.0], [3.0, 1.0]])
    >>> depthwise_conv1d(x, torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]]))
    tensor([[ 3.,  1.],
            [ 5., -1.]])
    """
    if x.dim() == 2:
        return depthwise_conv1d(x.unsqueeze(0), weight, bias, stride, padding, dilation).squeeze(0)
    if _has_rows(x, weight, bias):
        traced = is_dynamo_compiling() and torch.is_grad_enabled() and x.numel() > FEW
        return (_traced if traced else _in_rows)(x, weight, bias, stride, padding, dilation)
    return F.conv1d(x.transpose(1, 2), weight, bias, stride, padding, dilation, weight.size(0)).transpose(1, 2)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _has_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    if not x.is_cpu or x.dtype is not torch.float32 or is_exporting():
        return False
    derived = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return not derived or bool(weight.size(-1) <= TAPS)


def _in_rows(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int) -> Tensor:
    row, taps = _as_row(x), weight.unsqueeze(-2)
    found = F.conv2d(row, taps, bias, (1, stride), (0, padding), (1, dilation), weight.size(0))
    return found.squeeze(-2).transpose(1, 2)


def _as_row(x: Tensor) -> Tensor:
    """An image of one row whose channels are last."""
    return x.contiguous().transpose(1, 2).unsqueeze(-2)


# --- for torch.compile ------------------------------------------------------------------------------------------------


@in_graph
def _traced(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int) -> Tensor:
    if torch._C._functorch.peek_interpreter_stack() is not None:  # a transform: it knows torch's own
        return _in_rows(x, weight, bias, stride, padding, dilation)
    found: Tensor = _Rows.apply(x, weight, bias, stride, padding, dilation)
    return found


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *form: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.form = form
        return _in_rows(x, weight, bias, *form)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[:3]
        found = torch.ops.namedlayers.depthwise_slopes(slope, *ctx.saved_tensors, ctx.form, needed)
        return *(one if want else None for one, want in zip(found, needed, strict=True)), None, None, None


def _slopes(
    slope: Tensor, x: Tensor, weight: Tensor, form: tuple[int, int, int], needed: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    stride, padding, dilation = form
    channels, taps = weight.size(0), weight.unsqueeze(-2)
    to_x, to_weight, to_bias = torch.ops.aten.convolution_backward(
        _as_row(slope), _as_row(x), taps, [channels], (1, stride), (0, padding), (1, dilation), False, (0, 0), channels,
        needed,
    )  # fmt: skip
    return (
        to_x.squeeze(-2).transpose(1, 2).contiguous() if needed[0] else x.new_empty(0),
        to_weight.squeeze(-2).contiguous() if needed[1] else x.new_empty(0),
        to_bias if needed[2] else x.new_empty(0),
    )


def _like_slopes(
    slope: Tensor, x: Tensor, weight: Tensor, form: tuple[int, int, int], needed: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = x.shape, weight.shape, weight.shape[:1]
    found = (x.new_empty(shape if want else (0,)) for shape, want in zip(shapes, needed, strict=True))
    return tuple(found)  # type: ignore[return-value]


_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
_operators.define(
    "depthwise_slopes(Tensor slope, Tensor x, Tensor weight, int[] form, bool[] needed) -> (Tensor, Tensor, Tensor)"
)
_operators.impl("depthwise_slopes", _slopes, "CompositeExplicitAutograd")
torch.library.register_fake("namedlayers::depthwise_slopes", _like_slopes, lib=_operators)
