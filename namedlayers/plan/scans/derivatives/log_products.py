"""Derivatives of products of the semiring `log`.

What always holds: they are products with exponentials below their largest, and with the inverse of the shares that
these add up to; what is -inf gets nothing. Where shares are too small for that, steps are differentiated one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from namedlayers.plan.scans.derivatives.term import Back, Term, consumed, result
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind


def _log_contract(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...] | None:
    """exp(A + B - R) is exp(A - a) * exp(B - b) * exp(a + b - R), of which no factor has all axes."""
    lefts, linear = node.attr("lefts"), node.attr("linear")
    assert isinstance(lefts, int) and isinstance(linear, tuple)
    if any(linear):
        return None
    gone = consumed(node)
    sides = [_total(operands[:lefts]), _total(operands[lefts:])]
    largest = [_largest(side, gone) for side in sides]
    shares = [(side - top)("exp") for side, top in zip(sides, largest, strict=True)]
    args = [one.arg for one in (*largest, result(node, g))]
    slope = g * Term(g.scope, g.scope.build("inverse_share", args, range(node.rank), kind=Kind.REAL))
    found = [mine * _met(slope * other, mine) for mine, other in (shares, shares[::-1])]
    return tuple(found[number >= lefts] for number in range(len(operands)))


def _total(parts: Sequence[Term]) -> Term:
    total, *rest = parts
    for one in rest:
        total = total + one
    return total


def _largest(side: Term, gone: Sequence[int]) -> Term:
    """The largest summand, 0 where all are -inf."""
    top = Term(side.scope, side.scope.reduce("max", side.arg, gone))
    return top("eq", -math.inf).chosen(0, top)


def _met(product: Term, mine: Term) -> Term:
    return product.sum([c for c in product.arg.axes if c not in mine.arg.axes])


TABLE: Mapping[str, Back] = {"log_contract": _log_contract}
