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
from dataclasses import dataclass, replace
from itertools import product as pairs

from namedlayers.plan.prefixes import PREFIXES
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import count
from namedlayers.plan.rules.contraction import contraction, with_divisors
from namedlayers.plan.view import Number, Product, Scope, constant
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import const

NAME = "contraction through shared values"

THROUGH = frozenset({"mul", "div", "neg", "add", "sub"})
"""What a contraction may be looked for below: of a division the numerator."""

DEEPEST = 8
MOST_TERMS = 8


def multiplied_out(chosen: frozenset[int]) -> Rule:
    """The rule that looks through the nodes of these numbers, and through what stands on them."""

    def match(scope: Scope, node: Node) -> Outcome:
        if not is_sum(node) or not any(_reaches(arg.node, chosen) for arg in node.args):
            return None
        terms = _Expansion(scope, chosen).of_sum(scope.whole())
        return Match(terms) if terms is not None else None

    return Rule(NAME, "algebraic", ("contract", "reduce sum", "statistic"), match, _build)


def is_sum(node: Node) -> bool:
    """Whether a node is a contraction, or a sum or mean over axes."""
    return node.op == "contract" or node.op in ("reduce", "statistic") and node.attr("op") in ("sum", "mean")


def is_outer(node: Node) -> bool:
    """Whether a node is a product that is larger than each of its factors."""
    return node.op == "mul" and node.rank > max(arg.node.rank for arg in node.args)


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Term:
    """The sum over `consumed` of `number * product(top) / product(bottom)`; along those of `averaged` the mean."""

    number: Number = 1
    top: tuple[Arg, ...] = ()
    bottom: tuple[Arg, ...] = ()
    consumed: tuple[int, ...] = ()
    averaged: tuple[int, ...] = ()

    def times(self, other: _Term) -> _Term:
        return _Term(
            self.number * other.number,
            self.top + other.top,
            self.bottom + other.bottom,
            self.consumed + other.consumed,
            self.averaged + other.averaged,
        )


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


@dataclass(frozen=True, slots=True)
class _Expansion:
    scope: Scope
    chosen: frozenset[int]

    def of_sum(self, arg: Arg) -> list[_Term] | None:
        """The terms of a contraction or sum; None where they are too many, or a summed axis would stand for two."""
        consumed = self.scope.consumed(arg)
        averaged = consumed if arg.node.op == "statistic" else ()
        found: list[_Term] | None = [_Term(consumed=consumed, averaged=averaged)]
        for operand in self.scope.operands(arg):
            found = self._times(found, self._of(operand, 0))
        return found

    def _of(self, arg: Arg, depth: int) -> list[_Term] | None:
        node = arg.node
        value = constant(node)
        if value is not None and not isinstance(value, bool):
            return [_Term(value)]
        if is_sum(node) and node.number in self.chosen:
            return self.of_sum(arg)
        if depth == DEEPEST or not (_reaches(node, self.chosen) or is_outer(node)):
            return [_Term(top=(arg,))]
        first, *rest = self.scope.operands(arg)
        left = self._of(first, depth + 1)
        if left is None or node.op == "neg":
            return left and [replace(term, number=-term.number) for term in left]
        if node.op == "div":
            return [replace(term, bottom=(*term.bottom, rest[0])) for term in left]
        right = self._of(rest[0], depth + 1)
        if node.op == "mul":
            return self._times(left, right)
        if right is None or len(left) + len(right) > MOST_TERMS:
            return None
        sign = -1 if node.op == "sub" else 1
        return left + [replace(term, number=sign * term.number) for term in right]

    def _times(self, left: list[_Term] | None, right: list[_Term] | None) -> list[_Term] | None:
        if left is None or right is None or len(left) * len(right) > MOST_TERMS:
            return None
        found = [a.times(b) for a, b in pairs(left, right)]
        return found if all(len(set(term.consumed)) == len(term.consumed) for term in found) else None


def _build(scope: Scope, node: Node, terms: list[_Term]) -> Arg:
    """The divisors that all terms have and no sum needs divide at the end."""
    common = [d for d in terms[0].bottom if all(d in term.bottom and _free(d, term.consumed) for term in terms)]
    summed = set(range(node.rank, len(node.space)))
    total: Arg | None = None
    for term in terms:
        bottom = list(term.bottom)
        for d in common:
            bottom.remove(d)
        positive = replace(term, bottom=tuple(bottom))
        if total is not None and not isinstance(term.number, complex) and term.number < 0:
            total = scope.apply("sub", total, _summed(scope, replace(positive, number=-term.number)))
        else:
            one = _summed(scope, positive)
            total = one if total is None else scope.apply("add", total, one)
    assert total is not None
    for d in common:
        total = scope.apply("div", total, not_of_nothing(scope, d, summed))
    return total


def _free(arg: Arg, consumed: Iterable[int]) -> bool:
    return set(arg.axes).isdisjoint(consumed)


def _summed(scope: Scope, term: _Term) -> Arg:
    """One term, as a contraction with its scalars and its free divisors outside."""
    factors = with_divisors(
        scope,
        [a for a in term.top if a.node.rank],
        [d for d in term.bottom if not _free(d, term.consumed)],
    )
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
