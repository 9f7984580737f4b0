"""What changes nothing goes; what is known is computed.

A factor 1, a summand 0, a double negation, a choice by a literal condition, a reduction over nothing, an expansion
along axes that the other operand has; arithmetic of literals and of sizes, where the result is the same number.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Number, Product, Scope, constant, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

_NEUTRAL: dict[str, tuple[float, bool]] = {
    "mul": (1, True), "div": (1, False), "add": (0, True), "sub": (0, False), "pow": (1, False),
}  # fmt: skip
"""For each operation its neutral operand, and whether it may stand on the left too."""


_REDUCTIONS = tuple(f"reduce {op}" for op in ("sum", "prod", "max", "min", "logsumexp", "any", "all"))


def _neutral(scope: Scope, node: Node) -> Outcome:
    value, both = _NEUTRAL[node.op]
    first, second = node.args
    if is_number(second, value):
        return Match(first)
    return Match(second) if both and is_number(first, value) else None


def _double(scope: Scope, node: Node) -> Outcome:
    (inner,) = node.args
    return Match(scope.operands(inner)[0], (inner.node,)) if inner.node.op == node.op else None


def _inverse_factor(scope: Scope, node: Node) -> Outcome:
    """x * (1 / y)"""
    for x, inverse in (node.args, node.args[::-1]):
        if inverse.node.op == "div" and is_number(inverse.node.args[0], 1) and scope.once(inverse.node):
            return Match((x, scope.operands(inverse)[1]), (inverse.node,))
    return None


def _build_quotient(scope: Scope, node: Node, found: tuple[Arg, Arg]) -> Arg:
    return scope.build("div", found, range(node.rank), kind=node.kind)


def _minus_one(scope: Scope, node: Node) -> Outcome:
    """-1 * x, x / -1, where x is real if the product is"""
    for number, x in (node.args[::-1], node.args) if node.op == "mul" else (node.args[::-1],):
        if is_number(number, -1) and x.node.kind == node.kind:
            return Match(x)
    return None


def _build_negative(scope: Scope, node: Node, x: Arg) -> Arg:
    return scope.build("neg", (x,), range(node.rank), kind=node.kind)


def _negated_summand(scope: Scope, node: Node) -> Outcome:
    """x + (-y), x - (-y)"""
    first, second = node.args
    if second.node.op == "neg":
        return Match((first, scope.operands(second)[0], "sub" if node.op == "add" else "add"), (second.node,))
    if node.op == "add" and first.node.op == "neg":
        return Match((second, scope.operands(first)[0], "sub"), (first.node,))
    return None


def _negated_difference(scope: Scope, node: Node) -> Outcome:
    """-(x - y)"""
    (inner,) = node.args
    same = inner.node.op == "sub" and all(arg.node.kind == node.kind for arg in inner.node.args)
    return Match(scope.operands(inner)[::-1], (inner.node,)) if same and scope.once(inner.node) else None


def _build_difference(scope: Scope, node: Node, operands: tuple[Arg, ...]) -> Arg:
    return scope.build("sub", operands, range(node.rank), kind=node.kind)


def _negations(scope: Scope, node: Node) -> Outcome:
    """(-x) * y / (-z)"""
    product = scope.product(scope.whole(), lambda part: part.op == "neg" or scope.once(part))
    negations = [part for part in product.nodes if part.op == "neg"]
    same = len({part.kind for part in product.nodes}) == 1
    return Match(product.nodes, tuple(negations)) if len(negations) > 1 and same else None


def _build_negations(scope: Scope, node: Node, nodes: tuple[Node, ...]) -> Arg:
    def positive(arg: Arg) -> Arg:
        if arg.node not in nodes:
            return arg
        operands = tuple(map(positive, scope.operands(arg)))
        if arg.node.op == "neg":
            return operands[0]
        return arg if operands == scope.operands(arg) else scope.apply(arg.node.op, *operands, kind=arg.node.kind)

    product = positive(scope.whole())
    odd = sum(part.op == "neg" for part in nodes) % 2
    return scope.apply("neg", product) if odd else product


def _less_than_nothing(scope: Scope, node: Node) -> Outcome:
    """0 - x"""
    first, second = node.args
    return Match(second) if is_number(first, 0) and second.node.kind == node.kind else None


def _build_negated_summand(scope: Scope, node: Node, found: tuple[Arg, Arg, str]) -> Arg:
    x, y, op = found
    return scope.build(op, (x, y), range(node.rank), kind=node.kind)


_POWERS = {-1: "div", 0.5: "sqrt", -0.5: "rsqrt"}


def _root_or_inverse(scope: Scope, node: Node) -> Outcome:
    """x ^ -1, x ^ 0.5, x ^ -0.5"""
    base, exponent = node.args
    value = constant(exponent.node)
    if value not in _POWERS or node.kind != Kind.REAL or constant(base.node) is not None:
        return None
    return Match((_POWERS[value], base))  # type: ignore[index]


def _root_of_inverse(scope: Scope, node: Node) -> Outcome:
    """sqrt(1 / x)"""
    (inner,) = node.args
    if inner.node.op != "div" or not is_number(inner.node.args[0], 1):
        return None
    return Match(("rsqrt", scope.operands(inner)[1]), (inner.node,))


def _build_root_or_inverse(scope: Scope, node: Node, found: tuple[str, Arg]) -> Arg:
    op, x = found
    args = (scope.number(1), x) if op == "div" else (x,)
    return scope.build(op, args, range(node.rank), kind=node.kind)


def _constant_factors(scope: Scope, node: Node) -> Outcome:
    """(x * 2) / 4 and the like: two numbers are one"""
    numbers = [k for k, arg in enumerate(node.args) if constant(arg.node) is not None]
    if len(numbers) != 1 or node.kind < Kind.REAL:
        return None
    inner = node.args[1 - numbers[0]]
    if inner.node.op not in ("mul", "div", "neg") or not scope.once(inner.node):
        return None
    if inner.node.op != "neg" and all(constant(arg.node) is None for arg in inner.node.args):
        return None
    product = scope.product(scope.whole(), lambda n: n is inner.node)
    return Match(product, (inner.node,)) if len(product.top) == 1 and not product.bottom else None


def _build_product(scope: Scope, node: Node, product: Product) -> Arg:
    return scope.multiply(product)


def _reduced_twice(scope: Scope, node: Node) -> Outcome:
    (inner,) = node.args
    if inner.node.op != "reduce" or inner.node.attr("op") != node.attr("op") or not scope.once(inner.node):
        return None
    return Match((scope.operands(inner)[0], scope.consumed(inner)), (inner.node,))


def _build_reduced_twice(scope: Scope, node: Node, found: tuple[Arg, tuple[int, ...]]) -> Arg:
    consumed = (*range(node.rank, len(node.space)), *found[1])
    return scope.build("reduce", (found[0],), range(node.rank), consumed, kind=node.kind, attrs=dict(node.attrs))


def _settled(scope: Scope, node: Node) -> Outcome:
    """where(True, x, 1): a literal on the other side settles neither the axes nor the precision of x"""
    condition, yes, no = node.args
    value = constant(condition.node)
    if value is None:
        return None
    chosen, other = (yes, no) if value else (no, yes)
    same = (chosen.node.kind, chosen.node.weak, len(set(chosen.axes))) == (node.kind, node.weak, node.rank)
    return Match(chosen) if same and constant(other.node) is not None else None


def _neutral_condition(scope: Scope, node: Node) -> Outcome:
    """x and True, x or False"""
    for one, other in (node.args, node.args[::-1]):
        if constant(other.node) is (node.op == "and") and one.node.kind == Kind.BOOL and len(one.axes) == node.rank:
            return Match(one)
    return None


def _itself(scope: Scope, node: Node, found: Arg) -> Arg:
    return found


# --- expansions -------------------------------------------------------------------------------------------------------

_ALIGNING = tuple("add sub mul div maximum minimum pow logaddexp eq ne lt le gt ge and or where contract".split())


def _expanded(scope: Scope, node: Node) -> Outcome:
    """Operands that are expanded along axes that other operands have anyway."""
    args = list(node.args)
    parts = []
    for k, arg in enumerate(args):
        if arg.node.op == "expand":
            (inner,) = scope.operands(arg)
            elsewhere = {c for j, other in enumerate(args) if j != k for c in other.axes}
            if set(arg.axes) - set(inner.axes) <= elsewhere:
                args[k] = inner
                parts.append(arg.node)
    return Match(tuple(args), tuple(parts)) if parts else None


def _build_expanded(scope: Scope, node: Node, args: tuple[Arg, ...]) -> Arg:
    consumed = range(node.rank, len(node.space))
    return scope.build(
        node.op, args, range(node.rank), consumed, kind=node.kind, attrs=dict(node.attrs), weak=node.weak
    )


def _regrouped_expansion(scope: Scope, node: Node) -> Outcome:
    """The parts, or the merger, of axes along which a value is expanded"""
    (arg,) = node.args
    if arg.node.op != "expand":
        return None
    (inner,) = scope.operands(arg)
    moved = {c for c in arg.axes if c < 0 or c >= node.rank}
    return Match(inner, (arg.node,)) if not moved & set(inner.axes) else None


def _over_axes(scope: Scope, node: Node, found: Arg) -> Arg:
    """`found` over the root's axes, in their order."""
    if found.axes == tuple(range(node.rank)):
        return found
    new = tuple(p for p in range(node.rank) if p not in found.axes)
    return scope.build("expand", (found,), range(node.rank), kind=node.kind, attrs={"axes": new}, weak=node.weak)


# --- arithmetic -------------------------------------------------------------------------------------------------------

_COMPUTED: dict[str, Callable[..., Number]] = {
    "neg": operator.neg, "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "pow": operator.pow, "sqrt": math.sqrt, "rsqrt": lambda x: 1 / math.sqrt(x), "exp": math.exp, "log": math.log,
}  # fmt: skip


def _known(scope: Scope, node: Node) -> Outcome:
    """A number that is known: finite, and of the kind that the text gives it."""
    values = [constant(arg.node) for arg in node.args]
    if any(v is None or isinstance(v, (bool, complex)) for v in values) or node.kind not in (Kind.INT, Kind.REAL):
        return None
    try:
        value = _COMPUTED[node.op](*values)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    if isinstance(value, complex) or not math.isfinite(value) or isinstance(value, int) != (node.kind == Kind.INT):
        return None
    return Match(value) if abs(value) < 2**53 else None


def _build_number(scope: Scope, node: Node, value: Number) -> Arg:
    return scope.number(value)


RULES = (
    Rule("known number", "exact", tuple(_COMPUTED), _known, _build_number),
    Rule("neutral operand", "algebraic", tuple(_NEUTRAL), _neutral, _over_axes),
    Rule("double negation", "exact", ("neg", "not"), _double, _itself),
    Rule("neutral condition", "exact", ("and", "or"), _neutral_condition, _itself),
    Rule("settled choice", "exact", ("where",), _settled, _itself),
    Rule("factor -1", "exact", ("mul", "div"), _minus_one, _build_negative),
    Rule("factor 1 / y", "exact", ("mul",), _inverse_factor, _build_quotient),
    Rule("negated summand", "exact", ("add", "sub"), _negated_summand, _build_negated_summand),
    Rule("negated difference", "exact", ("neg",), _negated_difference, _build_difference),
    Rule("negations in a product", "exact", ("neg", "mul", "div"), _negations, _build_negations),
    Rule("nothing less x", "algebraic", ("sub",), _less_than_nothing, _build_negative),
    Rule("root or inverse", "algebraic", ("pow",), _root_or_inverse, _build_root_or_inverse),
    Rule("root of an inverse", "algebraic", ("sqrt",), _root_of_inverse, _build_root_or_inverse),
    Rule("constant factors", "algebraic", ("mul", "div"), _constant_factors, _build_product),
    Rule("reduction of a reduction", "algebraic", _REDUCTIONS, _reduced_twice, _build_reduced_twice),
    Rule("expansion that the other operand makes", "exact", _ALIGNING, _expanded, _build_expanded),
    Rule("expansion in parts", "exact", ("split", "merge"), _regrouped_expansion, _over_axes),
)
