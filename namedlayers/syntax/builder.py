"""From Lark's parse tree to typed nodes.

In: the parse tree of a text. Out: its `Module`. One function a rule of the grammar, named after it; each gets the span
of the rule and what its children became: nodes for rules, Lark's tokens for names and signs, None for what was left
out. The parse tree is walked from the leaves up, without recursion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lark import Token, Tree

from namedlayers.errors import FormulaSyntaxError, Label, Source, Span
from namedlayers.syntax import literals, tree


def build(parsed: Tree[Token], source: Source, comments: tuple[tuple[int, int, str], ...]) -> tree.Module:
    """The nodes of a whole text."""
    built: dict[int, Any] = {}
    for part in parsed.iter_subtrees():
        meta = part.meta
        span = Span(source, 0, 0) if meta.empty else Span(source, meta.start_pos, meta.end_pos)
        items = [built.pop(id(child)) if isinstance(child, Tree) else child for child in part.children]
        built[id(part)] = _RULES[str(part.data)](span, items)
    return tree.Module(Span(source, 0, len(source.text)), tuple(built[id(parsed)]), comments)


# --- definitions ------------------------------------------------------------------------------------------------------


def _import_module(span: Span, items: list[Any]) -> tree.Import:
    return tree.Import(span, str(items[0]), None)


def _import_names(span: Span, items: list[Any]) -> tree.Import:
    return tree.Import(span, str(items[0]), tuple(_name(token, span) for token in items[1:]))


def _definition(span: Span, items: list[Any]) -> tree.Definition:
    kind, name, axes, data, parameters, results, (inline, body) = items
    return tree.Definition(
        span,
        str(kind),
        str(name),
        axes or (),
        tuple(data),
        tuple(parameters or ()),
        None if results is None else tuple(results),
        tuple(body),
        inline,
    )


def _parameter(span: Span, items: list[Any]) -> tree.Parameter:
    name, axes, default = items
    return tree.Parameter(span, str(name), axes, _optional(default, span))


def _result(span: Span, items: list[Any]) -> tree.Result:
    return tree.Result(span, tuple(items))


def _inline(span: Span, items: list[Any]) -> tuple[bool, list[tree.Statement]]:
    value = _expression(items[0], span)
    return True, [tree.Return(value.span, (value,))]


def _suite(span: Span, items: list[Any]) -> tuple[bool, list[tree.Statement]]:
    return False, items


# --- statements -------------------------------------------------------------------------------------------------------


def _assign(span: Span, items: list[Any]) -> tree.Assign:
    return tree.Assign(span, items[0], _expression(items[1], span))


def _targets(span: Span, items: list[Any]) -> tuple[tree.Name, ...]:
    return tuple(_name(token, span) for token in items)


def _equation(span: Span, items: list[Any]) -> tree.Equation:
    return tree.Equation(span, items[0], _expression(items[1], span))


def _declare(span: Span, items: list[Any]) -> tree.Declare:
    kind, name, axes, initial = items
    return tree.Declare(span, str(kind), str(name), axes, _expression(initial, span))


def _require(span: Span, items: list[Any]) -> tree.Require:
    condition, message = items
    return tree.Require(span, _expression(condition, span), None if message is None else literals.string(str(message)))


def _return(span: Span, items: list[Any]) -> tree.Return:
    return tree.Return(span, _expressions(items, span))


def _if(span: Span, items: list[Any]) -> tree.If:
    condition, (_, body), *branches = items
    otherwise: tuple[tree.Statement, ...] = ()
    end = span.end
    for start, test, statements in reversed(branches):
        if test is None:
            otherwise = statements
        else:
            otherwise = (tree.If(Span(span.source, start, end), test, statements, otherwise),)
    return tree.If(span, _expression(condition, span), tuple(body), otherwise)


def _elif(span: Span, items: list[Any]) -> tuple[int, tree.Expr, tuple[tree.Statement, ...]]:
    condition, (_, body) = items
    return span.start, _expression(condition, span), tuple(body)


def _else(span: Span, items: list[Any]) -> tuple[int, None, tuple[tree.Statement, ...]]:
    return span.start, None, tuple(items[0][1])


def _repeat(span: Span, items: list[Any]) -> tree.Repeat:
    count, *index, (_, body) = items  # lark leaves no placeholder for the inlined rule of names
    name = _name(index[0], span) if index and index[0] is not None else None
    return tree.Repeat(span, _expression(count, span), name, tuple(body))


def _scan(span: Span, items: list[Any]) -> tree.Scan:
    axis, backwards, carries, (_, body) = items
    return tree.Scan(span, axis, backwards is not None, tuple(carries or ()), tuple(body))


def _scanned(span: Span, items: list[Any]) -> tree.Axis:
    name, size = items
    return tree.Axis(span, str(name), False, _optional(size, span))


def _carry(span: Span, items: list[Any]) -> tree.Carry:
    return tree.Carry(span, str(items[0]), _expression(items[1], span))


# --- axes -------------------------------------------------------------------------------------------------------------


def _axis(span: Span, items: list[Any]) -> tree.Axis:
    star, name = items
    return tree.Axis(span, str(name), star is not None)


def _sized_axis(span: Span, items: list[Any]) -> tree.Axis:
    star, name, size = items
    return tree.Axis(span, str(name), star is not None, _optional(size, span))


def _group(span: Span, items: list[Any]) -> tree.Group:
    return tree.Group(span, tuple(items))


def _entry(span: Span, items: list[Any]) -> tree.Entry:
    return tree.Entry(span, items[0])


def _valued(span: Span, items: list[Any]) -> tree.Entry:
    source, value = items
    return tree.Entry(span, source, None, value if isinstance(value, tree.Slice) else _expression(value, span))


def _directed(span: Span, items: list[Any]) -> tree.Entry:
    source, size, target = items
    if size is None:
        return tree.Entry(span, source, target)
    value = _expression(size, span)
    if isinstance(source, tree.Group):
        raise FormulaSyntaxError(
            "NL0125",
            "a size belongs to one axis, not to a group",
            Label(value.span),
            hint="write the size inside the group: `(heads = 8, key)`",
        )
    return tree.Entry(span, tree.Axis(source.span.to(value.span), source.name, source.star, value), target)


def _slice(span: Span, items: list[Any]) -> tree.Slice:
    start, stop, step = (_optional(item, span) for item in items)
    return tree.Slice(span, start, stop, step)


# --- expressions ------------------------------------------------------------------------------------------------------


def _binary(span: Span, items: list[Any]) -> tree.Binary:
    left, sign, right = items
    op = "^" if sign == "**" else str(sign)
    return tree.Binary(span, op, _expression(left, span), _expression(right, span))


def _unary(span: Span, items: list[Any]) -> tree.Unary:
    return tree.Unary(span, str(items[0]), _expression(items[1], span))


def _compare(span: Span, items: list[Any]) -> tree.Compare:
    return tree.Compare(span, _expressions(items[::2], span), tuple(map(str, items[1::2])))


def _contract(span: Span, items: list[Any]) -> tree.Contract:
    left, _, axes, right = items
    return tree.Contract(span, _expression(left, span), axes, _expression(right, span))


def _attribute(span: Span, items: list[Any]) -> tree.Attribute:
    return tree.Attribute(span, _expression(items[0], span), str(items[1]))


def _index(span: Span, items: list[Any]) -> tree.Index:
    base, entries, options = items
    return tree.Index(span, _expression(base, span), entries, tuple(options or ()))


def _call(span: Span, items: list[Any]) -> tree.Call:
    function, args, options = items
    arguments = _arguments(args, span)
    settings = _arguments(options or (), span)
    _check_order(arguments + settings)
    function = _expression(function, span)
    if isinstance(function, tree.Index):
        return tree.Call(span, function.base, function.entries, function.options, arguments, settings)
    return tree.Call(span, function, None, (), arguments, settings)


def _arguments(items: Any, span: Span) -> tuple[tree.Argument, ...]:
    return tuple(item if isinstance(item, tree.Argument) else _positional(item, span) for item in items)


def _positional(item: Any, span: Span) -> tree.Argument:
    value = _expression(item, span)
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
    return tree.Argument(span, str(items[0]), _expression(items[1], span))


def _size(span: Span, items: list[Any]) -> tree.SizeOf:
    return tree.SizeOf(span, tuple(items))


def _parenthesis(span: Span, items: list[Any]) -> tree.Expr:
    return _expression(items[0], span)


def _tuple(span: Span, items: list[Any]) -> tree.Tuple:
    return tree.Tuple(span, _expressions(items, span))


# --- leaves -----------------------------------------------------------------------------------------------------------


def _items(span: Span, items: list[Any]) -> list[Any]:
    return items


def _axes(span: Span, items: list[Any]) -> tuple[Any, ...]:
    return tuple(items)


def _only(span: Span, items: list[Any]) -> Any:
    return items[0]


def _span(token: Token, within: Span) -> Span:
    start, end = token.start_pos, token.end_pos
    assert start is not None and end is not None, "a token of the text has a place in it"
    return Span(within.source, start, end)


def _name(token: Token, within: Span) -> tree.Name:
    return tree.Name(_span(token, within), str(token))


def _expression(item: Any, within: Span) -> tree.Expr:
    """An operand: a node that is ready, or the token of a name, a number or a string."""
    if not isinstance(item, Token):
        return item
    span = _span(item, within)
    if item.type == "NUMBER":
        return tree.Number(span, literals.number(str(item)))
    if item.type == "STRING":
        return tree.String(span, literals.string(str(item)))
    return tree.Name(span, str(item))


def _expressions(items: list[Any], within: Span) -> tuple[tree.Expr, ...]:
    return tuple(_expression(item, within) for item in items)


def _optional(item: Any, within: Span) -> tree.Expr | None:
    return None if item is None else _expression(item, within)


_RULES: dict[str, Callable[[Span, list[Any]], Any]] = {
    "start": _items,
    "import_module": _import_module,
    "import_names": _import_names,
    "definition": _definition,
    "axis_parameters": _only,
    "parameters": _items,
    "parameter": _parameter,
    "declared": _axes,
    "results": _items,
    "result": _result,
    "inline": _inline,
    "suite": _suite,
    "assign": _assign,
    "targets": _targets,
    "equation": _equation,
    "declare": _declare,
    "require": _require,
    "return_": _return,
    "if_": _if,
    "elif_": _elif,
    "else_": _else,
    "repeat": _repeat,
    "scan": _scan,
    "scanned": _scanned,
    "carries": _items,
    "carry": _carry,
    "axis": _axis,
    "sized_axis": _sized_axis,
    "group": _group,
    "entries": _axes,
    "entry": _entry,
    "valued": _valued,
    "directed": _directed,
    "slice": _slice,
    "binary": _binary,
    "unary": _unary,
    "compare": _compare,
    "contract": _contract,
    "contracted": _axes,
    "attribute": _attribute,
    "index": _index,
    "call": _call,
    "arguments": _items,
    "options": _items,
    "named": _named,
    "size": _size,
    "tuple": _tuple,
    "parenthesis": _parenthesis,
}
