"""Convolutions of one input whose windows are the same: one convolution, its kernels one behind the other.

In: an input [batch, channel, place…] or [channel, place…], weights [out, channel, tap…], a bias [out] each or none, and
what torch's convolutions are told. Out: what each gives, in turn. What always holds: each is what `conv1d` and the like
give for it alone, to rounding; which way is taken depends on sizes alone.

What is saved is that the input is read, and laid out for the kernel, once, and that what comes back to it is made once
and not added. It costs a copy of the weights. On the CPU, two of 16 channels take 0.7 to 0.9 of the time so, with
slopes too, three 0.5 to 0.8; kernels that have much to do with each number, or more numbers than their input, gain
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import unrecorded

MOST = 256
"""Products with each number of the input, beyond which they are what takes the time."""

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)


def convolutions(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor | None], **options: Any
) -> tuple[Tensor, ...]:
    """
    >>> x, one = torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 1, 2)
    >>> convolutions(x, (one, -one), (None, torch.tensor([1.0])))
    (tensor([[3., 5.]]), tensor([[-2., -4.]]))
    """
    space = weights[0].dim() - 2
    convolve = _CONVOLUTIONS[space - 1]
    if not _read_together(x, weights):
        return tuple([convolve(x, *one, **options) for one in zip(weights, biases, strict=True)])
    outs = [len(one) for one in weights]
    bias = None
    if any(one is not None for one in biases):
        bias = torch.cat([x.new_zeros(n) if one is None else one for n, one in zip(outs, biases, strict=True)])
    found = convolve(x, torch.cat(tuple(weights)), bias, **options)
    # Nobody else has what is cut: its parts may be written over as if each had been made alone.
    return tuple(torch.unsafe_split_with_sizes(found, outs, found.dim() - space - 1))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _read_together(x: Tensor, weights: Sequence[Tensor]) -> bool:
    # Transforms know no way to cut that leaves parts on their own.
    if is_exporting() or not x.is_cpu or not (is_dynamo_compiling() or unrecorded()):
        return False
    numbers = [one.numel() for one in weights]
    return max(numbers) <= MOST * weights[0].size(1) and sum(numbers) <= x.numel()
