"""Static arithmetic: operations on what is known while compiling.

In: two Python numbers or sizes. Out: the result, or None where the operation is to be done on values. What always
holds: integers and sizes are exact; a comparison of sizes is decided only if it is the same for all of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from namedlayers.errors import ArgumentError, FormulaSyntaxError, Label, SizeError, Span
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.statics import described
from namedlayers.program.size import SizeExpr, const, size_expr

_PYTHON: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
    "!=": operator.ne, "and": lambda a, b: bool(a) and bool(b), "or": lambda a, b: bool(a) or bool(b),
}  # fmt: skip


def fold(ctx: Context, op: str, left: Any, right: Any, span: Span) -> Any:
    """The static result, or None where there is none: then the operation is done on values."""
    left, right = (_known(ctx, one) for one in (left, right))
    if isinstance(left, SizeExpr) or isinstance(right, SizeExpr):
        return _fold_sizes(ctx, op, left, right, span)
    plain = (bool, int, float, complex)
    if not isinstance(left, plain) or not isinstance(right, plain):
        if op in ("==", "!="):
            return (left == right) == (op == "==")
        what = described(left if not isinstance(left, plain) else right)
        raise ArgumentError("NL0212", f"`{op}` computes with numbers, and one side is {what}", Label(span))
    if op == "^":
        return _power(left, right, span)
    try:
        return _PYTHON[op](left, right)
    except ZeroDivisionError:
        if isinstance(left, int) and isinstance(right, int) and op in ("//", "%"):
            raise SizeError("NL0405", "an integer is divided by zero", Label(span)) from None
        return None  # IEEE decides: on values
    except (OverflowError, TypeError):
        return None


def _known(ctx: Context, number: Any) -> Any:
    """A size that is known is an integer like any other."""
    return _plain(ctx.solver.normal(number)) if isinstance(number, SizeExpr) else number


def _power(left: Any, right: Any, span: Span) -> Any:
    if isinstance(left, int) and isinstance(right, int) and right >= 0:
        if left.bit_length() * right > 4096:
            raise FormulaSyntaxError(
                "NL0605",
                "this power of integers has more than 1000 digits",
                Label(span),
                hint="write a real: `2.0 ^ 100`",
            )
        return left**right
    try:
        found = left**right
    except (OverflowError, ZeroDivisionError):
        return None
    return None if isinstance(found, complex) and not isinstance(left, complex) else found


def _fold_sizes(ctx: Context, op: str, left: Any, right: Any, span: Span) -> Any:
    exact = (int, SizeExpr)
    if not isinstance(left, exact) or not isinstance(right, exact):
        return None
    a, b = size_expr(left), size_expr(right)
    if op in ("//", "%") and b == 0:
        raise SizeError("NL0405", "a size is divided by zero", Label(span))
    if op in ("+", "-", "*", "//", "%"):
        return _plain(_PYTHON[op](a, b))
    if op == "^" and b.value is not None and 0 <= b.value <= 16:
        product = const(1)
        for _ in range(b.value):
            product = product * a
        return _plain(product)
    return _decide(op, a - b)


def _plain(size: SizeExpr) -> SizeExpr | int:
    return size if size.value is None else size.value


def _decide(op: str, difference: SizeExpr) -> bool | None:
    """The truth of `difference op 0` where it is the same for all sizes."""
    if difference.value is not None:
        return _PYTHON[op](difference.value, 0) if op in ("<", "<=", ">", ">=", "==", "!=") else None
    positive = (difference - 1).nonnegative
    negative = (-difference - 1).nonnegative
    proofs = {
        "<": (negative, difference.nonnegative), "<=": ((-difference).nonnegative, positive),
        ">": (positive, (-difference).nonnegative), ">=": (difference.nonnegative, negative),
        "==": (False, positive or negative), "!=": (positive or negative, False),
    }  # fmt: skip
    yes, no = proofs.get(op, (False, False))
    return True if yes else False if no else None
