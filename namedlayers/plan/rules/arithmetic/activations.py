"""Activations that torch computes in one pass: clipping, leaky and exponential rectifiers, shrinking, mish and others.

A slope or a bound is a number: a literal, or an option that is given at the call.
"""

from __future__ import annotations

from collections.abc import Iterator

from namedlayers.plan.pattern import Num, Op, Pattern, Product, Sum, Var, match
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.rules.passes import Find, one_pass
from namedlayers.plan.view import Number, Scope, constant, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Found = tuple[Arg, ...]
"""What the function is of, and its numbers."""


def _is_number(arg: Arg) -> bool:
    """A real number that no tensor holds."""
    value = constant(arg.node)
    if value is not None:
        return not isinstance(value, (bool, complex))
    return arg.node.op == "input" and not arg.node.rank and arg.node.weak and arg.node.kind == Kind.REAL


def _multiple(scope: Scope, arg: Arg) -> tuple[Arg, Arg] | None:
    """`(number, x)` if `arg` is a number times x."""
    product = scope.own_product(arg)
    numbers = [one for one in product.top if _is_number(one)]
    rest = [one for one in product.top if not _is_number(one)]
    if isinstance(product.number, complex) or product.bottom or len(rest) != 1 or len(numbers) > 1:
        return None
    if numbers and product.number != 1:
        return None
    return (numbers[0] if numbers else scope.number(float(product.number))), rest[0]


def _sides(scope: Scope, node: Node) -> Iterator[tuple[Arg, Arg]]:
    """`(x, y)` for what is x above 0 and y below: by choice, or as relu(x) + y."""
    if node.op == "where":
        condition, yes, no = node.args
        for op, (x, y) in (("gt", (yes, no)), ("ge", (yes, no)), ("lt", (no, yes)), ("le", (no, yes))):
            if condition.node.op == op:
                left, right = scope.operands(condition)
                if left == x and is_number(right, 0):
                    yield x, y
        return
    for rectified, y in (node.args, node.args[::-1]):
        if rectified.node.op == "relu":
            yield scope.operands(rectified)[0], y


def _below(scope: Scope, node: Node, arg: Arg, x: Arg) -> bool:
    """Whether `arg` is x where that is below 0."""
    return arg == x if node.op == "where" else _negative_part(scope, arg) == x


def _negative_part(scope: Scope, arg: Arg) -> Arg | None:
    """x if `arg` is minimum(x, 0)."""
    if arg.node.op != "minimum":
        return None
    for x, zero in (scope.operands(arg), scope.operands(arg)[::-1]):
        if is_number(zero, 0):
            return x
    return None


def _leaky(scope: Scope, node: Node) -> Found | None:
    """x above 0, slope * x below"""
    for x, y in _sides(scope, node):
        found = _multiple(scope, y)
        if found is not None and _below(scope, node, found[1], x):
            return x, found[0]
    return None


def _prelu(scope: Scope, node: Node) -> Outcome:
    """relu(x) + a * minimum(x, 0), a lying along one axis"""
    if node.kind != Kind.REAL or node.rank < 2:
        return None
    for x, y in _sides(scope, node):
        product = scope.own_product(y)
        if product.number != 1 or product.bottom or len(product.top) != 2:
            continue
        if x.node.kind != Kind.REAL or sorted(x.axes) != list(range(node.rank)):
            continue
        for slope, below in (product.top, product.top[::-1]):
            if len(slope.axes) == 1 and slope.node.kind == Kind.REAL and _negative_part(scope, below) == x:
                return Match((x, slope), (x.node,))
    return None


def _build_prelu(scope: Scope, node: Node, found: tuple[Arg, Arg]) -> Arg:
    return scope.build("prelu", found, range(node.rank), kind=node.kind)


def _elu(scope: Scope, node: Node) -> Found | None:
    """x above 0, alpha * (exp(x) - 1) below"""
    for x, y in _sides(scope, node):
        found = _multiple(scope, y)
        inner = _exponent(scope, found[1]) if found is not None else None
        if (
            found is not None
            and inner is not None
            and (_below(scope, node, inner, x) or _negative_part(scope, inner) == x)
        ):
            return x, found[0]
    return None


def _exponent(scope: Scope, arg: Arg) -> Arg | None:
    """x if `arg` is exp(x) - 1."""
    bound = match(scope, Sum(-1, (Op("exp", (Var("x"),)),)), arg)
    if bound is not None:
        return bound["x"]
    return scope.operands(arg)[0] if arg.node.op == "expm1" else None


def _clip(scope: Scope, node: Node) -> Found | None:
    """minimum(maximum(x, lo), hi), or the other way round where lo <= hi"""
    for inner, outer in (node.args, node.args[::-1]):
        other = "maximum" if node.op == "minimum" else "minimum"
        if inner.node.op not in (other, "relu") or not _is_number(outer) or not scope.once(inner.node):
            continue
        if inner.node.op == "relu":
            pairs = [(scope.operands(inner)[0], scope.number(0.0))] if node.op == "minimum" else []
        else:
            pairs = [scope.operands(inner), scope.operands(inner)[::-1]]  # type: ignore[list-item]
        for x, bound in pairs:
            if _is_number(bound) and x.node.rank:
                lo, hi = (bound, outer) if node.op == "minimum" else (outer, bound)
                a, b = constant(lo.node), constant(hi.node)
                if node.op == "minimum" or (a is not None and b is not None and a <= b):  # type: ignore[operator]
                    return x, lo, hi
    return None


def _soft_shrink(scope: Scope, node: Node) -> Found | None:
    """x - clip(x, -bound, bound)"""
    x, clipped = node.args
    if clipped.node.op != "activation" or clipped.node.attr("function") != "clip":
        return None
    inner, lo, hi = scope.operands(clipped)
    a, b = constant(lo.node), constant(hi.node)
    if a is not None and b is not None:
        mirrored = a == -b
    else:
        mirrored = lo.node.op == "neg" and scope.operands(lo)[0] == hi
    return (x, hi) if inner == x and mirrored and (b is None or b >= 0) else None  # type: ignore[operator]


def _hard_shrink(scope: Scope, node: Node) -> Found | None:
    """where(abs(x) > bound, x, 0)"""
    bound = match(scope, Op("where", (Op("gt", (Op("abs", (Var("x"),)), Var("b"))), Var("x"), Num(0))), scope.whole())
    return (bound["x"], bound["b"]) if bound is not None and _is_number(bound["b"]) else None


def _threshold(scope: Scope, node: Node) -> Found | None:
    """where(x > least, x, value)"""
    bound = match(scope, Op("where", (Op("gt", (Var("x"), Var("t"))), Var("x"), Var("v"))), scope.whole())
    numbers = (bound["t"], bound["v"]) if bound is not None else ()
    return (bound["x"], *numbers) if bound is not None and all(map(_is_number, numbers)) else None


def _selu(scope: Scope, node: Node) -> Found | None:
    """scale * elu(x), with the two constants of self-normalising networks"""
    product = scope.own_product(scope.whole())
    if len(product.top) != 1 or product.bottom or product.top[0].node.op != "activation":
        return None
    x, *numbers = scope.operands(product.top[0])
    alpha = constant(numbers[0].node) if product.top[0].node.attr("function") == "elu" else None
    return (x,) if alpha is not None and _close(alpha, _ALPHA) and _close(product.number, _SCALE) else None


def _close(value: Number, wanted: float) -> bool:
    return abs(value - wanted) <= 1e-12


def _log_sigmoid(scope: Scope, node: Node) -> Found | None:
    """-softplus(-x)"""
    (inner,) = node.args
    if inner.node.op != "softplus" or not scope.once(inner.node):
        return None
    (x,) = scope.operands(inner)
    return (negative(scope, x),) if x.node.kind == Kind.REAL else None


_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805

_X = Var("x")
_CLIPPED = Op("activation", (Sum(3, (_X,)), Num(0), Num(6)), "clip")
HARD_SIGMOID = Product(1 / 6, (_CLIPPED,))
HARD_SIGMOID_CLIPPED = Op("activation", (Sum(0.5, (Product(1 / 6, (_X,)),)), Num(0), Num(1)), "clip")
HARD_SWISH = Product(1 / 6, (_CLIPPED, _X))
HARD_SWISH_GATED = Product(1, (Op("activation", (_X,), "hardsigmoid"), _X))
MISH = Product(1, (Op("tanh", (Op("softplus", (_X,)),)), _X))


def _spelled(pattern: Pattern) -> Find:
    def find(scope: Scope, node: Node) -> Found | None:
        bound = match(scope, pattern, scope.whole())
        return (bound["x"],) if bound is not None else None

    return find


def _rule(function: str, roots: tuple[str, ...], find: Find) -> Rule:
    return one_pass(function.replace("_", " "), roots, find, "activation", function=function)


RULES = (
    _rule("clip", ("minimum", "maximum"), _clip),
    _rule("leaky_relu", ("where", "add"), _leaky),
    Rule("prelu", "algebraic", ("add",), _prelu, _build_prelu),
    _rule("elu", ("where", "add"), _elu),
    _rule("selu", ("mul",), _selu),
    _rule("softshrink", ("sub",), _soft_shrink),
    _rule("hardshrink", ("where",), _hard_shrink),
    _rule("threshold", ("where",), _threshold),
    _rule("hardswish", ("mul", "div"), _spelled(HARD_SWISH)),
    _rule("hardswish", ("mul",), _spelled(HARD_SWISH_GATED)),
    _rule("hardsigmoid", ("mul", "div"), _spelled(HARD_SIGMOID)),
    _rule("hardsigmoid", ("activation",), _spelled(HARD_SIGMOID_CLIPPED)),
    _rule("mish", ("mul",), _spelled(MISH)),
    _rule("log_sigmoid", ("neg",), _log_sigmoid),
)
