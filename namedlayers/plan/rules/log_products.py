"""Contractions of the semiring `log`: logsumexp of an outer sum, or the logarithm of weights in the place of a term.

`logsumexp[i](W + X)` where neither term has all axes becomes a matrix product of exponentials, shifted so that nothing
overflows, and repaired where it underflows: the outer sum is never held. Of more terms those are added first whose sum
is small: `logsumexp[i, j](X + Y + W)`, X with i and Y with j, is the product of X + Y with W. A term `log(w)` is taken
as the weights themselves, so that a weight of 0 has a derivative. Terms without a summed axis are added afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.view import Number, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

MOST_GROUPS = 6
TYPICAL = 64
"""The size of an axis where it is not known."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Two groups of terms between which the sum is outer, what is added afterwards, and a number beside them."""

    groups: tuple[tuple[Arg, ...], tuple[Arg, ...]]
    rest: tuple[Arg, ...]
    number: Number


def _log_product(scope: Scope, node: Node) -> Outcome:
    (body,) = node.args
    if node.kind is not Kind.REAL or body.node.op not in ("add", "sub") or not _outer(scope, body.node):
        return None
    total = scope.sum(body, lambda inner: _outer(scope, inner))
    consumed = set(range(node.rank, len(node.space)))
    terms = [term if sign > 0 else negative(scope, term) for sign, term in total.terms]
    inside = [term for term in terms if consumed & set(term.axes)]
    rest = tuple(term for term in terms if not consumed & set(term.axes))
    groups = _groups(inside)
    if not 2 <= len(groups) <= MOST_GROUPS or any(term.node.kind is not Kind.REAL for term in inside):
        return None
    sides = _sides(scope, groups, consumed)
    if sides is None:
        if len(groups) == 2:
            return None
        return Near(f"its terms are {len(groups)} factors, and no two sides of them are a matrix product")
    return Match(_Found(sides, rest, total.number), total.nodes)


def _sides(
    scope: Scope, groups: list[tuple[Arg, ...]], consumed: set[int]
) -> tuple[tuple[Arg, ...], tuple[Arg, ...]] | None:
    """The groups as two sides of a matrix product, those whose sums have the fewest elements."""
    found = []
    for chosen in range(1, 1 << (len(groups) - 1)):  # the last group is on the right
        left = tuple(term for k, group in enumerate(groups) if chosen >> k & 1 for term in group)
        right = tuple(term for k, group in enumerate(groups) if not chosen >> k & 1 for term in group)
        a, b = ({axis for term in side for axis in term.axes} for side in (left, right))
        if a & b & consumed and a - b - consumed and b - a - consumed:
            found.append((_elements(scope, a) + _elements(scope, b), chosen, (left, right)))
    return min(found)[2] if found else None


def _elements(scope: Scope, axes: set[int]) -> int:
    sizes = (scope.sizes[axis].value for axis in axes)
    return math.prod(TYPICAL if size is None else size for size in sizes)


def _outer(scope: Scope, node: Node) -> bool:
    """A sum that is larger than its terms, or that nothing else needs."""
    return scope.once(node) or node.rank > max(arg.node.rank for arg in node.args)


def _groups(terms: list[Arg]) -> list[tuple[Arg, ...]]:
    """The terms by the largest axes among them: one whose axes another has belongs to the smallest such."""
    axes = [frozenset(term.axes) for term in terms]
    largest = [one for one in dict.fromkeys(axes) if not any(one < other for other in axes)]
    found: dict[frozenset[int], list[Arg]] = {one: [] for one in largest}
    for term, one in zip(terms, axes, strict=True):
        found[min((other for other in largest if one <= other), key=len)].append(term)
    return [tuple(group) for group in found.values()]


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    consumed = set(range(node.rank, len(node.space)))
    held = [{axis for term in group for axis in term.axes} for group in found.groups]
    factors: list[Arg] = []
    linear: list[bool] = []
    for group, own, other in zip(found.groups, held, reversed(held), strict=True):
        alone = sorted(own & consumed - other)
        weights = len(group) == 1 and group[0].node.op == "log" and not alone
        factor = scope.operands(group[0])[0] if weights else group[0]
        if weights and factor.node.kind is not Kind.REAL:
            factor, weights = group[0], False
        for term in group[1:]:
            factor = scope.apply("add", factor, term)
        factors.append(scope.reduce("logsumexp", factor, alone) if alone else factor)
        linear.append(weights)
    kept = {axis for factor in factors for axis in factor.axes}
    result = sorted(kept - consumed)
    whole = scope.build(
        "log_contract", factors, result, sorted(kept & consumed), kind=Kind.REAL, attrs={"linear": tuple(linear)}
    )
    for term in found.rest:
        whole = scope.apply("add", whole, term)
    return whole if found.number == 0 else scope.apply("add", whole, scope.number(found.number))


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
    if not all(one.node.op in _NOT_NEGATIVE for one in operands):
        return Near("a factor may be negative, and the sum of both signs has no shift that keeps its digits")
    return Match((operands, consumed), (body.node,))


def _build_log_of_contraction(scope: Scope, node: Node, found: tuple[tuple[Arg, ...], tuple[int, ...]]) -> Arg:
    operands, consumed = found
    linear = tuple(one.node.op != "exp" for one in operands)
    factors = [one if weights else scope.operands(one)[0] for one, weights in zip(operands, linear, strict=True)]
    attrs = {"linear": linear}
    return scope.build("log_contract", factors, range(node.rank), sorted(consumed), kind=Kind.REAL, attrs=attrs)


_NOT_NEGATIVE = frozenset({"exp", "softmax", "sigmoid", "relu", "softplus", "abs"})

RULES = (
    Rule("log product", "exact", ("reduce logsumexp",), _log_product, _build),
    Rule("log product", "algebraic", ("log",), _log_of_contraction, _build_log_of_contraction),
)
