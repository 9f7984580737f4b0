"""Contractions of the semiring `log`, as one batched matrix product of it.

In: two factors, logarithms or weights. Out: a tensor. What always holds: what both have and what stays is the batch;
neither factor is expanded along axes of the other.
"""

from __future__ import annotations

from namedlayers.emit.attributes import listed
from namedlayers.emit.contractions import matrices, right_first
from namedlayers.emit.log_product import log_product
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node


@emits("log_contract")
def emit_log_contract(lo: Lowering, node: Node) -> Value:
    left, right = lo.alike(lo.operands(node))
    left, right = lo.filled(left, node.args[0].axes), lo.filled(right, node.args[1].axes)
    keep = frozenset(range(node.rank))
    linear = tuple(listed(node, "linear"))
    if right_first(lo, left, right, frozenset(left.axes) & frozenset(right.axes) - keep):
        left, right, linear = right, left, linear[::-1]
    return matrices(lo, left, right, keep, log_product, linear)
