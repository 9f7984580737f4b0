"""Whole numbers as linear forms of coordinates, with sizes as coefficients; conditions that compare two such forms.

In: an operand. Out: the coefficient of each coordinate, and under None what is added; or None, if it is no such form.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.view import Scope, size_of
from namedlayers.program.graph import Arg
from namedlayers.program.size import SizeExpr, const

Form = dict[int | None, SizeExpr]


@dataclass(frozen=True, slots=True)
class Triangle:
    """`column <= row + diagonal`, of two coordinates."""

    row: int
    column: int
    diagonal: SizeExpr

    @property
    def opposite(self) -> Triangle:
        return Triangle(self.column, self.row, -self.diagonal - 1)


def triangle(scope: Scope, condition: Arg) -> Triangle | None:
    """The triangle in which a condition holds."""
    op = condition.node.op
    if op == "not":
        inner = triangle(scope, scope.operands(condition)[0])
        return inner.opposite if inner is not None else None
    if op not in ("le", "lt", "ge", "gt") or len(condition.axes) != 2:
        return None
    first, second = (linear_form(scope, one) for one in scope.operands(condition))
    if first is None or second is None:
        return None
    less, more = (first, second) if op in ("le", "lt") else (second, first)
    slack = {c: more.get(c, const(0)) - less.get(c, const(0)) for c in {**more, **less}}
    diagonal = slack.pop(None, const(0)) - (1 if op in ("lt", "gt") else 0)
    slack = {c: size for c, size in slack.items() if size != 0}
    rows = [c for c, size in slack.items() if size == 1 and c is not None]
    columns = [c for c, size in slack.items() if size == -1 and c is not None]
    return Triangle(rows[0], columns[0], diagonal) if len(rows) == len(columns) == 1 and len(slack) == 2 else None


def linear_form(scope: Scope, arg: Arg) -> Form | None:
    """The coefficient of each coordinate, and under None what is added."""
    size = size_of(arg.node)
    if size is not None:
        return without_zeros({None: size})
    if arg.node.op == "coord":
        return {arg.axes[0]: const(1)}
    if arg.node.op not in ("neg", "add", "sub", "mul"):
        return None
    parts = [linear_form(scope, one) for one in scope.operands(arg)]
    if any(part is None for part in parts):
        return None
    first, *rest = (part or {} for part in parts)
    if arg.node.op == "neg":
        return {c: -size for c, size in first.items()}
    (second,) = rest
    if arg.node.op == "mul":
        number, form = (first, second) if not set(first) - {None} else (second, first)
        if set(number) - {None}:
            return None
        return without_zeros({c: size * number.get(None, const(0)) for c, size in form.items()})
    sign = 1 if arg.node.op == "add" else -1
    total = {c: first.get(c, const(0)) + second.get(c, const(0)) * sign for c in {**first, **second}}
    return without_zeros(total)


def without_zeros(form: Form) -> Form:
    return {c: size for c, size in form.items() if size != 0}
