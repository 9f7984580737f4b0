"""Pairs that are turned.

In: pairs in any layout, cosines and sines. Out: a tensor in the layout of the pairs. What always holds: pairs that lie
side by side stay so.
"""

from __future__ import annotations

from namedlayers.emit.attributes import position
from namedlayers.emit.kernels.turning import turned
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node


@emits("rotation")
def emit_rotation(lo: Lowering, node: Node) -> Value:
    pairs, cos, sin = lo.alike(lo.operands(node))
    two = position(node, "axis")
    pairs = lo.renamed(pairs, {own(node.args[0].axes.index(-1)): two})
    pairs = lo.filled(pairs, (a for a in range(node.rank)))
    rest = tuple(a for a in pairs.axes if a != two)
    cos, sin = (lo.aligned(one, rest) for one in (cos, sin))
    return lo.call(turned, (pairs, cos, sin, pairs.dim(two)), pairs.axes)
