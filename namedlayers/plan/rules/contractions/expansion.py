"""A formula as a sum of products of factors, under sums, with divisors: multiplied out as far as its caller reads it.

In: a contraction or sum, and how to read what stands in it: as terms that the caller knows, or as something to be taken
apart. Out: `Term`s, or none; and of terms, the node that adds them up. What always holds: nothing is weighed here;
there are at most `MOST_TERMS`, and no summed axis stands for two.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import product as pairs

from namedlayers.plan.view import Number, Scope, constant
from namedlayers.program.graph import Arg, Node

THROUGH = frozenset({"mul", "div", "neg", "add", "sub"})
"""What a factor may be looked for below: of a division the numerator."""

DEEPEST = 8
MOST_TERMS = 8


@dataclass(frozen=True, slots=True)
class Term:
    """The sum over `consumed` of `number * product(top) / product(bottom)`; along those of `averaged` the mean. The
    sums over `above` are in what is divided. `marks`: what else the caller has seen among the factors."""

    number: Number = 1
    top: tuple[Arg, ...] = ()
    bottom: tuple[Arg, ...] = ()
    consumed: tuple[int, ...] = ()
    averaged: tuple[int, ...] = ()
    above: tuple[int, ...] = ()
    marks: tuple[Hashable, ...] = ()

    def times(self, other: Term) -> Term:
        return Term(
            self.number * other.number,
            self.top + other.top,
            self.bottom + other.bottom,
            self.consumed + other.consumed,
            self.averaged + other.averaged,
            self.above + other.above,
            self.marks + other.marks,
        )


Terms = list[Term] | None
"""None: it is no such sum, or there are too many."""

APART = "taken apart"
"""What a reader says of a sum, or of one of `THROUGH`, that is to be multiplied out."""

Reader = Callable[[Arg, int], "Terms | str"]
"""Of a value and how deep it stands: its terms, or `APART`."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """What `read` says of values, multiplied out. Numbers are never asked for."""

    scope: Scope
    read: Reader

    def of_sum(self, arg: Arg, depth: int = 0) -> Terms:
        """The terms of a contraction, a sum or a mean."""
        consumed = self.scope.consumed(arg)
        averaged = consumed if arg.node.op == "statistic" else ()
        found: Terms = [Term(consumed=consumed, averaged=averaged)]
        for operand in self.scope.operands(arg):
            found = times(found, self.of(operand, depth + 1))
        return found

    def of(self, arg: Arg, depth: int) -> Terms:
        node = arg.node
        value = constant(node)
        if value is not None and not isinstance(value, bool):
            return [Term(value)]
        seen = self.read(arg, depth)
        if not isinstance(seen, str):
            return seen
        return self.of_sum(arg, depth) if is_sum(node) else self._apart(arg, depth + 1)

    def _apart(self, arg: Arg, depth: int) -> Terms:
        op = arg.node.op
        first, *rest = self.scope.operands(arg)
        left = self.of(first, depth)
        if left is None or op == "neg":
            return left and [replace(term, number=-term.number) for term in left]
        if op == "div":
            return [replace(term, bottom=(*term.bottom, rest[0]), above=term.consumed) for term in left]
        right = self.of(rest[0], depth)
        if op == "mul":
            return times(left, right)
        if right is None or len(left) + len(right) > MOST_TERMS:
            return None
        sign = -1 if op == "sub" else 1
        return left + [replace(term, number=sign * term.number) for term in right]


def times(left: Terms, right: Terms) -> Terms:
    """Each of some terms times each of others."""
    if left is None or right is None or len(left) * len(right) > MOST_TERMS:
        return None
    found = [a.times(b) for a, b in pairs(left, right)]
    return found if all(len(set(term.consumed)) == len(term.consumed) for term in found) else None


def added_up(
    scope: Scope, terms: Sequence[Term], apart: Callable[[Arg, Term], bool], divisor: Callable[[Arg], Arg],
    built: Callable[[int, Term], Arg],
) -> Arg:  # fmt: skip
    """The sum of terms, each as it is `built`. Divisors that all have, and that stand `apart` in all, divide at the
    end, as `divisor` makes them."""
    common = [d for d in terms[0].bottom if all(d in term.bottom and apart(d, term) for term in terms)]
    total: Arg | None = None
    for k, term in enumerate(terms):
        bottom = list(term.bottom)
        for d in common:
            bottom.remove(d)
        negative = total is not None and not isinstance(term.number, complex) and term.number < 0
        number = -term.number if negative else term.number
        one = built(k, replace(term, number=number, bottom=tuple(bottom)))
        total = one if total is None else scope.apply("sub" if negative else "add", total, one)
    assert total is not None
    for d in common:
        total = scope.apply("div", total, divisor(d))
    return total


def is_sum(node: Node) -> bool:
    """Whether a node is a contraction, or a sum or mean over axes."""
    return node.op == "contract" or node.op in ("reduce", "statistic") and node.attr("op") in ("sum", "mean")
