"""Products summed up to each place: `prefix_product`, on queries, keys and values.

In: operands with any axes in any layout. Out: a tensor (batch…, place, value…). What always holds: nothing is copied to
be broadcast; the products within blocks are computed once for all sums that have the same queries and keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import fx

from namedlayers.emit.attributes import position
from namedlayers.emit.emitters.contractions import counted
from namedlayers.emit.kernels.decays_by_feature import prefix_product_by_feature
from namedlayers.emit.kernels.prefix_product import (
    decayed_sum,
    prefix_product,
    prefix_total,
    within_blocks,
)  # fmt: skip
from namedlayers.emit.kernels.triangular_sums import prefix_sum
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.plan.prefixes import decays, factors
from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr

_PLACE, _POSITION, _FEATURE, _VALUE, _BLOCK = -101, -102, -103, -104, -105


@emits("prefix_product")
def emit_prefix_product(lo: Lowering, node: Node) -> Value:
    query, key, *rest = counted(lo, [lo.operand(arg) for arg in factors(node)])
    row, column = position(node, "row"), position(node, "column")
    inner = tuple(axis for axis in key.axes if axis >= node.rank and axis != column)
    counting = {*query.axes, *key.axes}.union(*(arg.axes for _, parts in decays(node) for arg in parts))
    batch = tuple(axis for axis in lo.wanted() if axis != row and axis in counting)
    query = _matrix(lo, lo.filled(query, (row, *inner)), batch, (row, _PLACE), (inner, _FEATURE))
    key = _matrix(lo, lo.filled(key, (column, *inner)), batch, (column, _POSITION), (inner, _FEATURE))
    if any(axis in inner for _, parts in decays(node) for arg in parts for axis in arg.axes):
        return _by_feature(lo, node, query, key, rest, batch, inner)
    more = _more(lo, node, batch)
    within = _within(lo, query, key, (*batch, _BLOCK, _PLACE, _POSITION), more)
    if not rest:
        found = lo.call(prefix_total, (within, query, key, *more), (*batch, _PLACE))
        return lo.renamed(found, {_PLACE: row})
    value, columns, sizes = _values(lo, node, rest[0], batch)
    axes, split = (*batch, _PLACE, _VALUE), len(columns) != 1
    found = lo.call(prefix_product, (within, query, key, value, *more), axes, inline=split)
    return lo.renamed(lo.split(found, _VALUE, columns, sizes, inline=False), {_PLACE: row})


@emits("prefix_sum")
def emit_prefix_sum(lo: Lowering, node: Node) -> Value:
    row, column = position(node, "row"), position(node, "column")
    x = lo.filled(counted(lo, [lo.operand(arg) for arg in factors(node)])[0], (column,))
    places = lo.size(lo.space(row))
    if decays(node):
        return _decayed_sum(lo, node, x, places)
    more = _more(lo, node, ())
    dim = x.dim(column)
    axes = (*x.axes[:dim], row, *x.axes[dim + 1 :])
    return lo.call(prefix_sum, (x, dim, places, *more), axes)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _by_feature(
    lo: Lowering, node: Node, query: Value, key: Value, rest: Sequence[Value], batch: tuple[int, ...],
    inner: tuple[int, ...],
) -> Value:  # fmt: skip
    """Decays that have features have all of them, as one axis."""
    row = position(node, "row")
    diagonal = node.attr("diagonal")
    assert isinstance(diagonal, SizeExpr)
    given = tuple(_decay(lo, node, name, parts, batch, inner) for name, parts in decays(node))
    more = (lo.size(diagonal), given)
    if not rest:
        total = lo.call(prefix_product_by_feature, (query, key, None, *more), (*batch, _PLACE))
        return lo.renamed(total, {_PLACE: row})
    value, columns, sizes = _values(lo, node, rest[0], batch)
    axes, split = (*batch, _PLACE, _VALUE), len(columns) != 1
    found = lo.call(prefix_product_by_feature, (query, key, value, *more), axes, inline=split)
    return lo.renamed(lo.split(found, _VALUE, columns, sizes, inline=False), {_PLACE: row})


def _values(
    lo: Lowering, node: Node, value: Value, batch: tuple[int, ...]
) -> tuple[Value, tuple[int, ...], list[Any]]:  # fmt: skip
    """(batch…, position, value), the axes that the last one is made of, and their sizes."""
    column = position(node, "column")
    columns = tuple(axis for axis in value.axes if axis not in (*batch, column))
    sizes = [lo.size(lo.space(axis)) for axis in columns]
    return _matrix(lo, lo.filled(value, (column,)), batch, (column, _POSITION), (columns, _VALUE)), columns, sizes


def _decayed_sum(lo: Lowering, node: Node, x: Value, places: Any) -> Value:
    row, column = position(node, "row"), position(node, "column")
    counting = {axis for _, parts in decays(node) for arg in parts for axis in arg.axes}
    batch = tuple(axis for axis in lo.wanted() if axis != row and axis in counting)
    columns = tuple(axis for axis in x.axes if axis not in (*batch, column))
    sizes = [lo.size(lo.space(axis)) for axis in columns]
    x = _matrix(lo, x, batch, (column, _POSITION), (columns, _VALUE))
    diagonal, given = _more(lo, node, batch)
    found = lo.call(decayed_sum, (x, places, diagonal, given), (*batch, row, _VALUE), inline=len(columns) != 1)
    return lo.split(found, _VALUE, columns, sizes, inline=False)


def _more(lo: Lowering, node: Node, batch: tuple[int, ...]) -> tuple[Any, ...]:
    """How far beyond its own number a place sees, and what counts less, if that is not as usual."""
    diagonal = node.attr("diagonal")
    assert isinstance(diagonal, SizeExpr)
    given = tuple(_decay(lo, node, name, parts, batch) for name, parts in decays(node))
    if given:
        return lo.size(diagonal), given
    return (lo.size(diagonal),) if diagonal != 0 else ()


def _decay(
    lo: Lowering, node: Node, name: str, parts: Sequence[Arg], batch: tuple[int, ...], inner: tuple[int, ...] = ()
) -> tuple[Any, ...]:
    """Its name and its parts, (batch…), or (batch…, place) and (batch…, position); features come after the batch."""
    along = (position(node, "row"), position(node, "column")) if name == "between" else (None,)
    found = []
    for arg, axis in zip(parts, along, strict=True):
        value = lo.operand(arg)
        last = () if axis is None else (axis,)
        value = lo.filled(value, last)
        layout = (*batch, *last)
        if inner:
            own = tuple(a for a in batch if a in value.axes)
            if any(a in value.axes for a in inner):
                value = lo.filled(value, inner)
                value = lo.merged(lo.permuted(value, (*own, *inner, *last)), inner, _FEATURE)
            layout = (*batch, _FEATURE, *last)
        found.append(lo.aligned(lo.permuted(value, [a for a in layout if a in value.axes]), layout).held)
    return name, *found


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
        if held.target is within_blocks and _are_same(held.args, (query.held, key.held, *more)):
            return Value(held, axes, lo.node.kind)
    return lo.call(within_blocks, (query, key, *more), axes, wish="within")


def _are_same(one: Any, other: Any) -> bool:
    """Whether arguments are the same, or merged axes of the same."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_are_same, one, other))
    if isinstance(one, fx.Node) and isinstance(other, fx.Node) and one is not other:
        merged = one.op == other.op == "call_method" and one.target == other.target == "flatten"
        return merged and _are_same(one.args, other.args)
    return bool(one == other)
