"""Contractions of the semirings max-plus, min-plus, max-product and min-product: an extreme of an outer sum or product.

`max[j](A[i, j] + B[j, k])`, where neither term has all axes, becomes one node, so that a kernel may go through the
outer sum in blocks, forwards and backwards, and never hold it. Terms that are more than two become two sides: in a
chain, `max[j, k](A[i, j] + B[j, k] + C[k, l])`, one side is an extreme by itself, that of `A + B` over j, say,
whichever costs least. (That is algebraic: -inf may meet inf, and slopes are shared by what is the extreme of a part.)
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.contractions.outer_sums import (
    NOT_NEGATIVE,
    Terms,
    axes_of,
    consumed_by,
    joined,
    terms_of,
    two_sides,
    with_rest,
)
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

_Sides = tuple[tuple[Arg, ...], tuple[Arg, ...]]


def _plain(scope: Scope, node: Node) -> Outcome:
    """Of two terms, and nothing beside them."""
    (body,) = node.args
    terms = terms_of(scope, node)
    if terms is None or len(body.node.args) != 2 or len(terms.nodes) != 1 or {*map(len, terms.groups)} != {1}:
        return None
    return _extreme_product(scope, node)


def _extreme_product(scope: Scope, node: Node) -> Outcome:
    terms, consumed = terms_of(scope, node), consumed_by(node)
    if terms is None:
        return None
    sides = two_sides(scope, terms.groups, consumed, multiplied=1)
    if sides is None:
        return None
    if terms.join == "mul":
        for side, alone in zip(reversed(sides), _alone(sides, consumed), strict=True):
            if alone and any(factor.node.op not in NOT_NEGATIVE for factor in side):
                return Near("a factor may be negative, and then the largest product is not that of the largest factors")
    return Match((terms, sides), terms.nodes)


def _build(scope: Scope, node: Node, found: tuple[Terms, _Sides]) -> Arg:
    terms, sides = found
    op, consumed = str(node.attr("op")), consumed_by(node)
    parts = [
        scope.reduce(op, joined(scope, terms.join, side), sorted(alone))
        for side, alone in zip(sides, _alone(sides, consumed), strict=True)
    ]
    kept = {axis for part in parts for axis in part.axes}
    attrs = {"op": op, "join": terms.join}
    whole = scope.build(
        "extreme_contract", parts, sorted(kept - consumed), sorted(kept & consumed), kind=Kind.REAL, attrs=attrs
    )
    return with_rest(scope, whole, terms)


def _alone(sides: _Sides, consumed: set[int]) -> tuple[set[int], set[int]]:
    """The summed axes that each side has by itself."""
    left, right = map(axes_of, sides)
    return left & consumed - right, right & consumed - left


RULES = (
    Rule("extreme product", "exact", ("reduce max", "reduce min"), _plain, _build),
    Rule("extreme product", "algebraic", ("reduce max", "reduce min"), _extreme_product, _build),
)
