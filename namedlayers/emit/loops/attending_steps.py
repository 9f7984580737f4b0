"""Attention in a step to a memory that is the same at all steps.

In: a node of the fx graph of a step, which may be changed, and the nodes that are the same at all steps. Out: the same
attention, of which a step does as little as it can. What always holds: a step's query is all that it looks at.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from namedlayers.emit.kernels.attending import scaled_dot_product_attention
from namedlayers.emit.kernels.still_memory import attend, scaled_keys, still_memory
from namedlayers.emit.loops.fused_steps import drop
from namedlayers.emit.loops.step_values import rank
from namedlayers.program.program import Kind


def with_still_memory(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """Changes attention by keys and values that are the same at all steps."""
    if node.target is not scaled_dot_product_attention or node in same or len(node.args) != 3:
        return
    query, *memory = node.args
    if not all(one in same for one in memory) or "members" in node.kwargs:
        return
    if _of_matrices(graph, node, same):
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


# --- helpers ----------------------------------------------------------------------------------------------------------


def _of_matrices(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> bool:
    """Rows that attend to one memory, all to the same: two products and a softmax are quicker than the kernel, which
    shares its work out by heads."""
    operands = [_matrix(one) for one in node.args]
    outer = list(node.users)
    if None in operands or not set(node.kwargs) <= {"scale"} or len(outer) != 1 or outer[0].args[1:] != ((0, 1),):
        return False
    query, key, value = operands
    with graph.inserting_before(node):
        keys = graph.call_function(scaled_keys, (key, node.kwargs.get("scale")))
        keys.meta = {"axes": ("", ""), "kind": Kind.REAL}
        same.add(keys)
        scores = graph.call_function(torch.mm, (query, keys))
        weights = graph.call_function(torch.softmax, (scores, 1))
        found = graph.call_function(torch.mm, (weights, value))
    scores.meta = weights.meta = {"axes": ("", ""), "kind": Kind.REAL}
    found.meta = outer[0].meta
    outer[0].replace_all_uses_with(found)
    drop([outer[0]])
    return True


def _matrix(operand: Any) -> fx.Node | None:
    """What becomes an operand of the kernel by two dimensions of size 1 in front."""
    if operand.target is not operator.getitem or operand.args[1] != (None, None) or rank(operand.args[0]) != 2:
        return None
    found: fx.Node = operand.args[0]
    return found
