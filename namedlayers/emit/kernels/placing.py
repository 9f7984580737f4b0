"""Several numbers that say where to read, one for each axis, as one number along these axes together.

In: integers of any width that broadcast, and the sizes of the axes that they read. Out: integers of 64 bits, the last
axis varying fastest. What always holds: where any number is out of the range of its own axis the result is -1, whatever
the others are. Where numbers are at hand, a look at the least and the greatest of each axis tells that none is; else,
and where nobody may look, all of them are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import all_visible
from namedlayers.emit.kernels.rows import as_long


def place(indices: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """
    >>> place([torch.tensor([0, 1, 1]), torch.tensor([2, 0, 3])], (2, 3))
    tensor([ 2,  3, -1])
    """
    indices = [as_long(index) for index in indices]
    if all_visible(*indices) and _are_within(indices, sizes):
        found = indices[0]
        for index, size in zip(indices[1:], sizes[1:], strict=True):
            found = torch.add(index, found, alpha=size)
        return found
    flat = indices[0]
    for index, size in zip(indices[1:], sizes[1:], strict=True):
        flat = flat * size + index
    within = ((index >= 0) & (index < size) for index, size in zip(indices, sizes, strict=True))
    return torch.where(reduce(torch.logical_and, within), flat, -1)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _are_within(indices: Sequence[Tensor], sizes: Sequence[int]) -> bool:
    for index, size in zip(indices, sizes, strict=True):
        if index.numel() == 0:
            return False
        low, high = torch.aminmax(index)
        if low.item() < 0 or high.item() >= size:
            return False
    return True
