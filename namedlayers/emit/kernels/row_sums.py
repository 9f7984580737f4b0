"""Sums of rows of a table, by their numbers, without the rows.

In: tables [*batch, n, d], numbers of rows [*batch, m, k]. Out: sums (or means) of k rows each, [*batch, m, d]. What
always holds: numbers out of range are refused. Torch's kernel of bags has a slow gradient and no second one; here the
slopes of all first rows are added at once, then those of all second rows, by operations that have slopes. What is
traced or transformed, and other devices, read the rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import batched_backward, visible
from namedlayers.emit.kernels.rows import as_index

FEW = 1 << 13
"""Up to how many elements of rows it is quicker to hold them."""

BLOCK = 1 << 18
"""So many products of slopes and weights are made at once."""

READ = 4
"""To read and add a number takes as long as so many products."""

SHORT = 1 << 10
"""Slopes of fewer elements are added for all k at once."""

_TAKEN = (torch.float32, torch.float64)


def row_sums(table: Tensor, index: Tensor, mean: bool, weights: Tensor | None = None) -> Tensor:
    """The sum, or mean, over the last dimension of `index` of the rows that it tells, each times its weight.

    >>> row_sums(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0, 1], [1, 1]]), False)
    tensor([[4., 6.],
            [6., 8.]])
    """
    index = as_index(index)
    if weights is not None and weights.dtype is not table.dtype:  # one of them came out of a region of autocast
        dtype = torch.promote_types(table.dtype, weights.dtype)
        table, weights = table.to(dtype), weights.to(dtype)
    total = _in_bags(table, index, weights) if _is_taken(table, index, weights) else None
    if total is None:
        rows = _rows(table, index)
        if weights is not None:
            return torch.matmul(weights.unsqueeze(-2), rows).squeeze(-2)
        return rows.mean(-2) if mean else rows.sum(-2)
    return total / index.shape[-1] if mean else total


def row_products(table: Tensor, index: Tensor, mean: bool, matrix: Tensor, weights: Tensor | None = None) -> Tensor:
    """`row_sums` times a matrix: of the sums, or of the rows before, whichever is less.

    >>> row_products(torch.eye(2), torch.tensor([[0, 1], [1, 1]]), False, torch.tensor([[1.0], [2.0]]))
    tensor([[3.],
            [4.]])
    """
    if visible(table) and visible(index) and visible(matrix):
        (count, wide), columns, (bags, _) = table.shape, matrix.shape[1], index.shape
        before = (count * wide + READ * index.numel()) * columns
        if before < (bags * columns + READ * index.numel()) * wide:
            return row_sums(torch.mm(table, matrix), index, mean, weights)
    return torch.matmul(row_sums(table, index, mean, weights), matrix)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_taken(table: Tensor, index: Tensor, weights: Tensor | None) -> bool:
    if not visible(table) or not visible(index) or table.dtype not in _TAKEN:  # whose sizes may be symbols
        return False
    if weights is not None and not visible(weights):
        return False
    return index.numel() * table.shape[-1] > FEW and table.numel() > 0


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """The rows themselves, [*batch, m, k, d]."""
    if table.dim() == 2:
        return torch.embedding(table, index)
    flat = index.flatten(-2).long().unsqueeze(-1).expand(*index.shape[:-2], -1, table.shape[-1])
    return torch.gather(table, -2, flat).unflatten(-2, index.shape[-2:])


def _in_bags(table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor | None:
    """None if a number is out of range."""
    shape = (*index.shape[:-1], table.shape[-1])
    if table.dim() > 2:
        count = table.shape[-2]
        if index.amin().item() < 0 or index.amax().item() >= count:
            return None
        batch = index.shape[:-2]
        starts = torch.arange(batch.numel(), dtype=index.dtype).mul_(count).view(*batch, 1, 1)
        table, index = table.reshape(-1, table.shape[-1]), (index + starts).flatten(0, -2)
    weights = None if weights is None else weights.reshape(index.shape)
    wanted = table.requires_grad or weights is not None and weights.requires_grad
    try:
        derived = torch.is_grad_enabled() and wanted
        found = _Bags.apply(table, index, weights) if derived else _summed(table, index, weights)
    except RuntimeError:
        return None
    return found.view(shape)


def _summed(table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
    count, each = index.shape
    ends = torch.arange(0, count * each, each, dtype=index.dtype) if each else index.new_zeros(count)
    shares = None if weights is None else weights.flatten()
    return torch.embedding_bag(table, index.flatten(), ends, False, 0, False, shares)[0]


class _Bags(torch.autograd.Function):
    """Sums of rows of one table; there may be weights."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(index, *(() if weights is None else (table, weights)))
        ctx.count = table.shape[0]
        return _summed(table, index, weights)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        index, *weighed = ctx.saved_tensors
        if weighed:
            table, weights = weighed
            plain = not torch.is_grad_enabled() and visible(slope) and not batched_backward(slope) and index.numel() > 0
            to_table, to_weights = (_added_in_place, _products_at_once) if plain else (_added, _products)
            return (
                to_table(index, slope, weights, ctx.count) if ctx.needs_input_grad[0] else None,
                None,
                to_weights(table, index, slope) if ctx.needs_input_grad[2] else None,
            )
        found = slope.new_zeros(ctx.count, slope.shape[-1])
        if slope.numel() < SHORT:
            each = slope.unsqueeze(1).expand(-1, index.shape[1], -1).flatten(0, 1)
            return found.index_add_(0, index.flatten(), each), None, None
        for rows in index.unbind(1):
            found = found.index_add_(0, rows, slope)
        return found, None, None


def _added(index: Tensor, slope: Tensor, weights: Tensor, count: int) -> Tensor:
    """Slopes, each times its weight, at the rows that they are of."""
    found = (slope[:1, :1] * weights[:1, :1]).new_zeros(count, slope.shape[-1])
    for rows, share in zip(index.unbind(1), weights.unbind(1), strict=True):
        found = found.index_add_(0, rows, slope * share.unsqueeze(-1))
    return found


def _added_in_place(index: Tensor, slope: Tensor, weights: Tensor, count: int) -> Tensor:
    """The same in blocks, in one memory for all of them."""
    (bags, each), wide = index.shape, slope.shape[-1]
    found = slope.new_zeros(count, wide)
    room = slope.new_empty(min(bags, max(1, BLOCK // max(1, each * wide))), each, wide)
    for start in range(0, bags, len(room)):
        rows = index[start : start + len(room)]
        part = room[: len(rows)]
        torch.mul(
            slope[start : start + len(room)].unsqueeze(1), weights[start : start + len(room)].unsqueeze(2), out=part
        )
        found.index_add_(0, rows.flatten(), part.flatten(0, 1))
    return found


def _products(table: Tensor, index: Tensor, slope: Tensor) -> Tensor:
    """Of each row with the slope at its sum."""
    return torch.stack([(torch.embedding(table, rows) * slope).sum(-1) for rows in index.unbind(1)], 1)


def _products_at_once(table: Tensor, index: Tensor, slope: Tensor) -> Tensor:
    """The same by torch's kernel, which has no slopes."""
    (bags, each), kind = index.shape, index.dtype
    ends = torch.arange(0, bags * each, each, dtype=kind)
    bag = torch.arange(bags, dtype=kind).repeat_interleave(each)
    kernel = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return kernel(slope, table, index.flatten(), ends, bag, 0, -1).view(bags, each)
