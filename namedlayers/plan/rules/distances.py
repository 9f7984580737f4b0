"""Squared distances between two sets of points as one matrix product: only where `numerics="fast"` allows it.

`|x - y|^2 = |x|^2 + |y|^2 - 2 x . y` saves the differences of all pairs, and loses digits: the error is up to about
the unit roundoff times `2 (|x| + |y|)^2`, which is all there is when the points lie far from 0 and close together.
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import sum_of_squares
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

NAME = "squared distances, each in error by up to 2 eps (|x| + |y|)^2"


def _distances(scope: Scope, node: Node) -> Outcome:
    """sum((x - y)^2), where x and y have an axis each that the other lacks and that stays"""
    found = sum_of_squares(scope, scope.whole())
    if found is None or found[0].node.op != "sub" or found[0].node.kind != Kind.REAL:
        return None
    x, y = scope.operands(found[0])
    gone = set(found[1])
    apart = set(x.axes) - set(y.axes) - gone and set(y.axes) - set(x.axes) - gone
    if not apart or not gone <= set(x.axes) & set(y.axes):
        return None
    return Match((x, y, found[1]), (found[0].node,))


def _build(scope: Scope, node: Node, found: tuple[Arg, Arg, tuple[int, ...]]) -> Arg:
    x, y, gone = found
    squares = [scope.reduce("sum", scope.apply("pow", a, scope.number(2)), gone) for a in (x, y)]
    total = scope.apply("add", *squares)
    kept = sorted({*x.axes, *y.axes} - set(gone))
    product = scope.build("contract", (x, y), kept, gone, kind=node.kind, attrs={"path": ()})
    difference = scope.apply("sub", total, scope.apply("mul", product, scope.number(2)))
    # Rounding may make it less than 0, which no square is.
    return scope.apply("maximum", difference, scope.number(0))


RULES = (Rule(NAME, "conditioned", ("reduce sum", "contract"), _distances, _build),)
