"""Elementwise formulas that have a kernel of their own: relu, sigmoid, silu, gelu, softplus.

Each is a table of spellings as patterns; order, signs and the places of constants are the patterns' business.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from namedlayers.plan.pattern import Num, Op, Pattern, Product, Sum, Var, match
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.view import Scope, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

X = Var("x")
EXP_X = Op("exp", (X,))
CUBE_X: tuple[tuple[Pattern, ...], ...] = ((Op("pow", (X, Num(3))),), (X, X, X), (Op("pow", (X, Num(2))), X))
SQUARE_X: tuple[tuple[Pattern, ...], ...] = ((Op("pow", (X, Num(2))),), (X, X))

RELU: tuple[Pattern, ...] = (Op("maximum", (X, Num(0))),)
RELU_BY_CHOICE: tuple[Pattern, ...] = (
    Op("where", (Op("gt", (X, Num(0))), X, Num(0))),
    Op("where", (Op("ge", (X, Num(0))), X, Num(0))),
    Op("where", (Op("lt", (Num(0), X)), X, Num(0))),
    Op("where", (Op("le", (Num(0), X)), X, Num(0))),
    Op("where", (Op("lt", (X, Num(0))), Num(0), X)),
    Op("where", (Op("le", (X, Num(0))), Num(0), X)),
    Op("where", (Op("gt", (Num(0), X)), Num(0), X)),
    Op("where", (Op("ge", (Num(0), X)), Num(0), X)),
    Product(1, (Op("gt", (X, Num(0))), X)),
)
ONE_PLUS_EXP = Sum(1, (EXP_X,))
SIGMOID: tuple[Pattern, ...] = (Product(1, (EXP_X,), (ONE_PLUS_EXP,)),)
SILU: tuple[Pattern, ...] = (Product(1, (Op("sigmoid", (X,)), X)),)
GELU: tuple[Pattern, ...] = (Product(0.5, (Sum(1, (Op("erf", (Product(1 / sqrt(2), (X,)),)),)), X)),)
GELU_TANH: tuple[Pattern, ...] = tuple(
    Product(0.5, (Sum(1, (Op("tanh", (inner,)),)), X))
    for inner in (
        *(Product(sqrt(2 / pi), (Sum(0, (X, Product(0.044715, cube))),)) for cube in CUBE_X),
        *(Product(sqrt(2 / pi), (Sum(1, (Product(0.044715, square),)), X)) for square in SQUARE_X),
    )
)
SOFTPLUS: tuple[Pattern, ...] = (
    Op("logaddexp", (X, Num(0))),
    Op("log", (Sum(1, (EXP_X,)),)),
    Op("log1p", (EXP_X,)),
)


def _rule(
    name: str, numerics: Any, roots: tuple[str, ...], spellings: tuple[Pattern, ...], op: str = "", **attrs: str
) -> Rule:
    def find(scope: Scope, node: Node) -> Outcome:
        if node.kind != Kind.REAL and name != "relu" or node.kind == Kind.COMPLEX:
            return None
        whole = scope.whole()
        for spelling in spellings:
            bound = match(scope, spelling, whole)
            if bound is not None and bound["x"].node.kind == node.kind and len(set(bound["x"].axes)) == node.rank:
                return Match(bound["x"])
        return None

    def build(scope: Scope, node: Node, x: Arg) -> Arg:
        return scope.build(op or name, (x,), range(node.rank), kind=node.kind, attrs=attrs)

    return Rule(name, numerics, roots, find, build)


def _over_one_plus_exp(scope: Scope, node: Node) -> Outcome:
    """y / (1 + exp(x)), which is y * sigmoid(-x)"""
    y, divisor = node.args
    bound = match(scope, ONE_PLUS_EXP, divisor) if node.kind == Kind.REAL else None
    return Match((y, bound["x"]), (divisor.node,)) if bound and bound["x"].node.kind == Kind.REAL else None


def _build_sigmoid(scope: Scope, node: Node, found: tuple[Arg, Arg]) -> Arg:
    y, x = found
    argument = negative(scope, x)
    factor = scope.build("sigmoid", (argument,), sorted(argument.axes), kind=Kind.REAL)
    return factor if is_number(y, 1) else scope.apply("mul", y, factor)


RULES = (
    _rule("relu", "exact", ("maximum",), RELU),
    _rule("relu", "algebraic", ("where", "mul"), RELU_BY_CHOICE),
    _rule("sigmoid", "algebraic", ("div", "mul"), SIGMOID),
    Rule("sigmoid", "algebraic", ("div",), _over_one_plus_exp, _build_sigmoid),
    _rule("silu", "algebraic", ("mul",), SILU),
    _rule("gelu", "algebraic", ("mul", "div"), GELU, approximate="none"),
    _rule("gelu", "algebraic", ("mul", "div"), GELU_TANH, approximate="tanh"),
    _rule("softplus", "exact", ("logaddexp",), SOFTPLUS[:1]),
    _rule("softplus", "algebraic", ("log", "log1p"), SOFTPLUS[1:]),
)
