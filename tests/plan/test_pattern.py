"""What the variables of a pattern stand for, however a formula is written."""

from __future__ import annotations

import pytest

from namedlayers.plan.pattern import Num, Op, Pattern, Product, Sum, Var, match
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg
from namedlayers.program.numbering import number
from tests.plan.formulas import program_of

A, B = Var("a"), Var("b")
SQUARES = [
    Sum(0, (Product(1, a), Product(1, b)))
    for a in ((A, A), (Op("pow", (A, Num(2))),))
    for b in ((B, B), (Op("pow", (B, Num(2))),))
]


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("X * X + Y * Y", SQUARES),
        ("X ^ 2 + Y * Y", SQUARES),
        ("Y ^ 2 - -(X ^ 2)", SQUARES),
        ("X * X - Y * -Y", SQUARES),
        ("X * X - -Y * Y", SQUARES),
        ("-X * -X - Y * -Y", SQUARES),
        ("Y - tanh(X)", [Sum(0, (A, Product(-1, (Op("tanh", (B,)),))))]),
        ("-tanh(X) + Y", [Sum(0, (A, Product(-1, (Op("tanh", (B,)),))))]),
    ],
)
def test_variables_are_the_inputs_themselves(text: str, patterns: list[Pattern]) -> None:
    """No variable stands for a negation: a sign is the product's."""
    found = next(filter(None, (_bound(text, pattern) for pattern in patterns)))
    assert {bound.node.op for bound in found.values()} == {"input"}


@pytest.mark.parametrize("text", ["X * X - Y * Y", "X * X + Y * X", "X ^ 2 + Y ^ 3", "2 * X * X + Y * Y"])
def test_no_squares(text: str) -> None:
    assert not any(_bound(text, pattern) for pattern in SQUARES)


def _bound(text: str, pattern: Pattern) -> dict[str, Arg] | None:
    graph = number(program_of(f"def f(X[i], Y[i]) = {text}"))
    return match(scope := Scope(graph, graph.outputs[0].node, lambda _: 1), pattern, scope.whole())
