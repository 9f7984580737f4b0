"""Contractions of the semiring `log`, as one batched matrix product of it.

In: two factors, logarithms or weights; or parts of which a factor is the outer sum. Out: a tensor. What always holds:
what both factors have and what stays is the batch; nothing is expanded along axes that it does not have.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from namedlayers.emit.attributes import listed
from namedlayers.emit.emitters.products import matrices, right_first
from namedlayers.emit.log_products.log_product import log_product, log_product_of_sums
from namedlayers.emit.log_products.shares import inverse_share
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node

_ROWS, _COLUMNS = -101, -102


@emits("log_contract")
def emit_log_contract(lo: Lowering, node: Node) -> Value:
    values = lo.alike(lo.operands(node))
    linear, lefts = tuple(listed(node, "linear")), node.attr("lefts")
    assert isinstance(lefts, int)
    values = [lo.filled(value, arg.axes) for value, arg in zip(values, node.args, strict=True)]
    if len(values) > 2:
        return _of_sums(lo, node, values[:lefts], values[lefts:], (linear[0], linear[-1]))
    left, right = values
    keep = frozenset(range(node.rank))
    if right_first(lo, left, right, frozenset(left.axes) & frozenset(right.axes) - keep):
        left, right, linear = right, left, linear[::-1]
    return matrices(lo, left, right, keep, log_product, linear)


@emits("inverse_share")
def emit_inverse_share(lo: Lowering, node: Node) -> Value:
    values = [lo.filled(one, arg.axes) for one, arg in zip(lo.alike(lo.operands(node)), node.args, strict=True)]
    order = values[-1].axes
    return lo.call(inverse_share, tuple(spread(lo, one, order) for one in values), order)


def _of_sums(
    lo: Lowering, node: Node, lefts: Sequence[Value], rights: Sequence[Value], linear: tuple[bool, bool]
) -> Value:  # fmt: skip
    """Every part has the dimensions of its whole factor, of size 1 where it lacks an axis."""
    sides = [(lefts, linear[0]), (rights, linear[1])]
    wanted = [axis for axis in lo.wanted() if any(axis in value.axes for value in (*lefts, *rights))]
    held = [frozenset(axis for value in values for axis in value.axes) for values, _ in sides]
    if next((axis in held[1] for axis in wanted if axis not in held[0] & held[1]), False):
        sides, held = sides[::-1], held[::-1]
    batch = [axis for axis in wanted if axis in held[0] & held[1]]
    rows, columns = ([axis for axis in wanted if axis in own and axis not in batch] for own in held)
    inner = _inner(sides, node.rank)
    left, right = (
        tuple(spread(lo, value, layout) for value in values)
        for (values, _), layout in zip(sides, ((*batch, *rows, *inner), (*batch, *inner, *columns)), strict=True)
    )
    dims = len(rows), len(inner), len(columns)
    args = (left, right, dims, tuple(one for _, one in sides))
    sizes = [[lo.size(lo.space(axis)) for axis in group] for group in (rows, columns)]
    found = lo.call(log_product_of_sums, args, (*batch, _ROWS, _COLUMNS), inline=len(rows) + len(columns) > 2)
    found = lo.split(found, _COLUMNS, columns, sizes[1], inline=len(rows) != 1)
    return lo.split(found, _ROWS, rows, sizes[0], inline=False)


def _inner(sides: Sequence[tuple[Sequence[Value], bool]], rank: int) -> tuple[int, ...]:
    """The summed axes, in the order in which the largest part of all lies: it need not be copied."""
    largest = max((value for values, _ in sides for value in values), key=lambda value: len(value.axes))
    own = [axis for axis in largest.axes if axis >= rank]
    others = {axis for values, _ in sides for value in values for axis in value.axes if axis >= rank} - set(own)
    return (*own, *sorted(others))


def spread(lo: Lowering, value: Value, layout: Sequence[int]) -> Value:
    """With all dimensions of the layout, those in front, too."""
    value = lo.aligned(value, layout)
    missing = len(layout) - len(value.axes)
    if not missing:
        return value
    index = (*(None for _ in range(missing)), ...)
    return lo.call(operator.getitem, (value, index), tuple(layout), kind=value.kind, weak=value.weak, inline=True)
