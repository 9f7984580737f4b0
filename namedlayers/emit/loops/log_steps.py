"""Log products in a step, of which one factor is the same at all steps.

In: a node of the fx graph of a step, which may be changed, and the nodes that are the same at all steps. Out: the same
product by a factor that is prepared before the first step. What always holds: a logsumexp of an outer sum is such a
product, too, since what it takes is there anyhow, and less is left to a step.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from namedlayers.emit.log_products import still_factors
from namedlayers.emit.loops.step_values import RELIES, is_number, is_real, of_given_precision, rank
from namedlayers.program.program import Kind


def with_still_factor(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """A log product of logarithms with a factor that is the same at all steps, of which all is prepared once."""
    found = _log_factors(node, same) or _outer_sum(node, same)
    if node in same or found is None or not {found.moving, found.still} <= of_given_precision(graph):
        return
    moving, still, linear, right = found.moving, found.still, found.linear, found.right
    with graph.inserting_before(node):
        if found.turned:
            still = graph.call_method("transpose", (found.still, -1, -2))
            still.meta = {"axes": found.still.meta.get("axes", ("",) * rank(found.still)), "kind": Kind.REAL}
            same.add(still)
        held = graph.call_function(still_factors.still_factor, (still, linear, right))
    held.meta = {"axes": None}
    same.add(held)
    node.target, node.args, node.kwargs = still_factors.times, (moving, held), {}
    node.meta[RELIES] = True


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LogFactors:
    """One that moves, and one that is still, of weights if `linear`; `right`: it is the right one, `turned` round."""

    moving: fx.Node
    still: fx.Node
    linear: bool
    right: bool
    turned: bool = False


def _log_factors(node: fx.Node, same: set[fx.Node]) -> _LogFactors | None:
    if node.target not in still_factors.PRODUCTS:
        return None
    factors: Any = node.args
    a, b, a_linear, b_linear = factors
    if b in same:
        return None if a_linear else _LogFactors(a, b, b_linear, right=True)
    return _LogFactors(b, a, a_linear, right=False) if a in same and not b_linear else None


def _outer_sum(node: fx.Node, same: set[fx.Node]) -> _LogFactors | None:
    """A logsumexp of a row plus a matrix, or of rows plus a matrix each, along one axis of the matrix."""
    if node.target is not torch.logsumexp or len(node.args) != 2 or node.kwargs:
        return None
    given: Any = node.args
    total, dims = given[0], given[1] if isinstance(given[1], tuple) else (given[1],)
    count = rank(total)
    if total.target is not operator.add or len(dims) != 1 or not is_number(dims[0]) or dims[0] % count < count - 2:
        return None
    turned = dims[0] % count == count - 1
    for still, row in (total.args, total.args[::-1]):
        if still in same and rank(still) == count and is_real(row) and row not in same:
            if count == 2 and rank(row) == 1 and turned:
                return _LogFactors(row, still, False, True, turned)
            if row.target == "unsqueeze" and row.args[1] == (count - 2 if turned else count - 1):
                return _LogFactors(row.args[0], still, False, True, turned)
    return None
