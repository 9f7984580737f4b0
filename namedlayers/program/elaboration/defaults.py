"""Defaults of options that can be read off the text.

In: a definition. Out: literals and their kinds.
"""

from __future__ import annotations

from namedlayers.program.elaboration.definitions import options_of
from namedlayers.program.program import Kind
from namedlayers.syntax import tree

Literal = bool | int | float | str


def literal_default(definition: tree.Definition, name: str) -> Literal | None:
    """The default of an option where it is a literal."""
    default = next(option.default for option in options_of(definition) if option.name == name)
    return _literal(default)


def literal_kind(expr: tree.Expr | None) -> Kind | None:
    """The kind of a default that is a plain number, so that a call may give another number without compiling anew."""
    value = _literal(expr)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return Kind.INT if isinstance(value, int) else Kind.REAL


def _literal(expr: tree.Expr | None) -> Literal | None:
    if isinstance(expr, tree.Number) and not isinstance(expr.value, complex):
        return expr.value
    if isinstance(expr, tree.String):
        return expr.value
    if isinstance(expr, tree.Name) and expr.name in ("True", "False"):
        return expr.name == "True"
    if isinstance(expr, tree.Unary) and expr.op == "-":
        inner = _literal(expr.operand)
        return -inner if isinstance(inner, (int, float)) else None
    return None
