"""Graphs as plain data, to be compared: all but names, spans, and how draws are numbered.

In: a graph. Out: lists and tuples, equal for equal graphs. What always holds: a part counts where it is used, as the
value of the body that it is, since a block in a text gives out all that it assigns.
"""

from __future__ import annotations

from typing import Any

from namedlayers.program.graph import Arg, Graph, Node, Region


def drawn(graph: Graph) -> list[Any]:
    """The graph as data."""
    return _drawn(graph, {}, inside=False)


def _drawn(graph: Graph, sites: dict[Any, int], inside: bool) -> list[Any]:
    listed: list[Any] = []
    for node in graph.nodes:
        if node.op == "part":
            continue
        attrs: dict[str, Any] = dict(node.attrs)
        if attrs.get("site"):
            attrs["site"] = sites.setdefault((graph.nodes[0], attrs["site"]), len(sites))
        if node.op == "input" and inside:
            del attrs["name"]
        if isinstance(attrs.get("region"), Region):
            region = attrs["region"].graph
            carried = [_arg(region, one) for one in region.outputs[: attrs.get("carries", 0)]]
            attrs["region"] = _drawn(region, sites, inside=True), carried
        args = [_arg(graph, one) for one in node.args]
        listed.append((node.op, sorted(attrs.items()), args, node.space, node.rank, node.kind, node.weak))
    return listed if inside else [*listed, *(_arg(graph, one) for one in graph.outputs)]


def _arg(graph: Graph, one: Arg) -> tuple[Any, tuple[int, ...]]:
    """A node by its number among those that are listed, and where its axes lie; a part as its bundle's value inside."""
    node, axes = one.node, one.axes
    if node.op != "part":
        return _number(graph, node), axes
    bundle, number = node.args[0].node, node.attr("number")
    region = bundle.attr("region")
    assert isinstance(region, Region) and isinstance(number, int)
    value, inside = _arg(region.graph, region.graph.outputs[number])
    scanned = int(bundle.op == "scan")
    return ("part", _number(graph, bundle), value), axes[:scanned] + tuple(axes[scanned + k] for k in inside)


def _number(graph: Graph, node: Node) -> int:
    return sum(other.op != "part" for other in graph.nodes[: node.number])
