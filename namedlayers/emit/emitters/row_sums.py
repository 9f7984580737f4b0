"""Sums and means of rows that are read.

In: a table and numbers of its rows. Out: sums of rows. What always holds: axes that both have are a batch; the rest of
the table's is one dimension, as are the axes that stay of the numbers, and those that are summed.
"""

from __future__ import annotations

from namedlayers.emit.attributes import position
from namedlayers.emit.kernels.row_sums import row_sums
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node

_BAGS, _READ, _REST = -301, -302, -303


@emits("row_sums")
def emit_row_sums(lo: Lowering, node: Node) -> Value:
    x, index, *weights = lo.operands(node)
    x, *weights = lo.alike([x, *weights])
    label = own(position(node, "axis"))
    x = lo.filled(lo.tensor(x), [label if axis < 0 else axis for axis in node.args[0].axes])
    index = lo.filled(lo.integer(lo.tensor(index)), node.args[1].axes)
    batch = [axis for axis in x.axes if axis in index.axes]
    rest = [axis for axis in x.axes if axis not in index.axes and axis != label]
    read = [axis for axis in index.axes if axis >= node.rank]
    bags = [axis for axis in index.axes if axis not in batch and axis not in read]
    weights = [lo.permuted(lo.filled(one, index.axes), index.axes) for one in weights]
    index, *weights = (
        lo.permuted(lo.merged(lo.merged(one, read, _READ), bags, _BAGS), (*batch, _BAGS, _READ))
        for one in (index, *weights)
    )
    x = lo.permuted(lo.merged(x, rest, _REST), (*batch, label, _REST))
    mean = node.attr("op") == "mean"
    found = lo.call(
        row_sums, (x, index, mean, *weights), (*batch, _BAGS, _REST), inline=len(rest) != 1 or len(bags) != 1
    )
    found = lo.split(found, _REST, rest, [lo.size(lo.space(axis)) for axis in rest], inline=len(bags) != 1)
    return lo.split(found, _BAGS, bags, [lo.size(lo.space(axis)) for axis in bags], inline=False)
