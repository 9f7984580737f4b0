"""Products of rows with matrices that are read by number.

In: rows, matrices, and for each row the number of its matrix. Out: the products. What always holds: axes that matrices
lack are one dimension of rows, those that are summed one, and those that matrices bring one.
"""

from __future__ import annotations

from namedlayers.emit.kernels.grouped import filled_grouped_product, grouped_product
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node

_ROWS, _SUMMED, _BROUGHT = -301, -302, -303


@emits("grouped_product")
def emit_grouped_product(lo: Lowering, node: Node) -> Value:
    matrices, index, rows = lo.operands(node)
    matrices, rows = lo.alike([matrices, rows])
    number = own(node.args[0].axes.index(-1))
    axes = [number if axis < 0 else axis for axis in node.args[0].axes]
    summed = [axis for axis in axes if axis >= node.rank]
    brought = [axis for axis in axes if 0 <= axis < node.rank]
    kept = [axis for axis in range(node.rank) if axis not in brought]
    matrices = lo.merged(lo.merged(lo.filled(matrices, axes), summed, _SUMMED), brought, _BROUGHT)
    rows = lo.merged(lo.merged(lo.filled(rows, [*kept, *summed]), summed, _SUMMED), kept, _ROWS)
    index = lo.merged(lo.filled(lo.integer(lo.tensor(index)), kept), kept, _ROWS)
    operands = (lo.permuted(rows, (_ROWS, _SUMMED)), lo.permuted(matrices, (number, _SUMMED, _BROUGHT)), index)
    target = filled_grouped_product if node.attr("fill") else grouped_product
    found = lo.call(target, operands, (_ROWS, _BROUGHT), inline=len(kept) != 1 or len(brought) != 1)
    parts = [
        (label, group, [lo.size(lo.space(axis)) for axis in group])
        for label, group in ((_ROWS, kept), (_BROUGHT, brought))
    ]
    return lo.split_all(found, parts, inline=False)
