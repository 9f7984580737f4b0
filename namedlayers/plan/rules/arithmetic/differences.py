"""Functions of the difference of two tensors that torch computes in one pass: its square, and Huber's.

They wait until all else has been seen, since squares of differences are parts of distances and of variances.
"""

from __future__ import annotations

from dataclasses import replace
from math import nan

from namedlayers.plan.pattern import Bound, Num, Op, Product, Sum, Var, match
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import averaged, count, square_of
from namedlayers.plan.rules.passes import Find, one_pass, whole
from namedlayers.plan.view import Number, Scope, constant
from namedlayers.plan.view import Product as Factors
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Found = tuple[Arg, ...]
"""The two tensors, and numbers."""


def _square(scope: Scope, node: Node) -> Found | None:
    """(x - y)^2, where nothing else needs the difference"""
    d = square_of(scope, scope.whole())
    if d is None or scope.uses(d.node) > sum(arg.node is d.node for arg in node.args):
        return None
    return _sides(scope, d)


_D = Var("d")
_CLIPPED = Op("activation", (_D, Var("lo"), Var("hi")), "clip")
_REST = Sum(0, (_D, Product(-0.5, (_CLIPPED,))))
_HUBER = Product(1, (_CLIPPED, _REST))


def _huber(scope: Scope, node: Node) -> Found | None:
    """c * (d - c / 2), where c is d clipped between -delta and delta"""
    if not any(arg.node.op == "activation" for arg in node.args):
        return None
    bound = match(scope, _HUBER, scope.whole())
    return _within(scope, bound) if bound is not None else None


def _huber_by_choice(scope: Scope, node: Node) -> Outcome:
    """where(abs(d) < delta, c * d^2 / 2, c * delta * (abs(d) - delta / 2))"""
    condition, near, far = node.args
    while condition.node.op == "not":
        (condition,), near, far = scope.operands(condition), far, near
    if condition.node.op not in ("lt", "le", "gt", "ge"):
        return None
    size, bound = scope.operands(condition)
    if condition.node.op in ("gt", "ge"):
        near, far = far, near
    if bound.node.op == "abs":
        size, bound, near, far = bound, size, far, near
    if size.node.op != "abs" or bound.node.rank or (found := _sides(scope, scope.operands(size)[0], bound)) is None:
        return None
    factor = _half_squared(scope, near, size)
    parts = (condition.node, size.node, near.node, far.node)
    if factor is None or isinstance(factor, complex):
        return None
    delta = constant(bound.node)
    if delta is None:
        if bound.node.op != "input" or not bound.node.weak:  # a tensor, which the kernel does not take
            return None
        spelled = any(match(scope, pattern, far) == {"a": size, "b": bound} for pattern in _FAR)
        return Match((found, 1), parts) if factor == 1 and spelled else None
    slope, offset = _line(scope, far, size)
    wanted = (factor * delta, -factor * delta * delta / 2)
    close = all(abs(a - b) <= 1e-12 * abs(b) for a, b in zip((slope, offset), wanted, strict=True))
    return Match((found, factor), parts) if close and delta > 0 else None  # type: ignore[operator]


_FAR = tuple(
    Sum(0, (Product(1, (Var("b"), Var("a"))), Product(-0.5, square)))
    for square in ((Var("b"), Var("b")), (Op("pow", (Var("b"), Num(2))),))
) + (Product(1, (Var("b"), Sum(0, (Var("a"), Product(-0.5, (Var("b"),)))))),)


def _half_squared(scope: Scope, arg: Arg, size: Arg) -> Number | None:
    """c if `arg` is c / 2 times the square of what `size` is the size of."""
    product = scope.product(arg)
    d = scope.operands(size)[0]
    top = product.top
    squared = len(top) == 2 and top[0] == top[1] and top[0] in (d, size)
    squared = squared or len(top) == 1 and square_of(scope, top[0]) in (d, size)
    return 2 * product.number if squared and not product.bottom else None


def _line(scope: Scope, arg: Arg, x: Arg) -> tuple[Number, Number]:
    """`(a, b)` if `arg` is a * x + b, else two numbers that are none."""
    outer = scope.product(arg, lambda node: not node.rank)
    inner = outer.top[0] if len(outer.top) == 1 and not outer.bottom else arg
    scale = outer.number if inner is not arg else 1
    total = scope.sum(inner)
    (sign, term), *others = total.terms or ((1, arg),)
    product = scope.product(term)
    if others or product.top != (x,) or product.bottom:
        return nan, nan
    return scale * sign * product.number, scale * total.number


def _build_huber(scope: Scope, node: Node, found: tuple[Found, Number]) -> Arg:
    operands, factor = found
    attrs = {"function": "huber", "reduction": "none"}
    losses = scope.build("difference", operands, range(node.rank), kind=node.kind, attrs=attrs)
    return scope.multiply(Factors(factor, (losses,), ()))


def _within(scope: Scope, bound: Bound) -> Found | None:
    lo, hi = bound["lo"], bound["hi"]
    a, b = constant(lo.node), constant(hi.node)
    if a is None or b is None:
        return _sides(scope, bound["d"], hi) if lo.node.op == "neg" and scope.operands(lo)[0] == hi else None
    return _sides(scope, bound["d"], hi) if a == -b and b > 0 else None  # type: ignore[operator]


def _sides(scope: Scope, d: Arg, *numbers: Arg) -> Found | None:
    """What is subtracted from each other."""
    return (*scope.operands(d), *numbers) if d.node.op == "sub" else None


def _rule(function: str, roots: tuple[str, ...], find: Find) -> Rule:
    name = f"{function} of a difference"
    return one_pass(name, roots, find, "difference", 2, function=function, reduction="none")


def _sum(scope: Scope, node: Node) -> Outcome:
    """The sum of c * (d - c / 2)"""
    if len(node.args) != 2 or node.kind != Kind.REAL:
        return None
    for clipped, rest in (node.args, node.args[::-1]):
        bound = match(scope, _CLIPPED, clipped)
        found = _within(scope, bound) if bound is not None and match(scope, _REST, rest) == bound else None
        if found is not None:
            return whole(found, 2, range(len(node.space))) if node.space else None
    return None


def _build_sum(scope: Scope, node: Node, found: tuple[Arg, ...]) -> Arg:
    axes = range(len(node.space))
    losses = scope.build("difference", found, axes, kind=node.kind, attrs={"function": "huber", "reduction": "none"})
    return scope.reduce("sum", losses, axes[node.rank :])


def _reduced(scope: Scope, node: Node) -> Outcome:
    """The mean, or the sum, of all of them, or of minus them"""
    (losses,) = node.args
    sign = 1
    if losses.node.op == "neg" and scope.once(losses.node):
        losses, sign = scope.operands(losses)[0], -1
    if node.rank or losses.node.op != "difference" or losses.node.attr("reduction") != "none":
        return None
    if node.op == "statistic" and node.attr("op") != "mean" or not scope.once(losses.node):
        return None
    return Match((losses, sign), (losses.node,)) if len(losses.axes) == len(node.space) else None


def _build_reduced(scope: Scope, node: Node, found: tuple[Arg, int]) -> Arg:
    losses, sign = found
    attrs = dict(losses.node.attrs) | {"reduction": "mean" if node.op == "statistic" else "sum"}
    consumed = range(len(node.space))
    together = scope.build("difference", scope.operands(losses), (), consumed, kind=node.kind, attrs=attrs)
    return together if sign > 0 else scope.apply("neg", together)


def _mean(scope: Scope, node: Node) -> Outcome:
    """The sum of all of them, over their number: where it became a sum of losses only after the mean was looked for."""
    product = scope.product(scope.whole())
    for part in product.top:
        losses = part.node
        if losses.op == "difference" and losses.attr("reduction") == "sum" and scope.once(losses):
            operands, consumed = scope.operands(part), scope.consumed(part)
            rest = averaged(product, part, count(scope, consumed))
            if rest is not None:
                return Match((losses, operands, consumed, rest), (losses,))
    return None


def _build_mean(scope: Scope, node: Node, found: tuple[Node, tuple[Arg, ...], tuple[int, ...], Factors]) -> Arg:
    losses, operands, consumed, rest = found
    attrs = dict(losses.attrs) | {"reduction": "mean"}
    mean = scope.build("difference", operands, (), consumed, kind=losses.kind, attrs=attrs)
    return scope.multiply(replace(rest, top=(mean, *rest.top)))


RULES = (
    Rule("huber of a difference", "algebraic", ("contract",), _sum, _build_sum),
    _rule("square", ("pow", "mul"), _square),
    _rule("huber", ("mul",), _huber),
    Rule("huber of a difference", "algebraic", ("where",), _huber_by_choice, _build_huber),
    Rule("losses together", "algebraic", ("statistic", "reduce sum"), _reduced, _build_reduced),
    Rule("mean of losses", "algebraic", ("div", "mul"), _mean, _build_mean),
)
