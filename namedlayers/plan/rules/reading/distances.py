"""Distances between all pairs of two sets of points: without the differences of all coordinates, or as one product.

`sum[d]((x - y)^2)`, where x and y each have an axis that the other lacks, the norm of `x - y`, and `sum[d](abs(x - y))`
are an operation of their own, which holds no differences and loses no digits. As one matrix product, squares are
several times as fast again: only where `numerics="fast"` allows it. `|x - y|^2 = |x|^2 + |y|^2 - 2 x . y` loses digits:
the error is up to about the unit roundoff times `2 (|x| + |y|)^2`, which is all there is when the points lie far from 0
and close together. So it is computed from the middle c of the points y, and what is left is the error of points that
are much closer together than the others are.
"""

from __future__ import annotations

from collections.abc import Callable

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import reduced, sum_of_squares
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

NAME = "squared distances as a product, in error by up to 2 eps (|x - c| + |y - c|)^2, c the mean of y"


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


def _magnitudes(scope: Scope, node: Node) -> Outcome:
    """sum(abs(x - y)), likewise"""
    found = reduced(scope, scope.whole(), "sum")
    if found is None or found[0].node.op != "abs" or not scope.once(found[0].node):
        return None
    (difference,) = scope.operands(found[0])
    return _between_all(scope, difference, found[1], 1)


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
    """Both from the middle of y, in which there is no slope: the distances are the same from anywhere."""
    x, y, gone = found
    middle = _middle(scope, x, y, gone)
    x, y = (scope.apply("sub", a, middle) for a in (x, y))
    squares = [scope.reduce("sum", scope.apply("pow", a, scope.number(2)), gone) for a in (x, y)]
    kept = sorted({*x.axes, *y.axes} - set(gone))
    twice = scope.apply("mul", x, scope.number(-2))
    total = scope.build("contract", (twice, y), kept, gone, kind=node.kind, attrs={"path": ()})
    for square in reversed(squares):
        total = scope.apply("add", total, square)
    # Rounding may make it less than 0, which no square is.
    return scope.apply("maximum", total, scope.number(0))


def _middle(scope: Scope, x: Arg, y: Arg, gone: tuple[int, ...]) -> Arg:
    """The mean of y along the axes that only y has; 0 where it is not finite, so that one point spoils no other."""
    own = sorted(set(y.axes) - set(x.axes) - set(gone))
    kept = sorted(set(y.axes) - set(own))
    mean = scope.build("statistic", (y,), kept, own, kind=y.node.kind, attrs={"op": "mean", "ddof": 0})
    finite = scope.apply("isfinite", mean, kind=Kind.BOOL)
    return scope.apply("detach", scope.apply("where", finite, mean, scope.number(0), kind=y.node.kind))


def _build(measure: str) -> Callable[[Scope, Node, tuple[Arg, Arg, tuple[int, ...]]], Arg]:
    def build(scope: Scope, node: Node, found: tuple[Arg, Arg, tuple[int, ...]]) -> Arg:
        x, y, gone = found
        kept = sorted({*x.axes, *y.axes} - set(gone))
        return scope.build("distance", (x, y), kept, gone, kind=node.kind, attrs={"measure": measure})

    return build


RULES = (
    Rule(
        NAME,
        "conditioned",
        ("reduce sum", "contract"),
        _distances,
        _build_product,
        "what points close together have in common costs digits",
    ),  # fmt: skip
    Rule("squared distances", "exact", ("reduce sum", "contract"), _distances, _build("square")),
    Rule("distances", "exact", ("statistic",), _norm, _build("norm")),
    Rule("distances by magnitudes", "exact", ("reduce sum",), _magnitudes, _build("magnitude")),
)
