"""The sides of a product: how an operand is laid out for a matrix product, at the least that must be moved.

In: a value, its axes in groups. Out: views where they can be had, and what is known of where a value came from. What
always holds: the axes of a group are flattened in the order in which they are given.
"""

from __future__ import annotations

import torch
from torch import fx

from namedlayers.emit.emitters.pairwise import innermost
from namedlayers.emit.lowering import Lowering
from namedlayers.emit.value import Value, adjacent

ROWS, COLUMNS, INNER, BATCH = -101, -102, -103, -104
"""Labels of groups that are flattened."""


def as_matrix(
    lo: Lowering, value: Value, batch: tuple[int, ...], first: tuple[tuple[int, ...], int],
    second: tuple[tuple[int, ...], int],
) -> Value:  # fmt: skip
    """(batch…, first, second), each group flattened; transposed from (batch…, second, first) if that moves less."""
    (a, left), (b, right) = first, second
    if a and b and innermost(value) in batch:  # else it would be copied matrix by matrix
        value = lo.permuted(value, (*batch, *a, *b))
        value = lo.call("contiguous", (value,), value.axes, kind=value.kind, weak=value.weak, inline=True)
    alone = [((axis,), axis) for axis in batch]
    if (*batch, *a, *b) != value.axes and b and a and _before(value.axes, b, a):
        return lo.permuted(lo.grouped(value, [*alone, (b, right), (a, left)]), (*batch, left, right))
    if not a and b:
        value = lo.grouped(value, [*alone, (b, right)])
        return lo.call("unsqueeze", (value, -2), (*batch, left, right), kind=value.kind, weak=value.weak, inline=True)
    return lo.grouped(value, [*alone, (a, left), (b, right)])


def last(lo: Lowering, value: Value, group: tuple[int, ...]) -> Value:
    """The same with `group` as its last axes, in this order."""
    return lo.permuted(value, [a for a in value.axes if a not in group] + list(group))


def inner_order(left: Value, right: Value, inner: tuple[int, ...]) -> tuple[int, ...]:
    """The order in which the contracted axes are flattened: the one that costs no copy of the larger operand."""
    orders = [tuple(a for a in v.axes if a in inner) for v in sorted((left, right), key=lambda v: -len(v.axes))]
    return next((o for o in orders if adjacent(left.axes, o) and adjacent(right.axes, o)), orders[0])


def is_weight(lo: Lowering, value: Value) -> bool:
    """Whether this is a parameter, or made of parameters alone: however many axes it has, it is no data."""
    return isinstance(value.held, fx.Node) and _parameters_alone(lo, value.held)


def _parameters_alone(lo: Lowering, held: fx.Node) -> bool:
    waiting = [held]
    while waiting:
        node = waiting[-1]
        open_ = [one for one in node.all_input_nodes if "weight" not in one.meta]
        if node.op == "placeholder" or not open_:
            places = [given.role for given, one in zip(lo.program.inputs, lo.inputs, strict=True) if one is node]
            inputs = [one for one in node.all_input_nodes if "prologue" not in one.meta]
            node.meta["weight"] = (
                places[0] in ("parameter", "param") if places
                else bool(inputs) and all(one.meta["weight"] for one in inputs)
            )  # fmt: skip
            waiting.pop()
        else:
            waiting += open_
    return bool(held.meta["weight"])


def trailing(value: Value, group: frozenset[int]) -> bool:
    return set(value.axes[len(value.axes) - len(group) :]) == group


def _before(axes: tuple[int, ...], first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return max(axes.index(a) for a in first) < min(axes.index(a) for a in second)


def is_of_matrices(value: Value) -> bool:
    """Whether this is a product of batches of matrices, as it is seen."""
    held = value.held
    while isinstance(held, fx.Node) and held.target in ("permute", "transpose"):
        held = held.args[0]  # type: ignore[assignment]
    return isinstance(held, fx.Node) and held.target is torch.bmm


def is_view(value: Value) -> bool:
    return isinstance(value.held, fx.Node) and value.held.target != "flatten" and value.held.target != "reshape"
