"""Padding before a convolution, of which its kernel does what it can.

In: a tensor, and for each of its last axes what is to stand before it and behind it. Out: a tensor, and what the kernel
has to pad each of these axes with on both sides. What always holds: where both sides are alike, nothing is copied;
sizes of kernels tell that at the call only, and not what is traced.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def padded(x: torch.Tensor, *pads: tuple[int, int]) -> tuple[torch.Tensor | int, ...]:
    """
    >>> x = torch.ones(1, 2)
    >>> padded(x, (1, 1))
    (tensor([[1., 1.]]), 1)
    >>> padded(x, (1, 0))
    (tensor([[0., 1., 1.]]), 0)
    """
    if torch.compiler.is_compiling():  # sizes may be symbols, of which nothing may be asked
        return (F.pad(x, [n for both in reversed(pads) for n in both]), *[0 for _ in pads])
    left = [before if before == after else 0 for before, after in pads]
    if all(before == after for before, after in pads):
        return (x, *left)
    here = [n for before, after in reversed(pads) for n in ((0, 0) if before == after else (before, after))]
    return (F.pad(x, here), *left)
