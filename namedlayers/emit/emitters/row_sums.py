"""Sums and means of rows that are read.

In: a table and numbers of its rows. Out: sums of rows. What always holds: axes that both have are a batch; the rest of
the table's is one dimension, as are the axes that stay of the numbers, and those that are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from namedlayers.emit.attributes import position
from namedlayers.emit.emitters.products import product
from namedlayers.emit.kernels.chosen_row_sums import chosen_row_sums
from namedlayers.emit.kernels.row_sums import row_products, row_sums
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node

_BAGS, _READ, _REST, _COLUMNS = -301, -302, -303, -304


@emits("row_sums")
def emit_row_sums(lo: Lowering, node: Node) -> Value:
    x, index, *weights = lo.operands(node)
    return _sums(lo, node, *lo.alike([x, *weights]), index=index)


@emits("chosen_row_sums")
def emit_chosen_row_sums(lo: Lowering, node: Node) -> Value:
    x, index, chosen = lo.operands(node)
    return _sums(lo, node, x, lo.truth(chosen), index=index, target=chosen_row_sums)


@emits("row_products")
def emit_row_products(lo: Lowering, node: Node) -> Value:
    x, index, matrix, *weights = lo.operands(node)
    x, matrix, *weights = lo.alike([x, matrix, *weights])
    matrix = lo.filled(matrix, node.args[2].axes)
    own_axes, read = node.args[0].axes, node.args[1].axes
    if any(0 <= axis < node.rank for axis in own_axes) or set(matrix.axes) & set(read):  # all steps of a loop at once
        return product(lo, _sums(lo, node, x, *weights, index=index), matrix, range(node.rank))
    rest = [axis for axis in own_axes if axis >= 0]
    columns = [axis for axis in matrix.axes if axis < node.rank]
    matrix = lo.permuted(lo.merged(lo.merged(matrix, rest, _REST), columns, _COLUMNS), (_REST, _COLUMNS))
    return _sums(lo, node, x, *weights, index=index, matrix=matrix, columns=columns)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _sums(
    lo: Lowering, node: Node, x: Value, *weights: Value, index: Value, matrix: Value | None = None,
    columns: Sequence[int] = (), target: Callable | None = None,
) -> Value:  # fmt: skip
    """The sums, or what a matrix, of which these are the columns, makes of them; or what `target` does."""
    label = own(position(node, "axis"))
    x = lo.filled(lo.tensor(x), [label if axis < 0 else axis for axis in node.args[0].axes])
    index = lo.filled(lo.integer(lo.tensor(index)), node.args[1].axes)
    batch = [axis for axis in x.axes if axis in index.axes]
    order = x.axes if matrix is None else node.args[0].axes
    rest = [axis for axis in order if axis not in index.axes and axis != label and axis != -1]
    read = [axis for axis in index.axes if axis >= node.rank]
    bags = [axis for axis in index.axes if axis not in batch and axis not in read]
    weights = tuple(lo.permuted(lo.filled(one, index.axes), index.axes) for one in weights)
    index, *weighed = (
        lo.permuted(lo.merged(lo.merged(one, read, _READ), bags, _BAGS), (*batch, _BAGS, _READ))
        for one in (index, *weights)
    )
    x = lo.permuted(lo.merged(x, rest, _REST), (*batch, label, _REST))
    left = rest if matrix is None else columns
    operands: tuple[Any, ...] = () if target is not None else (node.attr("op") == "mean",)
    operands = operands if matrix is None else (*operands, matrix)
    target = target or (row_sums if matrix is None else row_products)
    found = lo.call(
        target, (x, index, *operands, *weighed), (*batch, _BAGS, _REST), inline=len(left) != 1 or len(bags) != 1
    )
    found = lo.split(found, _REST, left, [lo.size(lo.space(axis)) for axis in left], inline=len(bags) != 1)
    return lo.split(found, _BAGS, bags, [lo.size(lo.space(axis)) for axis in bags], inline=False)
