"""What is read along a dimension by number, and a number of the text's choice where there is nothing.

In: a tensor, a dimension, numbers along it. Out: what stands there. What always holds: torch's kernels refuse what is
out of range; only then, and where nobody can be asked (what is recorded, and other devices), numbers are compared with
the size. Rows of a batch of tables are rows of one table; without a number to put in their place, those that are out of
range are refused.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.eager import refuses, visible
from namedlayers.emit.kernels.rows import as_index

Fill = float | int | bool

WIDE = 8
"""From so many numbers a row on, rows of a batch are read as rows."""


def select(x: Tensor, dim: int, index: Tensor, fill: Fill) -> Tensor:
    """`torch.index_select`; `fill` for what is out of range.

    >>> select(torch.tensor([[1, 2, 3], [4, 5, 6]]), 1, torch.tensor([2, -1]), 7)
    tensor([[3, 7],
            [6, 7]])
    """

    def masked(x: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        valid = valid.view(-1, *(1,) * (x.dim() - dim - 1))
        return torch.index_select(x, dim, index).masked_fill(~valid, fill)

    return _asked(torch.index_select, masked, x, dim, index)


def gather(x: Tensor, dim: int, index: Tensor, fill: Fill) -> Tensor:
    """`torch.gather`; `fill` for what is out of range.

    >>> gather(torch.tensor([[1, 2], [3, 4]]), 1, torch.tensor([[0, 1], [2, 1]]), 0)
    tensor([[1, 2],
            [0, 4]])
    """

    def masked(x: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        return torch.gather(x, dim, index).masked_fill(~valid, fill)

    return _asked(torch.gather, masked, x, dim, index)


def rows(table: Tensor, index: Tensor, fill: Fill) -> Tensor:
    """`torch.embedding`; `fill` for what is out of range. (If that is 0, see `kernels/rows.py`.)

    >>> rows(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, -1]), 7)
    tensor([[3., 4.],
            [7., 7.]])
    """

    def plain(table: Tensor, _: int, index: Tensor) -> Tensor:
        return torch.embedding(table, index)

    def masked(table: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        return torch.embedding(table, index).masked_fill(~valid.unsqueeze(-1), fill)

    return _asked(plain, masked, table, 0, index)


def rows_of_each(x: Tensor, index: Tensor, fill: Fill | None) -> Tensor:
    """Of tables [*batch, n, *rest] the rows [*batch, m].

    >>> rows_of_each(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]), torch.tensor([[1], [2]]), 0)
    tensor([[[2.]],
    <BLANKLINE>
            [[0.]]])
    """
    dim = index.dim() - 1
    rest = x.shape[index.dim() :]
    if rest.numel() >= WIDE and x.is_contiguous() and _is_within(index, x.shape[dim]):
        starts = torch.arange(0, index.shape[:-1].numel() * x.shape[dim], x.shape[dim], dtype=index.dtype)
        index = index + starts.view(*index.shape[:-1], 1)
        return torch.embedding(x.view(-1, rest.numel()), as_index(index)).view(*index.shape, *rest)
    index = index.long().view(*index.shape, *(1,) * len(rest)).expand(*index.shape, *rest)
    return torch.gather(x, dim, index) if fill is None else gather(x, dim, index, fill)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _asked(
    kernel: Callable[[Tensor, int, Tensor], Tensor], masked: Callable[[Tensor, Tensor, Tensor], Tensor],
    x: Tensor, dim: int, index: Tensor,
) -> Tensor:  # fmt: skip
    """What the kernel gives or, where it refuses, what it gives of numbers that are in range, some of them masked."""
    index = as_index(index)
    if refuses(x):
        try:
            return kernel(x, dim, index)
        except (IndexError, RuntimeError):
            pass
    size = x.shape[dim]
    valid = (index >= 0) & (index < size)
    if size == 0:
        x = F.pad(x, (0, 0) * (x.dim() - 1 - dim) + (0, 1))  # so that there is something to read
    return masked(x, torch.where(valid, index, 0), valid)


def _is_within(index: Tensor, count: int) -> bool:
    if not visible(index) or index.numel() == 0 or index.dtype not in (torch.int32, torch.int64):
        return False
    low, high = torch.aminmax(index)
    return low.item() >= 0 and high.item() < count
