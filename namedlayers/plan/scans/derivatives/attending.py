"""The derivative of attention, written out.

What always holds: the weights do not depend on what comes back, so that those of all steps are made at once; what comes
back to keys and values that are the same at all steps is one product; rows that are masked entirely have no slopes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from namedlayers.plan.scans.derivatives.term import Back, Term, softmax_back
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind


def _attention(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    roles = node.attr("roles")
    assert isinstance(roles, tuple)
    given = dict(zip(roles, operands, strict=True))
    query, key, value = (given[role] for role in ("query", "key", "value"))
    features = [c for c in query.arg.axes if c >= node.rank]
    positions = [c for c in range(node.rank, len(node.space)) if c not in features]
    products = (query * key).sum(features)
    scale = given.get("scale")
    weights = _softmax(_masked(node, products if scale is None else products * scale, given), positions)
    slope = (g * value).sum(c for c in g.arg.axes if c not in weights.arg.axes)
    scores = softmax_back(slope, weights, positions)
    scaled = scores if scale is None else scores * scale
    found = {
        "query": scaled * key, "key": scaled * query, "value": g * weights, "mask": scores, "scale": scores * products,
    }  # fmt: skip
    return tuple(found.get(role) for role in roles)


def _masked(node: Node, scores: Term, given: Mapping[str, Term]) -> Term:
    """With what is added, and -inf where something may not be seen."""
    causal, scope = node.attr("causal"), scores.scope
    assert isinstance(causal, tuple)
    if "mask" in given:
        scores = scores + given["mask"]
    if "allow" in given:
        scores = given["allow"].chosen(scores, -math.inf)
    if causal:
        until, at = (Term(scope, scope.coordinate(c)) for c in causal)
        scores = at("le", until).chosen(scores, -math.inf)
    return scores


def _softmax(scores: Term, positions: list[int]) -> Term:
    order = sorted(scores.arg.axes)
    attrs = {"axes": tuple(order.index(c) for c in positions)}
    return Term(scores.scope, scores.scope.build("softmax", (scores.arg,), order, kind=Kind.REAL, attrs=attrs))


TABLE: Mapping[str, Back] = {"attention": _attention}
