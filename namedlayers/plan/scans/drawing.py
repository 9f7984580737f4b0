"""What drops out of a carried value is drawn apart from it, so that nothing is drawn inside of the loop.

In: the graph of a step. Out: one in which `dropout` of what is carried is a product with a `dropout` of ones, which
depends on no step before; itself where there is none. What always holds: values are the same for the same draws.
"""

from __future__ import annotations

from namedlayers.plan.scans.block import ancestors, replacing
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind


def with_draws_apart(graph: Graph, carries: int) -> Graph:
    """`graph` may get nodes more; its first `carries` inputs are carried."""
    carried = set(graph.nodes[:carries])
    dropped = [node for node in graph.live() if node.op == "dropout" and carried & set(ancestors([node]))]
    if not dropped:
        return graph
    return replacing(graph, {node.number: _product(graph, node) for node in dropped})


# --- helpers ----------------------------------------------------------------------------------------------------------


def _product(graph: Graph, node: Node) -> Node:
    scope = Scope(graph, node, lambda _: 2)
    x, p = node.args
    order = tuple(range(node.rank))
    one = scope.number(1.0)
    ones = scope.build("expand", (one,), order, kind=Kind.REAL, attrs={"axes": order}, weak=True) if order else one
    mask = scope.build("dropout", (ones, Arg(p.node, p.axes)), order, kind=Kind.REAL, attrs=dict(node.attrs), weak=True)
    return scope.build("mul", (x, mask), order, kind=node.kind).node
