"""Contractions of the semiring `log`: logsumexp of an outer sum, or the logarithm of weights in the place of a term.

`logsumexp[i](W + X)` where neither term has all axes becomes a matrix product of exponentials, shifted so that nothing
overflows, and repaired where it underflows: the outer sum is never held. More terms are two sides of a product, those
of the fewest elements: in `logsumexp[i, j](X + Y + W)`, X with i and Y with j, W is one side, X and Y are parts of the
other, whose exponentials are multiplied. A term `log(w)` is taken as the weights themselves, so that a weight of 0 has
a derivative. Terms without a summed axis are added afterwards. What is summed in one term alone, as i in
`logsumexp[i, j](A[i, j] + B[j, k])`, is summed there, before anything is added to it. (Where -inf of one term, or the
sum of nothing, meets inf of another, that is not the same: such a rule is algebraic, and left out under `strict`.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

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
    """Two sides of terms, between which the sum is outer, what is added afterwards, and a number beside them."""

    sides: tuple[tuple[Arg, ...], tuple[Arg, ...]]
    rest: tuple[Arg, ...]
    number: Number


@dataclass(frozen=True, slots=True)
class _Terms:
    """Those with summed axes, in groups, those without, and a number beside them; the nodes that add them."""

    groups: list[tuple[Arg, ...]]
    rest: tuple[Arg, ...]
    number: Number
    nodes: tuple[Node, ...]


def _terms(scope: Scope, node: Node) -> _Terms | None:
    (body,) = node.args
    if node.kind is not Kind.REAL or body.node.op not in ("add", "sub") or not _outer(scope, body.node):
        return None
    total = scope.sum(body, lambda inner: _outer(scope, inner))
    consumed = _consumed(node)
    terms = [term if sign > 0 else negative(scope, term) for sign, term in total.terms]
    inside = [term for term in terms if consumed & set(term.axes)]
    rest = tuple(term for term in terms if not consumed & set(term.axes))
    groups = groups_of(inside)
    if not 2 <= len(groups) <= MOST_GROUPS or any(term.node.kind is not Kind.REAL for term in inside):
        return None
    return _Terms(groups, rest, total.number, total.nodes)


def _consumed(node: Node) -> set[int]:
    return set(range(node.rank, len(node.space)))


def _log_product(scope: Scope, node: Node) -> Outcome:
    terms = _terms(scope, node)
    if terms is None:
        return None
    sides = two_sides(scope, terms.groups, _consumed(node))
    if sides is None:
        if len(terms.groups) == 2:
            return None
        return Near(f"its terms are {len(terms.groups)} factors, and no two sides of them are a matrix product")
    return Match(_Found(sides, terms.rest, terms.number), terms.nodes)


def _summed_alone(scope: Scope, node: Node) -> Outcome:
    terms = _terms(scope, node)
    if terms is None:
        return None
    every = {axis for group in terms.groups for axis in _axes(group)}
    alone = _alone(terms.groups, _consumed(node))
    pays = any(axes and every - _axes(group) for group, axes in zip(terms.groups, alone, strict=True))
    return Match(terms, terms.nodes) if pays else None


def _build_summed_alone(scope: Scope, node: Node, found: _Terms) -> Arg:
    alone = _alone(found.groups, _consumed(node))
    parts = []
    for group, axes in zip(found.groups, alone, strict=True):
        part = reduce(lambda one, other: scope.apply("add", one, other), group)
        parts.append(scope.reduce("logsumexp", part, sorted(axes)) if axes else part)
    whole = reduce(lambda one, other: scope.apply("add", one, other), parts)
    left = _consumed(node).difference(*alone)
    return _with_rest(
        scope, scope.reduce("logsumexp", whole, sorted(left)) if left else whole, found.rest, found.number
    )


def _alone(groups: list[tuple[Arg, ...]], consumed: set[int]) -> list[set[int]]:
    """Which summed axes each group has that no other has."""
    axes = [_axes(group) for group in groups]
    return [(own & consumed).difference(*(other for other in axes if other is not own)) for own in axes]


def _axes(group: tuple[Arg, ...]) -> set[int]:
    return {axis for term in group for axis in term.axes}


def two_sides(
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


def groups_of(terms: list[Arg]) -> list[tuple[Arg, ...]]:
    """The terms by the largest axes among them: one whose axes another has belongs to the smallest such."""
    axes = [frozenset(term.axes) for term in terms]
    largest = [one for one in dict.fromkeys(axes) if not any(one < other for other in axes)]
    found: dict[frozenset[int], list[Arg]] = {one: [] for one in largest}
    for term, one in zip(terms, axes, strict=True):
        found[min((other for other in largest if one <= other), key=len)].append(term)
    return [tuple(group) for group in found.values()]


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    consumed = set(range(node.rank, len(node.space)))
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
    return _with_rest(scope, whole, found.rest, found.number)


def _with_rest(scope: Scope, whole: Arg, rest: tuple[Arg, ...], number: Number) -> Arg:
    whole = reduce(lambda one, other: scope.apply("add", one, other), rest, whole)
    return whole if number == 0 else scope.apply("add", whole, scope.number(number))


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
    return sorted(parts, key=lambda part: _elements(scope, set(part.axes)))


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
    attrs = {"linear": linear, "lefts": 1}
    return scope.build("log_contract", factors, range(node.rank), sorted(consumed), kind=Kind.REAL, attrs=attrs)


_NOT_NEGATIVE = frozenset({"exp", "softmax", "sigmoid", "relu", "softplus", "abs"})

RULES = (
    Rule("log product", "exact", ("reduce logsumexp",), _log_product, _build),
    Rule(
        "terms of a logsumexp that are summed alone",
        "algebraic",
        ("reduce logsumexp",),
        _summed_alone,
        _build_summed_alone,
    ),
    Rule("log product", "algebraic", ("log",), _log_of_contraction, _build_log_of_contraction),
)
