"""Stretches of linear recurrences: a function of any number of steps, and a call that runs it piece by piece.

In: a node `stretch`. Out: a call of `by_stretches`. What always holds: the function is made by the emission that makes
all bodies.
"""

from __future__ import annotations

from namedlayers.emit.attributes import listed
from namedlayers.emit.loops.by_stretches import by_stretches
from namedlayers.emit.loops.calling import function_of, number_of, parts, passed, sizes, taken
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.plan.regions import region_of
from namedlayers.program.graph import Node
from namedlayers.program.size import SizeExpr


@emits("stretch")
def emit_stretch(lo: Lowering, node: Node) -> Value:
    lo.bodies.adopt(region_of(node))
    body = function_of(lo, node)
    given = [passed(lo, node, k, order, tensors=True) for k, order in enumerate(body.orders.inputs)]
    dims = _dims(body.orders.inputs, listed(node, "inputs"))
    results = _dims(body.orders.outputs[1:], listed(node, "results"))
    size = node.attr("size")
    assert isinstance(size, SizeExpr)
    cut = next((k for k, name in enumerate(body.sizes) if name in size.symbols), -1)
    args = (body.function, given, dims, results, bool(node.attr("reverse")), lo.size(size), sizes(lo, body), cut)
    places = [(part, number_of(part) - 1, body.orders.outputs[number_of(part)]) for part in parts(lo, node)]
    return taken(lo, node, by_stretches, args, {}, places, len(results))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _dims(orders: tuple[tuple[int, ...], ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Where the axis of the steps lies in each."""
    return tuple(order.index(axis) if axis >= 0 else -1 for order, axis in zip(orders, axes, strict=True))
