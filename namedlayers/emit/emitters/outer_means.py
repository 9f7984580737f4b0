"""Means by the softmax of an outer sum.

In: two sides of logits, and values. Out: a tensor. What always holds: nothing is expanded along axes that it does not
have; what the second side and the values have, but for one axis, is a batch, so that they need not be copied.
"""

from __future__ import annotations

from namedlayers.emit.emitters.log_contractions import spread
from namedlayers.emit.log_products.traced_outer_mean import outer_mean
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node

_ROWS, _INNER = -101, -102


@emits("outer_mean")
def emit_outer_mean(lo: Lowering, node: Node) -> Value:
    values = [lo.filled(one, arg.axes) for one, arg in zip(lo.alike(lo.operands(node)), node.args, strict=True)]
    values = [lo.filled(one, range(node.rank, len(node.space))) for one in values]
    left, right, value = values
    inner = [axis for axis in value.axes if axis >= node.rank]
    columns = [axis for axis in (*right.axes, *value.axes) if axis < node.rank and axis not in left.axes]
    column = max(columns, key=lambda axis: (axis in right.axes and axis in value.axes, columns.index(axis)))
    behind = {*right.axes, *value.axes}
    batch = [axis for axis in lo.wanted() if axis in behind and axis != column]
    rows = [axis for axis in lo.wanted() if axis in left.axes and axis not in behind]
    left = lo.merged(lo.merged(left, inner, _INNER), rows, _ROWS)
    left = spread(lo, left, (*batch, _ROWS, _INNER))
    right, value = (spread(lo, lo.merged(one, inner, _INNER), (*batch, _INNER, column)) for one in (right, value))
    found = lo.call(outer_mean, (left, right, value), (*batch, _ROWS, column))
    return lo.split(found, _ROWS, rows, [lo.size(lo.space(axis)) for axis in rows], inline=len(rows) != 1)
