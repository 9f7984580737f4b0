"""Sums of those rows of a table for which a condition holds, without the rows.

In: tables [*batch, n, d], numbers of rows [*batch, m, k], a condition for each. Out: the sums of the rows where it
holds, [*batch, m, d]. What always holds: numbers out of range are refused, whatever the condition says; a row that is
left out adds nothing, not even where it is infinite, nor does the slope of a sum where that is. Where numbers are at
hand the rows are weighed by 0 and 1 in torch's kernel of bags, and the result is looked at.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels import bags
from namedlayers.emit.kernels.eager import all_visible, batched_backward, visible
from namedlayers.emit.kernels.row_sums import FEW, rows_of
from namedlayers.emit.kernels.rows import as_index

_TAKEN = (torch.float32, torch.float64)


def chosen_row_sums(table: Tensor, index: Tensor, chosen: Tensor) -> Tensor:
    """
    >>> table, index = torch.tensor([[1.0, 2.0], [3.0, torch.inf]]), torch.tensor([[0, 1], [1, 0]])
    >>> chosen_row_sums(table, index, torch.tensor([[True, False], [True, True]]))
    tensor([[1., 2.],
            [4., inf]])
    """
    index = as_index(index)
    if table.dim() == 2 and table.dtype in _TAKEN and all_visible(table, index, chosen):
        if index.numel() * table.shape[1] > FEW and table.numel() > 0:
            try:
                found: Tensor = _Chosen.apply(table, index, chosen)
                return found
            except RuntimeError:  # a number is out of range
                pass
    return _careful(table, index, chosen)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _careful(table: Tensor, index: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen.unsqueeze(-1), rows_of(table, index), 0).sum(-2)


class _Chosen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, chosen: Tensor) -> Tensor:
        ctx.save_for_backward(index, chosen)
        ctx.count = table.shape[0]
        found = bags.summed(table, index, chosen.to(table.dtype))
        # 0 times what is not finite is NaN.
        return found if torch.equal(found, found) else _careful(table, index, chosen)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        index, chosen = ctx.saved_tensors
        if not torch.is_grad_enabled() and visible(slope) and not batched_backward(slope):
            if torch.isfinite(slope.sum()).item():
                return bags.slopes_of_table(index, slope, chosen.to(slope.dtype), ctx.count), None, None
        at, bag = index[chosen], chosen.nonzero()[:, 0]
        return slope.new_zeros(ctx.count, slope.shape[-1]).index_add_(0, at, slope.index_select(0, bag)), None, None
