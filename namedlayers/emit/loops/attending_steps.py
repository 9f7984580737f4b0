"""Attention in a step to a memory that is the same at all steps.

In: a node of the fx graph of a step, which may be changed, and the nodes that are the same at all steps. Out: the same
attention, of which a step does as little as it can. What always holds: a step's query is all that it looks at.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from namedlayers.emit.kernels.attending import scaled_dot_product_attention
from namedlayers.emit.kernels.still_memory import attend, still_memory


def with_still_memory(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """Changes attention by keys and values that are the same at all steps."""
    if node.target is not scaled_dot_product_attention or node in same or len(node.args) != 3:
        return
    query, *memory = node.args
    if not all(one in same for one in memory) or "members" in node.kwargs:
        return
    with graph.inserting_before(node):
        held = graph.call_function(still_memory, tuple(memory))
    held.meta = {"axes": None}
    same.add(held)
    node.target, node.args = attend, (query, held)


def without_ones(graph: fx.Graph, node: fx.Node) -> None:
    """Two dimensions of size 1 of what attention gives are left out by one view."""
    given: Any = node.args
    if node.target != "squeeze" or given[0].target != "squeeze" or len(given[0].users) != 1:
        return
    first = given[0]
    if first.args[0].target in (attend, scaled_dot_product_attention) and (first.args[1], given[1]) == (2, 0):
        node.target, node.args = "flatten", (first.args[0], 0, 2)
        graph.erase_node(first)
