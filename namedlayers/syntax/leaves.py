"""What the rules of the builder are made of: nodes of single tokens, and children as they are.

In: the children of a node of Lark's parse tree, and its span. Out: typed nodes. What always holds: a token becomes a
name, a number or a string, with the span of the token.
"""

from __future__ import annotations

from typing import Any

from lark import Token

from namedlayers.errors import Span
from namedlayers.syntax import literals, tree


def listed(span: Span, items: list[Any]) -> list[Any]:
    return items


def tupled(span: Span, items: list[Any]) -> tuple[Any, ...]:
    return tuple(items)


def only(span: Span, items: list[Any]) -> Any:
    return items[0]


def span_of(token: Token, within: Span) -> Span:
    start, end = token.start_pos, token.end_pos
    assert start is not None and end is not None, "a token of the text has a place in it"
    return Span(within.source, start, end)


def name_of(token: Token, within: Span) -> tree.Name:
    return tree.Name(span_of(token, within), str(token))


def expression(item: Any, within: Span) -> tree.Expr:
    """An operand: a node that is ready, or the token of a name, a number or a string."""
    if not isinstance(item, Token):
        return item
    span = span_of(item, within)
    if item.type == "NUMBER":
        return tree.Number(span, literals.number(str(item)))
    if item.type == "STRING":
        return tree.String(span, literals.string(str(item)))
    return tree.Name(span, str(item))


def expressions(items: list[Any], within: Span) -> tuple[tree.Expr, ...]:
    return tuple(expression(item, within) for item in items)


def optional(item: Any, within: Span) -> tree.Expr | None:
    return None if item is None else expression(item, within)
