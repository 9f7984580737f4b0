"""Products of multiples by weights that are the same at all steps: the weights are multiplied, once.

In: a node of the fx graph of a step, which may be changed, and the nodes that are the same at all steps. Out: the same
product, but where an intermediate overflows or underflows that did not. What always holds: what anything else needs is
still computed.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from namedlayers.emit.loops.fused_steps import drop
from namedlayers.emit.loops.step_values import RELIES, is_number, is_real, of_given_precision, rank
from namedlayers.program.program import Kind


def scale_weights(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """(s * x) @ W as x @ (s * W), where s is a number, or one for each row of W."""
    if node.target not in _PRODUCTS or node in same or len(node.args) < 2:
        return
    *_, left, weights = node.args
    found: Any = left
    if weights not in same or rank(weights) != 2 or found.target is not operator.mul or len(found.users) != 1:
        return
    for value, factor in (found.args, found.args[::-1]):
        rows = is_real(factor) and factor in same and rank(factor) == 1
        if not (rows or is_number(factor) or (is_real(factor) and factor in same and rank(factor) == 0)):
            continue
        precise = of_given_precision(graph)
        if value in same or rank(value) != 2 or not {value, weights, *([factor] if rows else [])} <= precise:
            continue
        with graph.inserting_before(node):
            if rows:
                factor = graph.call_method("unsqueeze", (factor, 1))
                factor.meta = {"axes": ("", ""), "kind": Kind.REAL}
            scaled = graph.call_function(operator.mul, (weights, factor))
        scaled.meta = {"axes": ("", ""), "kind": Kind.REAL}
        same |= {scaled, factor} if rows else {scaled}
        node.args = (*node.args[:-2], value, scaled)
        node.meta[RELIES] = True
        drop([found])
        return


# --- helpers ----------------------------------------------------------------------------------------------------------

_PRODUCTS = frozenset({torch.mm, torch.matmul, torch.addmm})
