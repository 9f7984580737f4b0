"""Products summed up to each place: `prefix_product`, on queries, keys and values.

In: operands with any axes in any layout. Out: a tensor (batch…, place, value…). What always holds: nothing is copied to
be broadcast; the products within blocks are computed once for all sums that have the same queries and keys.
"""

from __future__ import annotations

from collections.abc import Iterable

from namedlayers.emit.attributes import position
from namedlayers.emit.emitters.contractions import counted
from namedlayers.emit.kernels.prefix_product import prefix_product, prefix_sum, prefix_total, within_blocks
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.size import SizeExpr

_PLACE, _POSITION, _FEATURE, _VALUE, _BLOCK = -101, -102, -103, -104, -105


@emits("prefix_product")
def emit_prefix_product(lo: Lowering, node: Node) -> Value:
    query, key, *rest = counted(lo, lo.operands(node))
    row, column, diagonal = position(node, "row"), position(node, "column"), node.attr("diagonal")
    assert isinstance(diagonal, SizeExpr)
    inner = tuple(axis for axis in key.axes if axis >= node.rank and axis != column)
    batch = tuple(axis for axis in lo.wanted() if axis != row and axis in query.axes + key.axes)
    query = _matrix(lo, lo.filled(query, (row, *inner)), batch, (row, _PLACE), (inner, _FEATURE))
    key = _matrix(lo, lo.filled(key, (column, *inner)), batch, (column, _POSITION), (inner, _FEATURE))
    more = (lo.size(diagonal),) if diagonal != 0 else ()
    within = _within(lo, query, key, (*batch, _BLOCK, _PLACE, _POSITION), more)
    if not rest:
        found = lo.call(prefix_total, (within, query, key, *more), (*batch, _PLACE))
        return lo.renamed(found, {_PLACE: row})
    columns = tuple(axis for axis in rest[0].axes if axis not in (*batch, column))
    sizes = [lo.size(lo.space(axis)) for axis in columns]
    value = _matrix(lo, lo.filled(rest[0], (column,)), batch, (column, _POSITION), (columns, _VALUE))
    axes, split = (*batch, _PLACE, _VALUE), len(columns) != 1
    found = lo.call(prefix_product, (within, query, key, value, *more), axes, inline=split)
    return lo.renamed(lo.split(found, _VALUE, columns, sizes, inline=False), {_PLACE: row})


@emits("prefix_sum")
def emit_prefix_sum(lo: Lowering, node: Node) -> Value:
    row, column, diagonal = position(node, "row"), position(node, "column"), node.attr("diagonal")
    assert isinstance(diagonal, SizeExpr)
    x = lo.filled(counted(lo, lo.operands(node))[0], (column,))
    more = (lo.size(diagonal),) if diagonal != 0 else ()
    dim = x.dim(column)
    axes = (*x.axes[:dim], row, *x.axes[dim + 1 :])
    return lo.call(prefix_sum, (x, dim, lo.size(lo.space(row)), *more), axes)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _matrix(
    lo: Lowering, value: Value, batch: Iterable[int], first: tuple[int, int], second: tuple[tuple[int, ...], int]
) -> Value:
    """(batch…, first, second), broadcast along the batch axes that it lacks."""
    (axis, label), (group, merged) = first, second
    own = tuple(a for a in batch if a in value.axes)
    value = lo.merged(lo.permuted(value, (*own, axis, *group)), group, merged)
    return lo.aligned(lo.renamed(value, {axis: label}), (*batch, label, merged))


def _within(lo: Lowering, query: Value, key: Value, axes: tuple[int, ...], more: tuple) -> Value:
    """The products within the blocks, if need be."""
    for held in lo.fx.nodes:
        if held.target is within_blocks and held.args == (query.held, key.held, *more):
            return Value(held, axes, lo.node.kind)
    return lo.call(within_blocks, (query, key, *more), axes, wish="within")
