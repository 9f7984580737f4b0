"""Parts of one value that depends on carried ones are cut from it at once.

In: a body's graph. Out: a graph with the same inputs and results, in which coordinates that are taken one by one along
an axis of known length are pieces of one cut. What always holds: only what depends on carried values is cut (what does
not is computed outside of the loop), and only where two pieces or more are taken.
"""

from __future__ import annotations

from namedlayers.plan.scans.block import replacing
from namedlayers.program.graph import Graph, Node
from namedlayers.program.size import const


def cut(graph: Graph, carries: int) -> Graph:
    """The body with such parts cut."""
    groups: dict[tuple[int, int], list[Node]] = {}
    bound = set(range(carries))
    for node in graph.nodes:
        if any(arg.node.number in bound for arg in node.args):
            bound.add(node.number)
    for node in graph.live():
        axis = selected(node)
        if axis >= 0 and node.args[0].node.number in bound:
            groups.setdefault((node.args[0].node.number, axis), []).append(node)
    replaced = {
        node.number: piece(graph, node, axis) for (_, axis), group in groups.items() if len(group) > 1 for node in group
    }
    return replacing(graph, replaced) if replaced else graph


def selected(node: Node) -> int:
    """The operand's axis at one coordinate of which it is read, where its length is known; else -1."""
    if node.op != "index":
        return -1
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    if len(entries) != 1 or entries[0][1] or entries[0][2].value is None:
        return -1
    axis = entries[0][0]
    assert isinstance(axis, int)
    return axis if node.args[0].node.sizes[axis].value is not None else -1


def piece(graph: Graph, node: Node, axis: int) -> Node:
    """What is `selected`, as one of the pieces into which all of the axis is cut."""
    entries, count = node.attr("entries"), node.args[0].node.sizes[axis].value
    assert isinstance(entries, tuple) and count is not None
    return graph.node(
        "piece", node.args, node.space, node.rank, node.kind,
        attrs={"axis": -1, "number": entries[0][2].value, "sizes": (const(1),) * count}, names=node.names,
        spans=node.spans,
    )  # fmt: skip
