"""Sums of rows as operators, for torch.compile.

In: tables [*batch, n, d], numbers of rows [*batch, m, k], weights of the same shape or none. Out: sums of k rows each,
[*batch, m, d]. What always holds: no row is held; numbers out of range are refused when the operator runs. A compiler
would write the rows out, number by number, which takes twenty times as long as torch's kernel of bags. For one table
that is called as it is; for several, and for what makes the slopes, there are operators of our own. What transforms a
call does not know them: nothing is given then.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels import bags


class Sums(torch.autograd.Function):
    """The sums, with slopes."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
        ctx.save_for_backward(index, *(() if weights is None else (table, weights)))
        ctx.count = table.size(-2)
        if table.dim() > 2:  # numbers have to be looked at
            found: Tensor = torch.ops.namedlayers.bags(table, index, weights)
            return found
        ends = torch.arange(0, index.numel(), index.shape[1], dtype=index.dtype)
        shares = None if weights is None else weights.reshape(-1)
        kernel = torch.ops.aten._embedding_bag_forward_only
        return kernel(table, index.reshape(-1), ends, False, 0, False, shares)[0]

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        index, *weighed = ctx.saved_tensors
        table, weights = weighed or (None, None)
        to_table, _, to_weights = ctx.needs_input_grad
        return (
            torch.ops.namedlayers.bags_to_table(index, slope, weights, ctx.count) if to_table else None,
            None,
            torch.ops.namedlayers.bags_to_weights(table, index, slope) if to_weights else None,
        )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _sums(table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
    shape = (*index.shape[:-1], table.shape[-1])
    wrong = IndexError("index out of range in self")  # what torch says where rows are read
    if table.dim() > 2 and (index.min().item() < 0 or index.max().item() >= table.shape[-2]):
        raise wrong  # the next table's rows are none of this
    weights = None if weights is None else weights.reshape(-1, index.shape[-1])
    try:
        with torch.no_grad():
            return bags.summed(*bags.in_one_table(table, index), weights).view(shape)
    except RuntimeError as error:
        raise wrong from error


def _to_table(index: Tensor, slope: Tensor, weights: Tensor | None, count: int) -> Tensor:
    batch, each, wide = index.shape[:-2], index.shape[-1], slope.shape[-1]
    weights = None if weights is None else weights.reshape(-1, each)
    flat = bags.through(index, count).flatten(0, -2) if batch else index
    found = bags.slopes_of_table(flat, slope.reshape(-1, wide), weights, batch.numel() * count)
    return found.view(*batch, count, wide)


def _to_weights(table: Tensor, index: Tensor, slope: Tensor) -> Tensor:
    one, flat = bags.in_one_table(table, index)
    return bags.slopes_of_weights(one, flat, slope.reshape(-1, slope.shape[-1])).view(index.shape)


def _fake_sums(table: Tensor, index: Tensor, weights: Tensor | None) -> Tensor:
    return table.new_empty(*index.shape[:-1], table.shape[-1])


def _fake_to_table(index: Tensor, slope: Tensor, weights: Tensor | None, count: int) -> Tensor:
    return slope.new_empty(*index.shape[:-2], count, slope.shape[-1])


def _fake_to_weights(table: Tensor, index: Tensor, slope: Tensor) -> Tensor:
    return slope.new_empty(index.shape)


_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
for _text, _run, _fake in (
    ("bags(Tensor table, Tensor index, Tensor? weights) -> Tensor", _sums, _fake_sums),
    ("bags_to_table(Tensor index, Tensor slope, Tensor? weights, SymInt count) -> Tensor", _to_table, _fake_to_table),
    ("bags_to_weights(Tensor table, Tensor index, Tensor slope) -> Tensor", _to_weights, _fake_to_weights),
):
    _name = _text.partition("(")[0]
    _operators.define(_text)
    _operators.impl(_name, _run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"namedlayers::{_name}", _fake, lib=_operators)
