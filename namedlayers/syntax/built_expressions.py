"""The rules of axes and expressions: from the children of Lark's nodes to typed nodes.

In: the span of a rule and what its children became. Out: its node. What always holds: one function a rule of the
grammar, by its name in the table at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from namedlayers.errors import FormulaSyntaxError, Label, Span
from namedlayers.syntax import tree
from namedlayers.syntax.leaves import expression, expressions, listed, optional, tupled

# --- axes -------------------------------------------------------------------------------------------------------------


def _axis(span: Span, items: list[Any]) -> tree.Axis:
    star, name = items
    return tree.Axis(span, str(name), star is not None)


def _sized_axis(span: Span, items: list[Any]) -> tree.Axis:
    star, name, size = items
    return tree.Axis(span, str(name), star is not None, optional(size, span))


def _group(span: Span, items: list[Any]) -> tree.Group:
    return tree.Group(span, tuple(items))


def _entry(span: Span, items: list[Any]) -> tree.Entry:
    return tree.Entry(span, items[0])


def _valued(span: Span, items: list[Any]) -> tree.Entry:
    source, value = items
    return tree.Entry(span, source, None, value if isinstance(value, tree.Slice) else expression(value, span))


def _directed(span: Span, items: list[Any]) -> tree.Entry:
    source, size, target = items
    if size is None:
        return tree.Entry(span, source, target)
    value = expression(size, span)
    if isinstance(source, tree.Group):
        raise FormulaSyntaxError(
            "NL0125",
            "a size belongs to one axis, not to a group",
            Label(value.span),
            hint="write the size inside the group: `(heads = 8, key)`",
        )
    return tree.Entry(span, tree.Axis(source.span.to(value.span), source.name, source.star, value), target)


def _slice(span: Span, items: list[Any]) -> tree.Slice:
    start, stop, step = (optional(item, span) for item in items)
    return tree.Slice(span, start, stop, step)


# --- expressions ------------------------------------------------------------------------------------------------------


def _binary(span: Span, items: list[Any]) -> tree.Binary:
    left, sign, right = items
    op = "^" if sign == "**" else str(sign)
    return tree.Binary(span, op, expression(left, span), expression(right, span))


def _unary(span: Span, items: list[Any]) -> tree.Unary:
    return tree.Unary(span, str(items[0]), expression(items[1], span))


def _compare(span: Span, items: list[Any]) -> tree.Compare:
    return tree.Compare(span, expressions(items[::2], span), tuple(map(str, items[1::2])))


def _contract(span: Span, items: list[Any]) -> tree.Contract:
    left, _, axes, right = items
    return tree.Contract(span, expression(left, span), axes, expression(right, span))


def _attribute(span: Span, items: list[Any]) -> tree.Attribute:
    return tree.Attribute(span, expression(items[0], span), str(items[1]))


def _index(span: Span, items: list[Any]) -> tree.Index:
    base, entries, options = items
    return tree.Index(span, expression(base, span), entries, tuple(options or ()))


def _call(span: Span, items: list[Any]) -> tree.Call:
    function, args, options = items
    arguments = _arguments(args, span)
    settings = _arguments(options or (), span)
    _check_order(arguments + settings)
    function = expression(function, span)
    if isinstance(function, tree.Index):
        return tree.Call(span, function.base, function.entries, function.options, arguments, settings)
    return tree.Call(span, function, None, (), arguments, settings)


def _arguments(items: Any, span: Span) -> tuple[tree.Argument, ...]:
    return tuple(item if isinstance(item, tree.Argument) else _positional(item, span) for item in items)


def _positional(item: Any, span: Span) -> tree.Argument:
    value = expression(item, span)
    return tree.Argument(value.span, None, value)


def _check_order(arguments: tuple[tree.Argument, ...]) -> None:
    named = None
    for argument in arguments:
        if argument.name is not None:
            named = argument
        elif named is not None:
            raise FormulaSyntaxError(
                "NL0134",
                "an argument without a name follows one with a name",
                Label(argument.span, "its place no longer says which argument it is"),
                Label(named.span, "named"),
                hint="put arguments without names first",
            )


def _named(span: Span, items: list[Any]) -> tree.Argument:
    return tree.Argument(span, str(items[0]), expression(items[1], span))


def _size(span: Span, items: list[Any]) -> tree.SizeOf:
    return tree.SizeOf(span, tuple(items))


def _parenthesis(span: Span, items: list[Any]) -> tree.Expr:
    return expression(items[0], span)


def _tuple(span: Span, items: list[Any]) -> tree.Tuple:
    return tree.Tuple(span, expressions(items, span))


EXPRESSIONS: dict[str, Callable[[Span, list[Any]], Any]] = {
    "axis": _axis,
    "sized_axis": _sized_axis,
    "group": _group,
    "entries": tupled,
    "entry": _entry,
    "valued": _valued,
    "directed": _directed,
    "slice": _slice,
    "binary": _binary,
    "unary": _unary,
    "compare": _compare,
    "contract": _contract,
    "contracted": tupled,
    "attribute": _attribute,
    "index": _index,
    "call": _call,
    "arguments": listed,
    "options": listed,
    "named": _named,
    "size": _size,
    "tuple": _tuple,
    "parenthesis": _parenthesis,
}
