"""Pieces of text in the language, with how tightly they bind, so that brackets stand only where they must.

In: literals, sizes, operations with pieces as operands. Out: pieces. What always holds: a piece parses back to what it
was made of; left-associative operations need no brackets on their left.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable
from dataclasses import dataclass

from namedlayers.program.size import SizeExpr

# How tightly the forms of the grammar bind, loosest first.
OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGNED, POWER, POSTFIX = range(9)


@dataclass(frozen=True, slots=True)
class Piece:
    text: str
    binds: int = POSTFIX

    def within(self, binds: int) -> str:
        """The text where at least `binds` is asked for."""
        return self.text if self.binds >= binds else f"({self.text})"


# operation: sign, how tightly it binds, what its left and right operands must bind
_SIGNS: dict[str, tuple[str, int, int, int]] = {
    "or": ("or", OR, OR, AND),
    "and": ("and", AND, AND, NOT),
    **{
        op: (sign, COMPARISON, SUM, SUM)
        for op, sign in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}.items()
    },
    **{op: (sign, SUM, SUM, PRODUCT) for op, sign in {"add": "+", "sub": "-"}.items()},
    **{
        op: (sign, PRODUCT, PRODUCT, SIGNED)
        for op, sign in {"mul": "*", "div": "/", "floordiv": "//", "mod": "%"}.items()
    },
    "pow": ("^", POWER, POSTFIX, SIGNED),
}


def binary(op: str, left: Piece, right: Piece) -> Piece:
    """`left + right`, or `maximum(left, right)` where the operation has no sign."""
    if op not in _SIGNS:
        return call(op, (left, right))
    sign, binds, on_left, on_right = _SIGNS[op]
    return Piece(f"{left.within(on_left)} {sign} {right.within(on_right)}", binds)


def contraction(left: Piece, axes: Iterable[str], right: Piece) -> Piece:
    return Piece(f"{left.within(PRODUCT)} @[{', '.join(axes)}] {right.within(SIGNED)}", PRODUCT)


def unary(op: str, operand: Piece) -> Piece:
    if op == "neg":
        return Piece(f"-{operand.within(SIGNED)}", SIGNED)
    if op == "not":
        return Piece(f"not {operand.within(NOT)}", NOT)
    return call(op, (operand,))


def call(name: str, args: Iterable[Piece], axes: Iterable[str] | None = None, **options: str) -> Piece:
    """`name[axes](args; options)`."""
    brackets = "" if axes is None else f"[{', '.join(axes)}]"
    listed = ", ".join(arg.text for arg in args)
    named = "; " + ", ".join(f"{option} = {value}" for option, value in options.items()) if options else ""
    return Piece(f"{name}{brackets}({listed}{named})")


def index(base: Piece, entries: Iterable[str], fill: Piece | None = None) -> Piece:
    """`base[entries]`; the base itself where there are none."""
    listed = ", ".join(entries)
    if not listed:
        return base
    return Piece(f"{base.within(POSTFIX)}[{listed}{f'; fill = {fill.text}' if fill else ''}]")


def renamed(base: Piece, pairs: Iterable[tuple[str, str]]) -> Piece:
    """The axes of pairs that differ under their second names."""
    return index(base, [f"{old} -> {new}" for old, new in pairs if old != new])


def literal(value: bool | int | float | complex) -> Piece:
    """A number that is read back with the same kind and the same bits.

    >>> literal(-0.5).text, literal(2).text, literal(1e-5).text, literal(float("-inf")).text, literal(1 + 2j).text
    ('-0.5', '2', '1e-05', '-inf', '1.0 + 2.0j')
    """
    if isinstance(value, complex):
        if value.real == 0 and math.copysign(1, value.real) > 0 and not cmath.isnan(value):
            return _signed(value.imag, "j")
        return binary("add", literal(value.real), _signed(value.imag, "j"))
    return Piece(repr(value)) if isinstance(value, bool) else _signed(value, "")


def size(expr: SizeExpr) -> Piece:
    """A size; a symbol is the size of the axis of that name."""
    text = str(expr)
    if len(expr.terms) > 1:
        return Piece(text, SUM)
    if expr.terms and (expr.terms[0][1] < 0 or len(expr.terms[0][0]) > 1 or expr.terms[0][1] > 1 and expr.terms[0][0]):
        return Piece(text, SIGNED if expr.value is not None else SUM if expr.terms[0][1] < 0 else PRODUCT)
    return Piece(text)


def affine(parts: Iterable[tuple[Piece, str]], offset: Piece | None) -> str:
    """`2 * seq + kernel - 1` of (coefficient, coordinate) and the rest; a rest with a minus after it comes first."""
    products = [_product(coefficient, axis) for coefficient, axis in parts]
    if offset is not None:
        negative = offset.text.startswith("-")
        products = (
            [*products, offset]
            if negative or not products or not products[0].text.startswith("-")
            else [offset, *products]
        )
    text = products[0].text if products else "0"
    for product in products[1:]:
        if product.text.startswith("-") and product.binds != SUM:
            text += f" - {product.text[1:]}"
        else:
            text += f" + {product.within(PRODUCT)}"
    return text


def _product(coefficient: Piece, axis: str) -> Piece:
    if coefficient.text == "1":
        return Piece(axis)
    if coefficient.text == "-1":
        return Piece(f"-{axis}", SIGNED)
    return Piece(f"{coefficient.within(PRODUCT)} * {axis}", PRODUCT)


def _signed(value: int | float, suffix: str) -> Piece:
    if math.isinf(value):
        text = "inf" if not suffix else "inf * 1j"
    elif math.isnan(value):
        text = "nan" if not suffix else "nan * 1j"
    else:
        text = f"{abs(value)!r}{suffix}"
    binds = PRODUCT if "*" in text else POSTFIX
    negative = math.copysign(1, value) < 0 and not math.isnan(value)
    return Piece(f"-{text}", min(binds, SIGNED)) if negative else Piece(text, binds)
