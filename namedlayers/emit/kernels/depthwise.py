"""One kernel for each channel along a sequence, where channels lie beside one another in memory.

In: a sequence [batch, place, channel] or [place, channel], weights [channel, 1, tap], perhaps a bias [channel]. Out:
the same axes, with as many places as are left. What always holds: it is `conv1d` in which each channel is a group.

On the CPU it runs as an image of one row whose channels are last: torch's kernel of these goes over channels at once
and turns nothing, that of sequences turns them and goes channel by channel, in two to ten times the time. The slopes of
more taps than `TAPS` have a fast way in neither.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_exporting

TAPS = 16


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
    channels = weight.size(0)
    if _has_rows(x, weight, bias):
        row, taps = x.contiguous().transpose(1, 2).unsqueeze(-2), weight.unsqueeze(-2)
        found = F.conv2d(row, taps, bias, (1, stride), (0, padding), (1, dilation), channels)
        return found.squeeze(-2).transpose(1, 2)
    return F.conv1d(x.transpose(1, 2), weight, bias, stride, padding, dilation, channels).transpose(1, 2)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _has_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    if not x.is_cpu or x.dtype is not torch.float32 or is_exporting():
        return False
    derived = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    return not derived or bool(weight.size(-1) <= TAPS)
