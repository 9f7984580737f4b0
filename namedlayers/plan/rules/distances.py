"""Distances between all pairs of two sets of points: without the differences of all coordinates, or as one product.

`sum[d]((x - y)^2)`, where x and y each have an axis that the other lacks, and the norm of `x - y`, are an operation of
their own, which holds no differences and loses no digits. As one matrix product, squares are several times as fast
again: only where `numerics="fast"` allows it. `|x - y|^2 = |x|^2 + |y|^2 - 2 x . y` loses digits: the error is up to
about the unit roundoff times `2 (|x| + |y|)^2`, which is all there is when the points lie far from 0 and close
together.
"""

from __future__ import annotations

from collections.abc import Callable

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import sum_of_squares
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

NAME = "squared distances, each in error by up to 2 eps (|x| + |y|)^2"


def _distances(scope: Scope, node: Node) -> Outcome:
    """sum((x - y)^2), where x and y have an axis each that the other lacks and that stays"""
    found = sum_of_squares(scope, scope.whole())
    if found is None:
        return None
    user = node if node.op == "contract" else node.args[0].node
    return _between_all(scope, *found, sum(arg.node is found[0].node for arg in user.args))


def _norm(scope: Scope, node: Node) -> Outcome:
    """norm(x - y), likewise"""
    if node.attr("op") != "norm":
        return None
    (difference,) = node.args
    return _between_all(scope, difference, scope.consumed(scope.whole()), 1)


def _between_all(scope: Scope, difference: Arg, consumed: tuple[int, ...], uses: int) -> Outcome:
    """`uses`: how often the difference is needed here; it must not be needed elsewhere."""
    if difference.node.op != "sub" or difference.node.kind != Kind.REAL:
        return None
    x, y = scope.operands(difference)
    gone = set(consumed)
    apart = set(x.axes) - set(y.axes) - gone and set(y.axes) - set(x.axes) - gone
    if not apart or not gone or not gone <= set(x.axes) & set(y.axes) or scope.uses(difference.node) > uses:
        return None
    if not x.node.kind is y.node.kind is Kind.REAL:
        return None
    return Match((x, y, consumed), (difference.node,))


def _build_product(scope: Scope, node: Node, found: tuple[Arg, Arg, tuple[int, ...]]) -> Arg:
    x, y, gone = found
    squares = [scope.reduce("sum", scope.apply("pow", a, scope.number(2)), gone) for a in (x, y)]
    total = scope.apply("add", *squares)
    kept = sorted({*x.axes, *y.axes} - set(gone))
    product = scope.build("contract", (x, y), kept, gone, kind=node.kind, attrs={"path": ()})
    difference = scope.apply("sub", total, scope.apply("mul", product, scope.number(2)))
    # Rounding may make it less than 0, which no square is.
    return scope.apply("maximum", difference, scope.number(0))


def _build(root: bool) -> Callable[[Scope, Node, tuple[Arg, Arg, tuple[int, ...]]], Arg]:
    def build(scope: Scope, node: Node, found: tuple[Arg, Arg, tuple[int, ...]]) -> Arg:
        x, y, gone = found
        kept = sorted({*x.axes, *y.axes} - set(gone))
        return scope.build("distance", (x, y), kept, gone, kind=node.kind, attrs={"root": root})

    return build


RULES = (
    Rule(NAME, "conditioned", ("reduce sum", "contract"), _distances, _build_product),
    Rule("squared distances", "exact", ("reduce sum", "contract"), _distances, _build(root=False)),
    Rule("distances", "exact", ("statistic",), _norm, _build(root=True)),
)
