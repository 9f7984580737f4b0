"""Rows of a table by number, and 0 where there is no such row.

In: a table, numbers of rows. Out: the rows. What always holds: the kernel refuses what is out of range, an empty table
and integers that it does not read by, which tells for nothing that something is; only then, and where nobody can be
asked (what is recorded, and other devices), numbers are compared with the table's size. What is compiled keeps the
numbers only, and compares them again for the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import refuses


def rows(table: Tensor, index: Tensor) -> Tensor:
    """`torch.embedding`; 0 for what is out of range.

    >>> rows(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 2, -1]))
    tensor([[3., 4.],
            [0., 0.],
            [0., 0.]])
    """
    if refuses(table):
        try:
            return torch.embedding(table, index)
        except (IndexError, RuntimeError):
            pass
    index = as_index(index)
    fuses = is_dynamo_compiling() and not is_exporting() and table.size(0) > 0
    return _Rows.apply(table, index) if fuses else _rows(table, index)


def as_index(at: Tensor) -> Tensor:
    """Integers of 32 or 64 bits, which torch's kernels read by.

    >>> as_index(torch.tensor([1, 2], dtype=torch.uint8))
    tensor([1, 2])
    """
    return at if at.dtype is torch.int64 or at.dtype is torch.int32 else at.long()


def as_long(at: Tensor) -> Tensor:
    """Integers of 64 bits, which torch's other kernels want. (`.to` would ask ten times as long what there is to do.)

    >>> as_long(torch.tensor([1, 2], dtype=torch.int32))
    tensor([1, 2])
    """
    return at if at.dtype is torch.int64 else at.long()


# --- helpers ----------------------------------------------------------------------------------------------------------


def _rows(table: Tensor, index: Tensor) -> Tensor:
    valid = _is_row(index, table.size(0))
    if table.size(0) == 0:
        table = F.pad(table, (0, 0, 0, 1))  # so that there is something to read
    found = torch.embedding(table, torch.where(valid, index, 0))
    return torch.where(valid.unsqueeze(-1), found, 0)


def _is_row(index: Tensor, count: int) -> Tensor:
    return (index >= 0) & (index < count)


class _Rows(torch.autograd.Function):
    """`_rows` of a table that is not empty, of which the numbers are kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(table: Tensor, index: Tensor) -> Tensor:
        return _rows(table, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        table, index = inputs
        ctx.count = table.size(0)
        ctx.save_for_backward(index)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return _Put.apply(slope, *ctx.saved_tensors, ctx.count), None


class _Put(torch.autograd.Function):
    """A table of so many rows, each the sum of those that have its number."""

    generate_vmap_rule = True

    @staticmethod
    def forward(given: Tensor, index: Tensor, count: int) -> Tensor:
        index = torch.where(_is_row(index, count), index, -1)  # which the kernel leaves out
        return torch.ops.aten.embedding_dense_backward(given, index, count, -1, False)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return _Rows.apply(slope, *ctx.saved_tensors), None, None
