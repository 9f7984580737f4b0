"""Sums over products and sums of products, multiplied out through values that others use too.

In: the values that are to be looked through, which `plan/alternatives.py` chooses. Out: a rule for the contractions and
sums that reach them through products, numerators and sums: what stands there is written as a sum of contractions. What
always holds: divisors that are free of the contracted axes divide afterwards, once; what no contraction needs any more
is not held. It is the cost of the whole graph that says whether this is any better, so nothing is weighed here.

Taking a sum apart loses no digits that the text keeps: the term that is looked through is computed, so its rounding
error, of the size of the term, is in the text's sum too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product as pairs

from namedlayers.plan.prefixes import PREFIXES
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import count
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.rules.contractions.expansion import (
    APART,
    DEEPEST,
    THROUGH,
    Expansion,
    Term,
    Terms,
    added_up,
    is_sum,
)
from namedlayers.plan.view import Product, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import const

NAME = "contraction through shared values"


def multiplied_out(chosen: frozenset[int]) -> Rule:
    """The rule that looks through the nodes of these numbers, and through what stands on them."""

    def read(arg: Arg, depth: int) -> Terms | str:
        node = arg.node
        if is_sum(node) and node.number in chosen:
            return APART
        within = depth <= DEEPEST and (_reaches(node, chosen) or is_outer(node))
        return APART if within else [Term(top=(arg,))]

    def match(scope: Scope, node: Node) -> Outcome:
        if not is_sum(node) or not any(_reaches(arg.node, chosen) for arg in node.args):
            return None
        terms = Expansion(scope, read).of_sum(scope.whole())
        return Match(terms) if terms is not None else None

    return Rule(NAME, "algebraic", ("contract", "reduce sum", "statistic"), match, _build)


def is_outer(node: Node) -> bool:
    """Whether a node is a product that is larger than each of its factors."""
    return node.op == "mul" and node.rank > max(arg.node.rank for arg in node.args)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _reaches(node: Node, chosen: frozenset[int]) -> bool:
    return _found(node, lambda one: one.number in chosen)


def _found(node: Node, wanted: Callable[[Node], bool]) -> bool:
    """Whether a node is what is wanted, or stands on it."""
    waiting, seen = [(node, 0)], {node.number}
    while waiting:
        one, depth = waiting.pop()
        if wanted(one):
            return True
        if one.op in THROUGH and depth < DEEPEST:
            args = one.args[:1] if one.op == "div" else one.args
            new = [arg.node for arg in args if arg.node.number not in seen]
            seen |= {inner.number for inner in new}
            waiting += [(inner, depth + 1) for inner in new]
    return False


def _build(scope: Scope, node: Node, terms: list[Term]) -> Arg:
    """The divisors that no sum needs divide at the end."""
    summed = set(range(node.rank, len(node.space)))
    return added_up(
        scope, terms,
        apart=lambda d, term: _free(d, term.consumed),
        divisor=lambda d: not_of_nothing(scope, d, summed),
        built=lambda _, term: _summed(scope, term),
    )  # fmt: skip


def _free(arg: Arg, consumed: Iterable[int]) -> bool:
    return set(arg.axes).isdisjoint(consumed)


def _summed(scope: Scope, term: Term) -> Arg:
    """One term, as a contraction with its scalars and its free divisors outside."""
    factors = [a for a in term.top if a.node.rank]
    factors += [scope.apply("div", scope.number(1), d) for d in term.bottom if not _free(d, term.consumed)]
    scalars = [a for a in term.top if not a.node.rank]
    factors, done = _averaged(scope, factors, set(term.averaged))
    consumed = set(term.consumed) - done
    under = [not_of_nothing(scope, d, set(term.consumed)) for d in term.bottom if _free(d, term.consumed)]
    still_averaged = tuple(sorted(set(term.averaged) - done))
    if still_averaged:
        under.append(scope.size(count(scope, still_averaged)))
    constant_along = consumed - {c for factor in factors for c in factor.axes}
    if constant_along:
        scalars.append(scope.size(count(scope, tuple(sorted(constant_along)))))
    core = [contraction(scope, factors, consumed - constant_along)] if factors else []
    return scope.multiply(Product(term.number, (*core, *scalars), tuple(under)))


def _averaged(scope: Scope, factors: list[Arg], over: set[int]) -> tuple[list[Arg], set[int]]:
    """Factors with the mean taken along what each alone has of `over`; which axes that settles, constant ones too."""
    settled = {c for c in over if not any(c in factor.axes for factor in factors)}
    found = []
    for factor in factors:
        own = sorted(c for c in over if c in factor.axes and sum(c in other.axes for other in factors) == 1)
        if own and factor.node.kind in (Kind.REAL, Kind.COMPLEX):
            kept = sorted(set(factor.axes) - set(own))
            attrs = {"op": "mean", "ddof": 0}
            factor = scope.build("statistic", (factor,), kept, own, kind=factor.node.kind, attrs=attrs)
            settled |= set(own)
        found.append(factor)
    return found, settled


def not_of_nothing(scope: Scope, d: Arg, consumed: set[int]) -> Arg:
    """A divisor made of sums is 0 where axes are empty; the sum over nothing of quotients is 0 and not 0 / 0.

    So 1 is added to it then: 1 // (size + 1) is 1 for an empty axis only.
    """
    size = count(scope, tuple(sorted(consumed)))
    if not _found(d.node, lambda one: is_sum(one) or one.op in PREFIXES) or (size - 1).nonnegative:
        return d
    return scope.apply("add", d, scope.size(const(1) // (size + 1)))


# --- common factors ---------------------------------------------------------------------------------------------------


def _common_factor(scope: Scope, node: Node) -> Outcome:
    """A @ x + A @ y, of which A is the same and x and y have the same axes."""
    left, right = node.args
    first, second = left.node, right.node
    if first.op != "contract" or second.op != "contract" or first is second:
        return None
    if not (scope.once(first) and scope.once(second)) or len(first.args) != 2 or len(second.args) != 2:
        return None
    if not all(one.kind in (Kind.REAL, Kind.COMPLEX) and one.kind == node.kind for one in (first, second)):
        return None
    for (a, x), (b, y) in pairs(_both(scope.operands(left)), _both(scope.operands(right))):
        if a.node is not b.node or x.node is y.node:
            continue
        named = dict(zip(b.axes, a.axes, strict=True))
        over = set(scope.consumed(right))
        if len(named) < len(b.axes) or {named.get(c) for c in over} != set(scope.consumed(left)):
            continue
        if any(c != named[c] for c in b.axes if c not in over):
            continue
        y = Arg(y.node, tuple([named.get(c, c) for c in y.axes]))
        if set(x.axes) == set(y.axes) and set(a.axes) | set(x.axes) == {*range(node.rank), *scope.consumed(left)}:
            return Match((a, x, y, scope.consumed(left)), (first, second))
    return None


def _both(operands: tuple[Arg, ...]) -> tuple[tuple[Arg, ...], tuple[Arg, ...]]:
    return operands, operands[::-1]


def _build_common_factor(scope: Scope, node: Node, found: tuple[Arg, Arg, Arg, tuple[int, ...]]) -> Arg:
    a, x, y, consumed = found
    total = scope.apply(node.op, x, y)
    return scope.build("contract", (a, total), range(node.rank), consumed, kind=node.kind, attrs={"path": ()})


RULES = (Rule("common factor of a sum", "algebraic", ("add", "sub"), _common_factor, _build_common_factor),)
