"""The laws of algebra by which one spelling of an expression becomes another: a table.

In: an expression and where it stands (`Place`). Out: all expressions that a law gives for it. What always holds: what a
law gives has the same axes and, on finite numbers that are not at a boundary of a condition, the same value to
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from namedlayers.program.namespace import prelude
from namedlayers.syntax import tree
from tests.plan.mutation.trees import (
    MINUS_INF,
    SPAN,
    Place,
    arguments,
    axis_names,
    binary,
    call,
    called,
    compare,
    contract,
    coordinates_only,
    name,
    negative,
    nodes,
    number,
    reduced,
)  # fmt: skip

Apply = Callable[[Place], Iterator[tree.Expr]]


@dataclass(frozen=True)
class Law:
    """`roles`: where it holds. Laws of integers hold in indices too, where divisions and roots do not."""

    name: str
    apply: Apply
    roles: tuple[str, ...] = ("value",)


# --- sums and products ------------------------------------------------------------------------------------------------


def _swap(place: Place) -> Iterator[tree.Expr]:
    x = place.expr
    if isinstance(x, tree.Binary) and x.op in ("+", "*", "and", "or") or isinstance(x, tree.Contract):
        yield replace(x, left=x.right, right=x.left)
    elif called(x) in ("maximum", "minimum", "logaddexp"):
        yield call(called(x) or "", *arguments(x)[::-1])


_REGROUPED = {
    # (a outer-left b) op c: how a stands with what b and c are together
    ("+", "+"): ("+", "+"), ("-", "+"): ("-", "-"), ("+", "-"): ("+", "-"), ("-", "-"): ("-", "+"),
    ("*", "*"): ("*", "*"), ("*", "/"): ("*", "/"), ("/", "/"): ("/", "*"), ("/", "*"): ("/", "/"),
}  # fmt: skip


def _regroup(place: Place) -> Iterator[tree.Expr]:
    """(a + b) - c = a + (b - c), (a / b) / c = a / (b * c), both ways"""
    x = place.expr
    if not isinstance(x, tree.Binary):
        return
    if isinstance(x.left, tree.Binary) and (x.left.op, x.op) in _REGROUPED:
        outer, inner = _REGROUPED[x.left.op, x.op]
        yield binary(outer, x.left.left, binary(inner, x.left.right, x.right))
    if isinstance(x.right, tree.Binary):
        for (first, second), (outer, inner) in _REGROUPED.items():
            if (outer, inner) == (x.op, x.right.op):
                yield binary(second, binary(first, x.left, x.right.left), x.right.right)


def _subtraction(place: Place) -> Iterator[tree.Expr]:
    """a - b = a + (-b), and back"""
    x = place.expr
    if isinstance(x, tree.Binary) and x.op == "-":
        yield binary("+", x.left, negative(x.right))
        yield binary("+", negative(x.right), x.left)
        yield binary("+", x.left, binary("*", number(-1), x.right))
    if isinstance(x, tree.Binary) and x.op == "+":
        yield binary("-", x.left, negative(x.right))


def _negation(place: Place) -> Iterator[tree.Expr]:
    """-x = -1 * x = 0 - x, a - b = -(b - a); moved through products"""
    x = place.expr
    if isinstance(x, tree.Unary) and x.op == "-":
        yield binary("*", number(-1), x.operand)
        yield binary("-", number(0), x.operand)
        inner = x.operand
        if isinstance(inner, tree.Binary) and inner.op in "*/":
            yield replace(inner, left=negative(inner.left))
            yield replace(inner, right=negative(inner.right))
    elif isinstance(x, tree.Binary):
        if x.op == "-":
            yield negative(binary("-", x.right, x.left))
        if x.op == "*":
            yield replace(x, left=negative(x.left), right=negative(x.right))


def _quotient(place: Place) -> Iterator[tree.Expr]:
    """a / b = a * (1 / b) = a * b^-1"""
    x = place.expr
    if not isinstance(x, tree.Binary):
        return
    if x.op == "/" and x.left != number(1):
        yield binary("*", x.left, binary("/", number(1), x.right))
        # A power of an integer is real only where the exponent is a negative literal, which laws may change.
        if not coordinates_only(x.right, place.scope):
            yield binary("*", x.left, binary("^", x.right, number(-1)))
            yield binary("*", binary("^", x.right, number(-1)), x.left)
    elif x.op == "/" and not coordinates_only(x.right, place.scope):
        yield binary("^", x.right, number(-1))
    if x.op == "*" and isinstance(x.right, tree.Binary) and x.right.op == "/" and x.right.left == number(1):
        yield binary("/", x.left, x.right.right)


def _root(place: Place) -> Iterator[tree.Expr]:
    """a / sqrt(b) = a * rsqrt(b) = a * b^-0.5; sqrt(b) = b^0.5"""
    x = place.expr
    if called(x) == "sqrt":
        yield binary("^", *arguments(x), number(0.5))
    elif called(x) == "rsqrt":
        yield binary("/", number(1), call("sqrt", *arguments(x)))
        yield binary("^", *arguments(x), number(-0.5))
    elif isinstance(x, tree.Binary) and x.op == "/" and called(x.right) == "sqrt":
        yield binary("*", x.left, call("rsqrt", *arguments(x.right)))
        yield binary("*", x.left, binary("^", *arguments(x.right), number(-0.5)))
        yield binary("*", call("sqrt", binary("/", number(1), *arguments(x.right))), x.left)
    elif isinstance(x, tree.Binary) and x.op == "^" and x.right == number(0.5):
        yield call("sqrt", x.left)


def _square(place: Place) -> Iterator[tree.Expr]:
    x = place.expr
    if isinstance(x, tree.Binary) and x.op == "^" and x.right == number(2):
        yield binary("*", x.left, x.left)
    if isinstance(x, tree.Binary) and x.op == "*" and x.left == x.right:
        yield binary("^", x.left, number(2))


def _identity(place: Place) -> Iterator[tree.Expr]:
    """x * 1, x + 0, a double negation …"""
    x = place.expr
    for op, neutral in (("*", 1), ("+", 0), ("-", 0)):
        yield binary(op, x, number(neutral))
    yield binary("*", number(1), x)
    yield negative(negative(x))


def _real_identity(place: Place) -> Iterator[tree.Expr]:
    yield binary("/", place.expr, number(1))
    yield binary("^", place.expr, number(1))


def _constant(place: Place) -> Iterator[tree.Expr]:
    """A literal as arithmetic of others that gives the same number exactly"""
    x = place.expr
    if not isinstance(x, tree.Number) or isinstance(x.value, complex) or x.value == 0:
        return
    yield binary("/", number(4 * x.value), number(4))
    yield binary("*", number(2), number(x.value / 2))
    if isinstance(x.value, float) and (1 / x.value).is_integer() and 1 / round(1 / x.value) == x.value:
        yield binary("/", number(1), number(round(1 / x.value)))
        yield binary("^", number(round(1 / x.value)), number(-1))
    if isinstance(x.value, int) and math.sqrt(x.value * x.value) == x.value:
        yield call("sqrt", number(x.value * x.value))


def _integer(place: Place) -> Iterator[tree.Expr]:
    x = place.expr
    if isinstance(x, tree.Number) and isinstance(x.value, int) and x.value > 0:
        yield binary("+", number(x.value - 1), number(1))
        yield binary("-", number(x.value + 1), number(1))


def _size(place: Place) -> Iterator[tree.Expr]:
    """|a, b| = |a| * |b|"""
    x = place.expr
    if isinstance(x, tree.SizeOf) and len(x.axes) > 1:
        product: tree.Expr = tree.SizeOf(SPAN, x.axes[:1])
        for axis in x.axes[1:]:
            product = binary("*", product, tree.SizeOf(SPAN, (axis,)))
        yield product
        yield tree.SizeOf(SPAN, x.axes[::-1])


# --- contractions -----------------------------------------------------------------------------------------------------


def _contraction(place: Place) -> Iterator[tree.Expr]:
    """A @[j] B = sum[j](A * B), and back where both have j"""
    x = place.expr
    if isinstance(x, tree.Contract) and x.axes:
        yield call("sum", binary("*", x.left, x.right), axes=axis_names(x.axes))
    found = reduced(x, "sum")
    if found and isinstance(found[1], tree.Binary) and found[1].op == "*":
        left, right = place.axes(found[1].left), place.axes(found[1].right)
        if left is not None and right is not None and set(found[0]) <= left & right:
            yield contract(found[0], found[1].left, found[1].right)


def _nesting(place: Place) -> Iterator[tree.Expr]:
    """Over two axes at once, or over one after the other"""
    x = place.expr
    if isinstance(x, tree.Contract) and len(x.axes) > 1:
        names = axis_names(x.axes)
        for k, axis in enumerate(names):
            yield call("sum", contract([axis], x.left, x.right), axes=names[:k] + names[k + 1 :])
        yield contract(names[::-1], x.left, x.right)
    for op in ("sum", "max", "min", "prod", "logsumexp"):
        found = reduced(x, op)
        if found and len(found[0]) > 1:
            names = list(found[0])
            for k, axis in enumerate(names):
                yield call(op, call(op, found[1], axes=[axis]), axes=names[:k] + names[k + 1 :])
            yield call(op, found[1], axes=names[::-1])


def _scale(place: Place) -> Iterator[tree.Expr]:
    """A scalar factor or divisor of a contraction moves into either operand, or out of one"""
    x = place.expr
    if isinstance(x, tree.Binary) and x.op in "*/":
        sides = [("left", "right")] + [("right", "left")] * (x.op == "*")
        for side, other in sides:
            whole, factor = getattr(x, side), getattr(x, other)
            if place.scalar(factor):
                yield from (one for one in _into(whole, x.op, factor))
    if isinstance(x, tree.Contract):
        for side in ("left", "right"):
            part = getattr(x, side)
            if isinstance(part, tree.Binary) and part.op in "*/" and place.scalar(part.right):
                yield binary(part.op, replace(x, **{side: part.left}), part.right)
    for op in ("sum", "mean"):
        found = reduced(x, op)
        if found and isinstance(found[1], tree.Binary) and found[1].op in "*/" and place.scalar(found[1].right):
            yield binary(found[1].op, call(op, found[1].left, axes=found[0]), found[1].right)


def _into(whole: tree.Expr, op: str, factor: tree.Expr) -> Iterator[tree.Expr]:
    if isinstance(whole, tree.Contract):
        yield replace(whole, left=binary(op, whole.left, factor))
        yield replace(whole, right=binary(op, whole.right, factor))
    for reduction in ("sum", "mean"):
        found = reduced(whole, reduction)
        if found:
            yield call(reduction, binary(op, found[1], factor), axes=found[0])


# --- choices ----------------------------------------------------------------------------------------------------------


def _choice(place: Place) -> Iterator[tree.Expr]:
    """maximum(a, b) = where(a > b, a, b); where(c, a, b) = where(not c, b, a)"""
    x, args = place.expr, arguments(place.expr)
    if called(x) in ("maximum", "minimum"):
        a, b = args
        more, less = (">", "<") if called(x) == "maximum" else ("<", ">")
        yield call("where", compare(more, a, b), a, b)
        yield call("where", compare(less + "=", a, b), b, a)
        yield call("where", compare(less, b, a), a, b)
    if called(x) == "where":
        condition, a, b = args
        yield call("where", tree.Unary(SPAN, "not", condition), b, a)
        if isinstance(condition, tree.Compare) and len(condition.ops) == 1 and condition.ops[0] in "<>":
            one, other = condition.operands
            if {str(one), str(other)} == {str(a), str(b)}:
                yield call("maximum" if (condition.ops[0] == ">") == (one == a) else "minimum", a, b)


_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_OPPOSITE = {"<": ">=", ">": "<=", "<=": ">", ">=": "<", "==": "!=", "!=": "=="}


def _comparison(place: Place) -> Iterator[tree.Expr]:
    """a < b = b > a; of integers also not a >= b, a + 1 <= b, a - b < 0"""
    x = place.expr
    if isinstance(x, tree.Unary) and x.op == "not" and isinstance(x.operand, tree.Compare):
        inner = x.operand
        if len(inner.ops) == 1 and all(coordinates_only(one, place.scope) for one in inner.operands):
            yield compare(_OPPOSITE[inner.ops[0]], *inner.operands)
    if not isinstance(x, tree.Compare) or len(x.ops) != 1:
        return
    (op,), (a, b) = x.ops, x.operands
    yield compare(_MIRRORED[op], b, a)
    if coordinates_only(a, place.scope) and coordinates_only(b, place.scope):
        yield tree.Unary(SPAN, "not", compare(_OPPOSITE[op], a, b))
        yield compare(op, binary("-", a, b), number(0))
        yield compare(op, binary("+", a, number(1)), binary("+", b, number(1)))
        if op in "<>":
            yield compare(op + "=", binary("+" if op == "<" else "-", a, number(1)), b)


def _mask(place: Place) -> Iterator[tree.Expr]:
    """where(c, x, -inf) = x + where(c, 0, -inf), for finite x"""
    x, args = place.expr, arguments(place.expr)
    if called(x) == "where" and args[2] == MINUS_INF and args[1] != number(0):
        yield binary("+", args[1], call("where", args[0], number(0), MINUS_INF))
        yield binary("+", call("where", tree.Unary(SPAN, "not", args[0]), MINUS_INF, number(0)), args[1])
    if isinstance(x, tree.Binary) and x.op == "+":
        for one, other in ((x.left, x.right), (x.right, x.left)):
            parts = arguments(other)
            if called(other) == "where" and parts[1:] == (number(0), MINUS_INF):
                yield call("where", parts[0], one, MINUS_INF)


# --- definitions ------------------------------------------------------------------------------------------------------


def _inline(place: Place) -> Iterator[tree.Expr]:
    """A definition of the prelude that is one expression, written out"""
    x = place.expr
    if not isinstance(x, tree.Call) or not isinstance(x.function, tree.Name) or x.function.name in place.scope:
        return
    definition = prelude().definitions.get(x.function.name)
    if definition is None or not definition.inline or len(x.args) != len(definition.data):
        return
    (statement,) = definition.body
    assert isinstance(statement, tree.Return)
    bound: dict[str, tree.Expr] = {p.name: p.default for p in definition.parameters if p.default is not None}
    bound |= {p.name: one.value for p, one in zip(definition.data, x.args, strict=True)}
    bound |= {one.name: one.value for one in x.options if one.name is not None}
    axes = _bound_axes(definition, x)
    if axes is not None and all(p.name in bound for p in definition.parameters):
        yield written_out(statement.values[0], bound, axes)


def _bound_axes(definition: tree.Definition, x: tree.Call) -> dict[str, tuple[str, ...]] | None:
    """What each axis parameter stands for; None for what this does not follow."""
    given = axis_names([entry.source for entry in x.entries or ()])
    parameters = [axis for axis in (entry.source for entry in definition.axes) if isinstance(axis, tree.Axis)]
    if any(entry.value is not None or entry.target is not None for entry in x.entries or ()):
        return None
    if len(parameters) == 1 and parameters[0].star:
        return {parameters[0].name: tuple(given)}
    if len(parameters) != len(given) or any(axis.star for axis in parameters):
        return None
    return {axis.name: (one,) for axis, one in zip(parameters, given, strict=True)}


def written_out(expr: tree.Expr, values: dict[str, tree.Expr], axes: dict[str, tuple[str, ...]]) -> tree.Expr:
    """The expression with values and axes put in for the names of both."""

    def axis(one: tree.Axis) -> tuple[tree.Axis, ...]:
        return tuple(tree.Axis(SPAN, new) for new in axes.get(one.name, (one.name,)))

    def entry(one: tree.Entry) -> tuple[tree.Entry, ...]:
        assert isinstance(one.source, tree.Axis)
        value = one.value if one.value is None or isinstance(one.value, tree.Slice) else go(one.value)
        return tuple(replace(one, source=new, value=value) for new in axis(one.source))

    def go(node: tree.Expr) -> tree.Expr:
        if isinstance(node, tree.Name):
            coordinate = axes.get(node.name, (node.name,))
            return values.get(node.name) or name(*coordinate)
        if isinstance(node, tree.SizeOf):
            return tree.SizeOf(SPAN, tuple(new for one in node.axes for new in axis(one)))
        if isinstance(node, tree.Unary):
            return replace(node, operand=go(node.operand))
        if isinstance(node, tree.Binary):
            return replace(node, left=go(node.left), right=go(node.right))
        if isinstance(node, tree.Compare):
            return replace(node, operands=tuple(go(one) for one in node.operands))
        if isinstance(node, tree.Call):
            entries = None if node.entries is None else tuple(new for one in node.entries for new in entry(one))
            args = tuple(replace(one, value=go(one.value)) for one in node.args)
            options = tuple(replace(one, value=go(one.value)) for one in node.options)
            return replace(node, entries=entries, args=args, options=options)
        if isinstance(node, tree.Index):
            entries = tuple(new for one in node.entries for new in entry(one))
            return replace(node, base=go(node.base), entries=entries)
        return node

    return go(expr)


EVERYWHERE = ("value", "index")
LAWS: tuple[Law, ...] = (
    Law("swap", _swap, ("value", "index", "condition")),
    Law("regroup", _regroup, EVERYWHERE),
    Law("subtraction", _subtraction, EVERYWHERE),
    Law("negation", _negation, EVERYWHERE),
    Law("quotient", _quotient),
    Law("root", _root),
    Law("square", _square, EVERYWHERE),
    Law("identity", _identity, EVERYWHERE),
    Law("real identity", _real_identity),
    Law("constant", _constant),
    Law("integer", _integer, EVERYWHERE),
    Law("size", _size, EVERYWHERE),
    Law("contraction", _contraction),
    Law("nesting", _nesting),
    Law("scale", _scale),
    Law("choice", _choice),
    Law("comparison", _comparison, ("condition",)),
    Law("mask", _mask),
    Law("inline", _inline),
)


def respellings(place: Place, law: Law) -> list[tree.Expr]:
    """What a law gives for an expression, without what it was."""
    if place.role not in law.roles:
        return []
    return [found for found in law.apply(place) if found != place.expr and not _endless(found)]


def _endless(expr: tree.Expr) -> bool:
    """More than a text should have: laws can be applied to what they gave."""
    return sum(1 for _ in nodes(expr)) > 400
