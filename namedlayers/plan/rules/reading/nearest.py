"""The nearest of some points, and how far it is, without the distances of the others.

`argmin[k](sum[d]((x - y)^2))`, where `k` is the points' alone, is an operation of its own, as are `argmax` of what is
less, `argmin` of roots and multiples, and `min[k]` of squares and roots. `argmin[k](sum[d](y^2) - 2 x @[d] y)`, the
same taken apart by whoever wrote it, or by a rule, is as well: what lacks `k` may be added. It is known which of all is
the nearest where one is by more than rounding; only elsewhere differences are taken. (A quantizer reads the row of the
nearest code; what its distances are, nobody asks.)
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import renaming, sum_of_squares
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node

FEW_USES = 2
"""Where more ask for distances, they are there."""


@dataclass(frozen=True, slots=True)
class _Points:
    """`y` has the consumed axes `among` and nothing else that `x` lacks; both have `features`."""

    x: Arg
    y: Arg
    among: tuple[int, ...]
    features: tuple[int, ...]
    root: bool
    sign: int


def _nearest(scope: Scope, node: Node) -> Outcome:
    (arg,) = node.args
    found = _distances(scope, node, arg, scope.consumed(scope.whole())) if node.attr("op") == "min" else None
    return Match(found, (arg.node,)) if found is not None else None


def _nearest_in_order(scope: Scope, node: Node) -> Outcome:
    """The same of what distances have to do with the order of"""
    (arg,) = node.args
    sign = 1 if node.attr("op") == "min" else -1
    among = scope.consumed(scope.whole())
    parts: list[Node] = []
    while (step := _same_order(scope, arg)) is not None:
        parts.append(arg.node)
        sign, arg = sign * step[0], step[1]
    found = _distances(scope, node, arg, among) if sign > 0 else None
    found = found or _taken_apart(scope, node, arg, among, sign)
    return Match(found, (*parts, arg.node)) if found is not None else None


def _same_order(scope: Scope, arg: Arg) -> tuple[int, Arg] | None:
    """What is in the same order as `arg` (1), or in the opposite one (-1)."""
    if not scope.once(arg.node):
        return None
    if arg.node.op in ("mul", "div", "neg"):
        product = scope.own_product(arg)
        if len(product.top) == 1 and not product.bottom and isinstance(product.number, (int, float)) and product.number:
            return (1 if product.number > 0 else -1), product.top[0]
    if arg.node.op == "sqrt":
        return 1, scope.operands(arg)[0]
    if arg.node.op == "relu" and _is_made_of_squares(scope, scope.operands(arg)[0]):
        return 1, scope.operands(arg)[0]
    return None


def _is_made_of_squares(scope: Scope, arg: Arg) -> bool:
    """Whether only rounding makes it less than 0: two sums of squares less a product."""
    terms = scope.sum(arg, scope.once).terms
    return len(terms) == 3 and sum(sum_of_squares(scope, term) is not None for sign, term in terms if sign > 0) == 2


def _least(scope: Scope, node: Node) -> Outcome:
    """min(distances), or max(-distances)"""
    (arg,) = node.args
    sign = 1
    if node.attr("op") == "max":
        if arg.node.op != "neg" or not scope.once(arg.node):
            return None
        sign, (arg,) = -1, scope.operands(arg)
    found = _distances(scope, node, arg, scope.consumed(scope.whole()), sign)
    return Match(found, (arg.node,)) if found is not None else None


def _distances(scope: Scope, node: Node, arg: Arg, among: tuple[int, ...], sign: int = 1) -> _Points | None:
    measure = arg.node.attr("measure") if arg.node.op == "distance" else None
    if measure not in ("square", "norm") or scope.uses(arg.node) > FEW_USES:
        return None
    x, y = scope.operands(arg)
    return _points(node, x, y, among, scope.consumed(arg), measure == "norm", sign)


def _points(
    node: Node, x: Arg, y: Arg, among: tuple[int, ...], features: tuple[int, ...], root: bool, sign: int = 1
) -> _Points | None:
    gone = set(among)
    if gone & set(x.axes):
        x, y = y, x
    if gone & set(x.axes) or not gone <= set(y.axes) or not set(y.axes) <= {*x.axes, *gone}:
        return None
    kept = set(x.axes) - set(features)
    apart = kept - set(y.axes) and set(features) <= set(x.axes) and set(features) <= set(y.axes)
    if not apart or kept != set(range(node.rank)):
        return None
    return _Points(x, y, among, features, root, sign)


def _taken_apart(scope: Scope, node: Node, arg: Arg, among: tuple[int, ...], sign: int) -> _Points | None:
    """c * (sum(y^2) - 2 x @ y), and what lacks the axis"""
    if not scope.once(arg.node) or arg.node.op not in ("add", "sub"):
        return None
    terms = [(sign * own, term) for own, term in scope.sum(arg, scope.once).terms if set(among) & set(term.axes)]
    parts = [part for own, term in terms if (part := _multiple(scope, own, term)) is not None]
    if len(terms) != 2 or len(parts) != 2:
        return None
    for (square, core), (number, cross) in (parts, parts[::-1]):
        known = sum_of_squares(scope, core)
        if known is None or square <= 0 or cross.node.op != "contract" or not scope.once(cross.node):
            continue
        gone, operands = scope.consumed(cross), scope.operands(cross)
        if len(operands) != 2 or len(known[1]) != len(gone):
            continue
        for x, y in (operands, operands[::-1]):
            (first, x), (second, y) = _scaled(scope, x), _scaled(scope, y)
            factor = number * first * second / (-2 * square)
            order = _named(scope, known, y, gone)
            if order is not None and factor and set(among) & set(y.axes):
                x = x if factor == 1 else scope.apply("mul", x, scope.number(factor))
                return _points(node, x, y, among, gone, False)
    return None


def _multiple(scope: Scope, sign: int, term: Arg) -> tuple[float, Arg] | None:
    product = scope.product(term, scope.once)
    if len(product.top) != 1 or product.bottom or isinstance(product.number, complex):
        return None
    return sign * product.number, product.top[0]


def _named(
    scope: Scope, known: tuple[Arg, tuple[int, ...]], y: Arg, gone: tuple[int, ...]
) -> dict[int, int] | None:  # fmt: skip
    """How the axes that a sum of squares consumes are called in `y`, if it is the sum of y squared."""
    found = renaming(known[0], y, known[1])
    return found if found is not None and set(found.values()) == set(gone) else None


def _scaled(scope: Scope, x: Arg) -> tuple[float, Arg]:
    """A number, and what it is multiplied with."""
    if x.node.op in ("mul", "neg", "div"):
        product = scope.own_product(x)
        if len(product.top) == 1 and not product.bottom and isinstance(product.number, (int, float)):
            return product.number, product.top[0]
    return 1, x


def _build(scope: Scope, node: Node, found: _Points) -> Arg:
    """The axis along which is looked comes last, as that of an `argreduce` does."""
    op = "index" if node.op == "argreduce" else "value"
    consumed = (*found.features, *found.among)
    attrs = {"op": op, "root": found.root}
    made = scope.build("nearest", (found.x, found.y), range(node.rank), consumed, kind=node.kind, attrs=attrs)
    return scope.apply("neg", made) if found.sign < 0 else made


RULES = (
    Rule("nearest point", "exact", ("argreduce",), _nearest, _build),
    Rule("nearest point by its order", "algebraic", ("argreduce",), _nearest_in_order, _build),
    Rule("distance of the nearest point", "exact", ("reduce min", "reduce max"), _least, _build),
)
