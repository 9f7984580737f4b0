"""Sums and products of terms that lack axes of each other, under a sum of another kind: what can be summed apart.

In: `logsumexp`, `max` or `min` of terms, or an extreme of a product of factors. Out: the terms in groups, and two sides
of them between which a matrix product can be taken; a rule that sums first what one group alone has, as i in
`logsumexp[i, j](A[i, j] + B[j, k])` or `max[i, j](A[i, j] + B[j, k])`, before anything is added to it. What always
holds: what is added distributes over the sum, and so does a factor that is not negative. (Where -inf of one term, or
the sum of nothing, meets inf of another, that is not the same, and elements that are the extreme together share a slope
in another way: such rules are algebraic, and left out under `strict`.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.view import Number, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

MOST_GROUPS = 6
TYPICAL = 64
"""The size of an axis where it is not known."""

MULTIPLIED = 32
"""So many multiplications and additions of a matrix product take the time of an exponential, or of an addition that
is written to memory."""

NOT_NEGATIVE = frozenset({"exp", "softmax", "sigmoid", "relu", "softplus", "abs"})


@dataclass(frozen=True, slots=True)
class Terms:
    """Those with summed axes, in groups, those without, and a number beside them; the nodes that join them, by `join`:
    add or mul."""

    groups: list[tuple[Arg, ...]]
    rest: tuple[Arg, ...]
    number: Number
    nodes: tuple[Node, ...]
    join: str = "add"


def terms_of(scope: Scope, node: Node) -> Terms | None:
    """What a reduction is of, if it is of two groups of terms and more."""
    (body,) = node.args
    if node.kind is not Kind.REAL or not _outer(scope, body.node):
        return None
    found: Terms | None = None
    if body.node.op in ("add", "sub"):
        found = _summands(scope, node, body)
    elif body.node.op == "mul" and node.attr("op") in ("max", "min"):
        found = _factors(scope, body)
    if found is None or not 2 <= len(found.groups) <= MOST_GROUPS:
        return None
    return found if all(term.node.kind is Kind.REAL for group in found.groups for term in group) else None


def two_sides(
    scope: Scope, groups: list[tuple[Arg, ...]], consumed: set[int], multiplied: int = MULTIPLIED
) -> tuple[tuple[Arg, ...], tuple[Arg, ...]] | None:
    """The groups as two sides of a matrix product, so that it and its sides cost least. `multiplied`: how many of its
    operations take the time of one element of a side."""
    found = []
    for chosen in range(1, 1 << (len(groups) - 1)):  # the last group is on the right
        left = tuple(term for k, group in enumerate(groups) if chosen >> k & 1 for term in group)
        right = tuple(term for k, group in enumerate(groups) if not chosen >> k & 1 for term in group)
        a, b = axes_of(left), axes_of(right)
        if a & b & consumed and a - b - consumed and b - a - consumed:
            made = [own - (own & consumed - other) for own, other in ((a, b), (b, a))]
            cost = elements(scope, made[0] | made[1]) / multiplied
            for side, own, left_of in ((left, a, made[0]), (right, b, made[1])):
                cost += elements(scope, left_of)
                if own != left_of and len(groups_of(list(side))) > 1:  # a product by itself
                    cost += elements(scope, own) / multiplied
            found.append((cost, chosen, (left, right)))
    return min(found)[2] if found else None


def groups_of(terms: list[Arg]) -> list[tuple[Arg, ...]]:
    """The terms by the largest axes among them: one whose axes another has belongs to the smallest such."""
    axes = [frozenset(term.axes) for term in terms]
    largest = [one for one in dict.fromkeys(axes) if not any(one < other for other in axes)]
    found: dict[frozenset[int], list[Arg]] = {one: [] for one in largest}
    for term, one in zip(terms, axes, strict=True):
        found[min((other for other in largest if one <= other), key=len)].append(term)
    return [tuple(group) for group in found.values()]


def axes_of(terms: tuple[Arg, ...]) -> set[int]:
    return {axis for term in terms for axis in term.axes}


def consumed_by(node: Node) -> set[int]:
    return set(range(node.rank, len(node.space)))


def joined(scope: Scope, join: str, terms: tuple[Arg, ...]) -> Arg:
    return reduce(lambda one, other: scope.apply(join, one, other), terms)


def with_rest(scope: Scope, whole: Arg, found: Terms) -> Arg:
    """And what has no summed axes."""
    whole = joined(scope, found.join, (whole, *found.rest))
    if found.number == (0 if found.join == "add" else 1):
        return whole
    return scope.apply(found.join, whole, scope.number(found.number))


def elements(scope: Scope, axes: set[int]) -> int:
    """How many elements there are along axes, about."""
    sizes = (scope.sizes[axis].value for axis in axes)
    return math.prod(TYPICAL if size is None else size for size in sizes)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _outer(scope: Scope, node: Node) -> bool:
    """A sum that is larger than its terms, or that nothing else needs."""
    return bool(node.args) and (scope.once(node) or node.rank > max(arg.node.rank for arg in node.args))


def _summands(scope: Scope, node: Node, body: Arg) -> Terms:
    total = scope.sum(body, lambda inner: _outer(scope, inner))
    consumed = consumed_by(node)
    terms = [term if sign > 0 else negative(scope, term) for sign, term in total.terms]
    inside = [term for term in terms if consumed & set(term.axes)]
    rest = tuple(term for term in terms if not consumed & set(term.axes))
    return Terms(groups_of(inside), rest, total.number, total.nodes)


def _factors(scope: Scope, body: Arg) -> Terms | None:
    """Those without summed axes stay where they are, as they may be negative."""
    product = scope.product(body, lambda inner: _outer(scope, inner))
    if product.bottom or isinstance(product.number, complex) or not product.number > 0:
        return None
    return Terms(groups_of(list(product.top)), (), product.number, product.nodes, "mul")


def _summed_alone(scope: Scope, node: Node) -> Outcome:
    terms = terms_of(scope, node)
    if terms is None:
        return None
    every = {axis for group in terms.groups for axis in axes_of(group)}
    alone = _alone(terms, consumed_by(node))
    pays = any(axes and every - axes_of(group) for group, axes in zip(terms.groups, alone, strict=True))
    return Match(terms, terms.nodes) if pays else None


def _build_summed_alone(scope: Scope, node: Node, found: Terms) -> Arg:
    op, consumed = str(node.attr("op")), consumed_by(node)
    alone = _alone(found, consumed)
    parts = tuple(
        scope.reduce(op, joined(scope, found.join, group), sorted(axes))
        for group, axes in zip(found.groups, alone, strict=True)
    )
    left = consumed.difference(*alone)
    return with_rest(scope, scope.reduce(op, joined(scope, found.join, parts), sorted(left)), found)


def _alone(terms: Terms, consumed: set[int]) -> list[set[int]]:
    """Which summed axes each group has that no other has; none if another may be negative and is a factor."""
    axes = [axes_of(group) for group in terms.groups]
    signed = [terms.join == "mul" and any(x.node.op not in NOT_NEGATIVE for x in group) for group in terms.groups]
    return [
        set[int]()
        if any(one for place, one in enumerate(signed) if place != k)
        else (own & consumed).difference(*(other for other in axes if other is not own))
        for k, own in enumerate(axes)
    ]


RULES = (
    Rule(
        "terms that are summed alone", "algebraic", ("reduce logsumexp", "reduce max", "reduce min"), _summed_alone,
        _build_summed_alone,
    ),
)  # fmt: skip
