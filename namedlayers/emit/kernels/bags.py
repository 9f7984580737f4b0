"""Sums of rows in torch's kernel of bags, and their slopes.

In: a table [n, d], numbers of its rows [m, k], weights of the same shape or none. Out: sums of k rows each, [m, d], and
what slopes at these are at the table and at the weights. What always holds: the kernel refuses numbers out of range; no
row is held for a sum. Torch's kernel has a slow gradient and no second one. Many slopes are sums of bags themselves:
each row has a bag of those places where it was read, which sorting the numbers finds. Few are added at once for all
first rows, then for all second rows (short ones for several rows at once), or weighted ones block by block, by
operations that have slopes where such are asked for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import batched_backward, visible

BLOCK = 1 << 18
"""So many products of slopes and weights, or short slopes, are in memory at once."""

MANY = 1 << 18
"""From so many products on it takes less to sort the numbers first."""

SHORT = 1 << 14
"""Slopes of fewer elements are added for several of the k at once: a call of torch's for each would take longer."""


def summed(table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
    """The sums, with their slopes.

    >>> summed(torch.eye(2), torch.tensor([[0, 1], [1, 1]]), None)
    tensor([[1., 1.],
            [0., 2.]])
    """
    if torch.is_grad_enabled() and (table.requires_grad or weights is not None and weights.requires_grad):
        found: Tensor = _Bags.apply(table, index, weights)
        return found
    return _summed(table, index, weights)


def in_one_table(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Tables [*batch, n, d] below one another, and the numbers [*batch, m, k] of rows in that.

    >>> in_one_table(torch.ones(2, 3, 1), torch.tensor([[[0, 2]], [[0, 1]]]))[1]
    tensor([[0, 2],
            [3, 4]])
    """
    if table.dim() == 2:
        return table, index
    return table.reshape(-1, table.shape[-1]), through(index, table.shape[-2]).flatten(0, -2)


def through(index: Tensor, count: int) -> Tensor:
    """Numbers in batches of so many rows, counted through all batches."""
    batch = index.shape[:-2]
    starts = torch.arange(batch.numel(), dtype=index.dtype).mul_(count).view(*batch, 1, 1)
    return index + starts


def slopes_of_table(index: Tensor, slope: Tensor, weights: Tensor | None, count: int) -> Tensor:
    """The slopes at the table, which has so many rows, of those at the sums: nothing is recorded."""
    if slope.dtype is torch.float32 and index.numel() * slope.shape[-1] >= MANY:
        return _sorted(index, slope, weights, count)
    if weights is not None and index.numel() > 0:
        return _added_in_place(index, slope, weights, count)
    return _added(index, slope, weights, count)


def slopes_of_weights(table: Tensor, index: Tensor, slope: Tensor) -> Tensor:
    """The slopes at the weights, in the same manner, by torch's kernel, which has no slopes."""
    return _products_at_once(table, index, slope) if index.numel() > 0 else _products(table, index, slope)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _summed(table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
    ends = torch.arange(0, index.numel(), index.shape[1], dtype=index.dtype)
    shares = None if weights is None else weights.reshape(-1)
    return torch.embedding_bag(table, index.reshape(-1), ends, False, 0, False, shares)[0]


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
        to_table, to_weights = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        plain = not torch.is_grad_enabled() and visible(slope) and not batched_backward(slope)
        add, multiply = (slopes_of_table, slopes_of_weights) if plain else (_added, _products)
        if not weighed:
            return add(index, slope, None, ctx.count), None, None
        table, weights = weighed
        return (
            add(index, slope, weights, ctx.count) if to_table else None,
            None,
            multiply(table, index, slope) if to_weights else None,
        )


def _added(index: Tensor, slope: Tensor, weights: Tensor | None, count: int) -> Tensor:
    """Slopes, each times its weight, at the rows that they are of."""
    if weights is None:
        found = slope.new_zeros(count, slope.shape[-1])
        if slope.numel() < SHORT:
            at_once = BLOCK // max(1, slope.numel())
            for several in (index,) if index.shape[1] <= at_once else index.split(at_once, 1):
                each = slope.unsqueeze(1).expand(-1, several.shape[1], -1)
                found = found.index_add_(0, several.flatten(), each.reshape(several.numel(), slope.shape[-1]))
            return found
        for rows in index.unbind(1):
            found = found.index_add_(0, rows, slope)
        return found
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


def _sorted(index: Tensor, slope: Tensor, weights: Tensor | None, count: int) -> Tensor:
    """The same as sums of bags, one for each row of the table."""
    flat = index.reshape(-1)
    short = torch.int16 if count <= 1 << 15 else torch.int32 if count <= 1 << 31 else flat.dtype
    order = torch.sort(flat.to(short), stable=True)[1]
    ends = order.new_zeros(count + 1)
    torch.cumsum(torch.bincount(flat, minlength=count), 0, out=ends[1:])
    at = torch.div(order, index.shape[1], rounding_mode="trunc")
    shares = None if weights is None else weights.reshape(-1)[order]
    return torch.embedding_bag(slope.contiguous(), at, ends, False, 0, False, shares, True)[0]


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
