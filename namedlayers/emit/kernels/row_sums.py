"""Sums of rows of a table, by their numbers, without the rows.

In: tables [*batch, n, d], numbers of rows [*batch, m, k]. Out: sums (or means) of k rows each, [*batch, m, d]. What
always holds: numbers out of range are refused. Where numbers are at hand it is torch's kernel of bags; for a compiler,
operators that run it. What is exported or transformed, and other devices, read the rows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels import bags
from namedlayers.emit.kernels.eager import all_visible, visible
from namedlayers.emit.kernels.in_graphs import in_graph
from namedlayers.emit.kernels.traced_bags import Sums

FEW = 1 << 13
"""Up to how many elements of rows it is quicker to hold them."""

READ = 4
"""To read and add a number takes as long as so many products."""

_TAKEN = (torch.float32, torch.float64)
_READ_BY = (torch.int64, torch.int32)


def row_sums(table: Tensor, index: Tensor, mean: bool, weights: Tensor | None = None) -> Tensor:
    """The sum, or mean, over the last dimension of `index` of the rows that it tells, each times its weight.

    >>> row_sums(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0, 1], [1, 1]]), False)
    tensor([[4., 6.],
            [6., 8.]])
    """
    if _is_taken(table, index, weights):
        try:
            total = bags.summed(table, index, weights) if table.dim() == 2 else _in_batches(table, index, weights)
        except RuntimeError:  # a number is out of range
            return _of_rows(table, index, mean, weights)
        return total / index.shape[-1] if mean else total
    if index.dtype not in _READ_BY:
        return row_sums(table, index.long(), mean, weights)
    if weights is not None and weights.dtype is not table.dtype:  # one of them came out of a region of autocast
        dtype = torch.promote_types(table.dtype, weights.dtype)
        return row_sums(table.to(dtype), index, mean, weights.to(dtype))
    if _is_traced(table, index):
        return _traced(table, index, mean, weights)
    return _of_rows(table, index, mean, weights)


def row_products(
    table: Tensor, index: Tensor, mean: bool, matrix: Tensor, weights: Tensor | None = None,
    precision: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """`row_sums` times a matrix: of the sums, or of the rows before, whichever is less. `precision`: what enters the
    product is rounded to it.

    >>> row_products(torch.eye(2), torch.tensor([[0, 1], [1, 1]]), False, torch.tensor([[1.0], [2.0]]))
    tensor([[3.],
            [4.]])
    """
    if _is_traced(table, index) or visible(table) and visible(index) and visible(matrix):
        (count, wide), columns, (bags, _) = table.shape, matrix.shape[1], index.shape
        before = (count * wide + READ * index.numel()) * columns
        if before < (bags * columns + READ * index.numel()) * wide:
            return row_sums(_product(table, matrix, precision), index, mean, weights)
    return _product(row_sums(table, index, mean, weights), matrix, precision)


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """The rows themselves, [*batch, m, k, d].

    >>> rows_of(torch.tensor([[1.0], [2.0]]), torch.tensor([[1, 0]])).shape
    torch.Size([1, 2, 1])
    """
    if table.dim() == 2:
        return torch.embedding(table, index)
    flat = index.flatten(-2).long().unsqueeze(-1).expand(*index.shape[:-2], -1, table.shape[-1])
    return torch.gather(table, -2, flat).unflatten(-2, index.shape[-2:])


# --- helpers ----------------------------------------------------------------------------------------------------------


def _product(left: Tensor, right: Tensor, precision: torch.dtype | None) -> Tensor:
    if precision is None:
        return torch.matmul(left, right)
    return torch.matmul(left.to(precision), right.to(precision)).to(left.dtype)


def _is_traced(table: Tensor, index: Tensor) -> bool:
    """Whether torch.compile traces what is worth an operator."""
    if not is_dynamo_compiling() or is_exporting() or not table.is_cpu or table.dtype not in _TAKEN:
        return False
    return index.numel() * table.shape[-1] > FEW and table.numel() > 0


@in_graph
def _traced(table: Tensor, index: Tensor, mean: bool, weights: Tensor | None) -> Tensor:
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return _of_rows(table, index, mean, weights)
    total: Tensor = Sums.apply(table, index, weights)
    return total / index.shape[-1] if mean else total


def _is_taken(table: Tensor, index: Tensor, weights: Tensor | None) -> bool:
    """Whether torch's kernel takes them as they are. (Each step counts, as nothing is in the caches.)"""
    if table.dtype not in _TAKEN or index.dtype not in _READ_BY:
        return False
    if weights is None:
        at_hand = all_visible(table, index)
    else:
        at_hand = weights.dtype is table.dtype and all_visible(table, index, weights)
    return at_hand and index.numel() * table.shape[-1] > FEW and table.numel() > 0  # (else sizes may be symbols)


def _of_rows(table: Tensor, index: Tensor, mean: bool, weights: Tensor | None) -> Tensor:
    rows = rows_of(table, index)
    if weights is not None:
        return torch.matmul(weights.unsqueeze(-2), rows).squeeze(-2)
    return rows.mean(-2) if mean else rows.sum(-2)


def _in_batches(table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
    if index.min().item() < 0 or index.max().item() >= table.shape[-2]:
        raise IndexError("index out of range in self")
    one, flat = bags.in_one_table(table, index)
    found = bags.summed(one, flat, None if weights is None else weights.reshape(flat.shape))
    return found.view(*index.shape[:-1], table.shape[-1])
