"""Graphs as plain data, to be compared: all but names, spans, and how draws are numbered.

In: a graph. Out: lists and tuples, equal for equal graphs. What always holds: what a body gives out and nobody takes
does not count, as printed blocks give out all that they assign.
"""

from __future__ import annotations

from typing import Any

from namedlayers.program.graph import Arg, Graph, Node, Region


def drawn(graph: Graph) -> list[Any]:
    """The graph as data."""
    sites: dict[Any, int] = {}
    return _drawn(graph, sites, inside=False)


def _drawn(graph: Graph, sites: dict[Any, int], inside: bool, taken: tuple[int, ...] = ()) -> list[Any]:
    """`taken` are the outputs that count of a body, `inside`."""
    outputs = [graph.outputs[k] for k in taken] if inside else graph.outputs
    used = {arg.node for node in graph.nodes for arg in node.args} | {output.node for output in outputs}
    nodes = [node for node in graph.nodes if node.op != "part" or node in used]
    numbers = {node: k for k, node in enumerate(nodes)}

    def arg(one: Arg) -> tuple[int, tuple[int, ...]]:
        return numbers[one.node], one.axes

    listed: list[Any] = []
    for node in nodes:
        attrs: dict[str, Any] = dict(node.attrs)
        if "site" in attrs:
            attrs["site"] = sites.setdefault((graph.nodes[0], attrs["site"]), len(sites)) if attrs["site"] else 0
        if inside and node.op == "input":
            del attrs["name"]
        if isinstance(attrs.get("region"), Region):
            wanted = (*range(attrs.get("carries", 0)), *_taken(node, nodes))
            attrs["region"] = _drawn(attrs["region"].graph, sites, True, wanted)
        if node.op == "part":
            bundle = node.args[0].node
            carries = dict(bundle.attrs).get("carries", 0)
            number = attrs["number"]
            attrs["number"] = number if number < carries else carries + _taken(bundle, nodes).index(number)
        listed.append((node.op, sorted(attrs.items()), [arg(a) for a in node.args], node.space, node.rank, node.kind,
                       node.weak))  # fmt: skip
    return [*listed, *(arg(one) for one in outputs)]


def _taken(bundle: Node, nodes: list[Node]) -> list[int]:
    """The outputs that parts take, but those that are carried, in the order of the parts."""
    carries = dict(bundle.attrs).get("carries", 0)
    parts = (node for node in nodes if node.op == "part" and node.args[0].node is bundle)
    numbers = (dict(node.attrs)["number"] for node in parts)
    return [number for number in dict.fromkeys(numbers) if isinstance(number, int) and number >= carries]
