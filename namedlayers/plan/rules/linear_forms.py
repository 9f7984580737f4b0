"""Whole numbers as linear forms of coordinates, with sizes as coefficients; conditions that compare two such forms.

In: an operand. Out: the coefficient of each coordinate, and under None what is added; or None, if it is no such form.
"""

from __future__ import annotations

from collections.abc import Callable
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

    def lies_in(self, other: Triangle) -> bool:
        """Whether it is a part of another, provably for all sizes."""
        same = (self.row, self.column) == (other.row, other.column)
        return same and (other.diagonal - self.diagonal).nonnegative

    def misses(self, other: Triangle) -> bool:
        """Whether it has nothing in common with another, provably for all sizes."""
        return self.lies_in(other.opposite)


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
    slack = less_than(less, more)
    return not_negative({**slack, None: slack.get(None, const(0)) - (1 if op in ("lt", "gt") else 0)})


def not_negative(form: Form) -> Triangle | None:
    """Where a form of two coordinates is no less than 0, if that is a triangle."""
    added = form.get(None, const(0))
    slopes = {c: size for c, size in form.items() if c is not None and size != 0}
    rows = [c for c, size in slopes.items() if (size - 1).nonnegative]
    columns = [c for c, size in slopes.items() if (-size - 1).nonnegative]
    if len(slopes) != 2 or len(rows) != 1 or len(columns) != 1:
        return None
    (row,), (column,) = rows, columns
    steps = _in_steps(added, slopes[row])
    return Triangle(row, column, steps) if steps is not None and slopes[row] == -slopes[column] else None


def _in_steps(size: SizeExpr, step: SizeExpr) -> SizeExpr | None:
    """How many steps are no more than a size."""
    if size.value is not None and step.value is not None:
        return const(size.value // step.value)
    return size.quotient(step)


def less_than(form: Form, other: Form) -> Form:
    """By how much a form is less than another."""
    return without_zeros({c: other.get(c, const(0)) - form.get(c, const(0)) for c in {**other, **form}})


def _no_form(arg: Arg) -> Form | None:
    return None


def linear_form(scope: Scope, arg: Arg, known: Callable[[Arg], Form | None] = _no_form) -> Form | None:
    """The coefficient of each coordinate, and under None what is added; `known`: of what is none by itself."""
    found = known(arg)
    if found is not None:
        return found
    size = size_of(arg.node)
    if size is not None:
        return without_zeros({None: size})
    if arg.node.op == "coord":
        return {arg.axes[0]: const(1)}
    if arg.node.op not in ("neg", "add", "sub", "mul"):
        return None
    parts = [linear_form(scope, one, known) for one in scope.operands(arg)]
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
