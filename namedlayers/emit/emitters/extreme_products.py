"""Extremes of outer sums and products, as one batched product of matrices whose sum is a maximum or a minimum.

In: two operands. Out: a tensor. What always holds: what both have and what stays is the batch; nothing is expanded
along axes that it does not have. A step of a loop, which is told where to write, makes the outer sum.
"""

from __future__ import annotations

import torch

from namedlayers.emit.emitters.elementwise import BINARY, elementwise
from namedlayers.emit.emitters.products import matrices, right_first
from namedlayers.emit.emitters.reductions import along
from namedlayers.emit.kernels.extremes import extreme_product
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node


@emits("extreme_contract")
def emit_extreme_contract(lo: Lowering, node: Node) -> Value:
    op, join = str(node.attr("op")), str(node.attr("join"))
    values = lo.alike(lo.operands(node))
    left, right = (lo.filled(value, arg.axes) for value, arg in zip(values, node.args, strict=True))
    if lo.prologue.inner:
        found = elementwise(lo, BINARY[join], [left, right])
        gone = [axis for axis in found.axes if axis >= node.rank]
        return along(lo, torch.amax if op == "max" else torch.amin, found, gone)
    keep = frozenset(range(node.rank))
    if right_first(lo, left, right, frozenset(left.axes) & frozenset(right.axes) - keep):
        left, right = right, left
    return matrices(lo, left, right, keep, extreme_product, (op, join))
