"""Derivatives of elementwise operations.

What always holds: at ties, kinks, zeros and poles they are what torch says they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from namedlayers.plan.scans.derivatives.term import Back, Term, result, slope
from namedlayers.plan.view import constant
from namedlayers.program.graph import Node

Factor = Callable[[Term, Term], Term]
"""The derivative of a function, by its operand and its value."""

FACTORS: Mapping[str, Factor] = {
    "exp": lambda x, y: y,
    "expm1": lambda x, y: y + 1,
    "log": lambda x, y: 1 / x,
    "log1p": lambda x, y: 1 / (x + 1),
    "log2": lambda x, y: 1 / (x * math.log(2)),
    "sqrt": lambda x, y: 0.5 / y,
    "rsqrt": lambda x, y: y * y * y * -0.5,
    "sin": lambda x, y: x("cos"),
    "cos": lambda x, y: -x("sin"),
    "tan": lambda x, y: y * y + 1,
    "asin": lambda x, y: (1 - x * x)("rsqrt"),
    "acos": lambda x, y: -(1 - x * x)("rsqrt"),
    "atan": lambda x, y: 1 / (x * x + 1),
    "sinh": lambda x, y: x("cosh"),
    "cosh": lambda x, y: x("sinh"),
    "tanh": lambda x, y: slope(y, "tanh"),
    "asinh": lambda x, y: (x * x + 1)("rsqrt"),
    "acosh": lambda x, y: (x * x - 1)("rsqrt"),
    "atanh": lambda x, y: 1 / (1 - x * x),
    "erf": lambda x, y: (-x * x)("exp") * (2 / math.sqrt(math.pi)),
    "lgamma": lambda x, y: slope(x, "lgamma"),
    "abs": lambda x, y: x("sign"),
}
"""g times these."""


def _times(factor: Factor) -> Back:
    return lambda node, g, operands: (g * factor(operands[0], result(node, g)),)


def _div(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """A divisor that is the same along an axis divides what is summed over it."""
    y = operands[1]
    if len(y.arg.axes) == node.rank:
        return g / y, -(g * (result(node, g) / y))
    return g / y, -((g * result(node, g)) / y)


def _mod(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """x - y * floor(x / y)."""
    x, y = operands
    return g, -(g * x("floordiv", y))


def _power(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """Of x ^ 0 nothing, whatever x; of 0 ^ n nothing by n, unless n is below 0."""
    x, n = operands
    number = constant(n.arg.node)
    if isinstance(number, (int, float)):
        if number in (0, 1):
            return g if number else Term(g.scope, g.scope.number(0.0)), None
        return g * ((x if number == 2 else x("pow", float(number - 1))) * float(number)), None
    y = result(node, g)
    to_base = n("eq", 0).chosen(0, n * x("pow", n - 1))
    by_log = y * x("log")
    base = constant(x.arg.node)
    if base is None or base == 0:
        by_log = x("eq", 0)("and", n("ge", 0)).chosen(0, by_log)
    return None if base is not None else g * to_base, g * by_log


def _larger(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """Of two equal values each gets half; beside a number the value gets all, as torch has it."""
    x, y = operands
    less = "lt" if node.op == "maximum" else "gt"
    if any(constant(one.arg.node) is not None for one in operands):
        keeps = "ge" if node.op == "maximum" else "le"
        return x(keeps, y).chosen(g, 0), y(keeps, x).chosen(g, 0)
    even = x("eq", y).chosen(g * 0.5, g)
    return x(less, y).chosen(0, even), y(less, x).chosen(0, even)


def _logaddexp(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """Of two that are -inf none gets anything."""
    x, y = operands
    dead = x("maximum", y)("eq", -math.inf)
    return tuple(g * dead.chosen(0, (one - other)("sigmoid")) for one, other in ((x, y), (y, x)))


def _atan2(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """Nothing at (0, 0)."""
    y, x = operands
    inverse = 1 / (y * y + x * x)
    inverse = inverse("eq", math.inf).chosen(0, inverse)
    return g * (x * inverse), -(g * (y * inverse))


def _where(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    condition = operands[0]
    return None, condition.chosen(g, 0), condition.chosen(0, g)


def _lerp(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    start, end, weight = operands
    return g * (1 - weight), g * weight, g * (end - start)


TABLE: Mapping[str, Back] = {
    **{op: _times(factor) for op, factor in FACTORS.items()},
    "add": lambda node, g, operands: (g, g),
    "sub": lambda node, g, operands: (g, -g),
    "neg": lambda node, g, operands: (-g,),
    "mul": lambda node, g, operands: (g * operands[1], g * operands[0]),
    "div": _div,
    "mod": _mod,
    "pow": _power,
    "maximum": _larger,
    "minimum": _larger,
    "logaddexp": _logaddexp,
    "atan2": _atan2,
    "where": _where,
    "lerp": _lerp,
    **dict.fromkeys(("real", "conj", "cast", "expand", "ordered"), lambda node, g, operands: (g,)),
}
