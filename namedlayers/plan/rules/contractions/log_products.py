"""Contractions of the semiring `log`: logsumexp of an outer sum, or the logarithm of weights in the place of a term.

`logsumexp[i](W + X)` where neither term has all axes becomes a matrix product of exponentials, shifted so that nothing
overflows, and repaired where it underflows: the outer sum is never held. More terms are two sides of a product, those
that cost least: in `logsumexp[i, j](X + Y + W)`, X with i and Y with j, W is one side, X and Y are parts of the other,
whose exponentials are multiplied; in a chain, one side is a product by itself. A term `log(w)` is taken as the weights
themselves, so that a weight of 0 has a derivative. Terms without a summed axis are added afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.contractions.outer_sums import (
    NOT_NEGATIVE,
    Terms,
    consumed_by,
    elements,
    groups_of,
    terms_of,
    two_sides,
    with_rest,
)
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class _Found:
    """The terms, and the two sides of them between which the sum is outer."""

    terms: Terms
    sides: tuple[tuple[Arg, ...], tuple[Arg, ...]]


def _log_product(scope: Scope, node: Node) -> Outcome:
    terms = terms_of(scope, node)
    if terms is None:
        return None
    sides = two_sides(scope, terms.groups, consumed_by(node))
    if sides is None:
        if len(terms.groups) == 2:
            return None
        return Near(f"its terms are {len(terms.groups)} factors, and no two sides of them are a matrix product")
    return Match(_Found(terms, sides), terms.nodes)


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    consumed = consumed_by(node)
    held = [{axis for term in side for axis in term.axes} for side in found.sides]
    factors: list[Arg] = []
    linear: list[bool] = []
    lefts = 0
    for side, own, other in zip(found.sides, held, reversed(held), strict=True):
        lefts = lefts or len(factors)
        alone = own & consumed - other
        weights = _weights(scope, side) if not alone else None
        parts = [weights] if weights is not None else _parts(scope, side, alone)
        factors += parts
        linear += [weights is not None] * len(parts)
    kept = {axis for factor in factors for axis in factor.axes}
    result = sorted(kept - consumed)
    attrs = {"linear": tuple(linear), "lefts": lefts}
    whole = scope.build("log_contract", factors, result, sorted(kept & consumed), kind=Kind.REAL, attrs=attrs)
    return with_rest(scope, whole, found.terms)


def _weights(scope: Scope, side: tuple[Arg, ...]) -> Arg | None:
    """The weights of which a side is the logarithm."""
    if len(side) != 1 or side[0].node.op != "log":
        return None
    (weights,) = scope.operands(side[0])
    return weights if weights.node.kind is Kind.REAL else None


def _parts(scope: Scope, side: tuple[Arg, ...], alone: set[int]) -> list[Arg]:
    """What is broadcast to be a side, each part without the axes that are summed in it alone."""
    groups = groups_of(list(side))
    axes = [{axis for term in group for axis in term.axes} for group in groups]
    if any(sum(axis in own for own in axes) > 1 for axis in alone):  # summed in several of them together
        groups, axes = [side], [set[int]().union(*axes)]
    parts = []
    for group, own in zip(groups, axes, strict=True):
        part = group[0]
        for term in group[1:]:
            part = scope.apply("add", part, term)
        parts.append(scope.reduce("logsumexp", part, sorted(own & alone)) if own & alone else part)
    return sorted(parts, key=lambda part: elements(scope, set(part.axes)))


def _log_of_contraction(scope: Scope, node: Node) -> Outcome:
    """log(sum(exp(X) * W)), where W is known not to be negative"""
    (body,) = scope.operands(scope.whole())
    if body.node.op != "contract" or len(body.node.args) != 2 or not scope.once(body.node):
        return None
    operands, consumed = scope.operands(body), scope.consumed(body)
    left, right = (set(one.axes) for one in operands)
    if not any(one.node.op == "exp" for one in operands) or not left & right & set(consumed):
        return None
    if not left - right or not right - left or any(one.node.kind is not Kind.REAL for one in operands):
        return None
    if not all(one.node.op in NOT_NEGATIVE for one in operands):
        return Near("a factor may be negative, and the sum of both signs has no shift that keeps its digits")
    return Match((operands, consumed), (body.node,))


def _build_log_of_contraction(scope: Scope, node: Node, found: tuple[tuple[Arg, ...], tuple[int, ...]]) -> Arg:
    operands, consumed = found
    linear = tuple(one.node.op != "exp" for one in operands)
    factors = [one if weights else scope.operands(one)[0] for one, weights in zip(operands, linear, strict=True)]
    attrs = {"linear": linear, "lefts": 1}
    return scope.build("log_contract", factors, range(node.rank), sorted(consumed), kind=Kind.REAL, attrs=attrs)


RULES = (
    Rule("log product", "exact", ("reduce logsumexp",), _log_product, _build),
    Rule("log product", "algebraic", ("log",), _log_of_contraction, _build_log_of_contraction),
)
