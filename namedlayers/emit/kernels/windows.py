"""Windows of an axis that no convolution and no pool takes: one view of what is there, where a view will do.

In: a tensor, a dimension, how many windows of how many places, the steps between windows and between places, where the
first begins. Out: the windows and their places in the stead of the dimension. What always holds: all places are within
it. Where anything but autograd records or transforms what is done, they are read by number: compiled gradients of views
that overlap have been wrong.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.compiler import is_compiling

from namedlayers.emit.kernels.eager import visible

Pair = tuple[int, int]

SHORT = 64
"""Up to so many places a window is short."""


def windows(x: Tensor, dim: int, sizes: Pair, steps: Pair, start: int = 0) -> Tensor:
    """
    >>> windows(torch.arange(5), 0, (3, 2), (1, 2))
    tensor([[0, 2],
            [1, 3],
            [2, 4]])
    """
    (count, length), (stride, dilation) = sizes, steps
    if visible(x) and count > 0 and length > 0:
        reach = dilation * (length - 1) + 1
        part = x.narrow(dim, start, stride * (count - 1) + reach).unfold(dim, reach, stride)
        return (part if dilation == 1 else part[..., ::dilation]).movedim(-1, dim + 1)
    first = torch.arange(count, device=x.device) * stride + start
    at = first.unsqueeze(-1) + torch.arange(length, device=x.device) * dilation
    return torch.index_select(x, dim, at.reshape(-1)).unflatten(dim, sizes)


def in_one_piece(x: Tensor, first: int, end: int) -> Tensor:
    """A copy that lies as its dimensions are, if those from `first` to `end` are short windows. (A compiler, which
    makes no copy for it, decides for itself.)

    >>> in_one_piece(torch.zeros(2, 3).t(), 0, 1).is_contiguous()
    True
    """
    return x if is_compiling() or math.prod(x.shape[first:end]) > SHORT else x.contiguous()
