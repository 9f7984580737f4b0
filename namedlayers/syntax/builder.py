"""From Lark's parse tree to typed nodes.

In: the parse tree of a text. Out: its `Module`. One function a rule of the grammar, named after it; each gets the span
of the rule and what its children became: nodes for rules, Lark's tokens for names and signs, None for what was left
out. The parse tree is walked from the leaves up, without recursion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lark import Token, Tree

from namedlayers.errors import Source, Span
from namedlayers.syntax import literals, tree
from namedlayers.syntax.built_expressions import EXPRESSIONS
from namedlayers.syntax.leaves import expression, expressions, listed, name_of, only, optional, tupled


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
    return tree.Import(span, str(items[0]), tuple(name_of(token, span) for token in items[1:]))


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
    return tree.Parameter(span, str(name), axes, optional(default, span))


def _result(span: Span, items: list[Any]) -> tree.Result:
    return tree.Result(span, tuple(items))


def _inline(span: Span, items: list[Any]) -> tuple[bool, list[tree.Statement]]:
    value = expression(items[0], span)
    return True, [tree.Return(value.span, (value,))]


def _suite(span: Span, items: list[Any]) -> tuple[bool, list[tree.Statement]]:
    return False, items


# --- statements -------------------------------------------------------------------------------------------------------


def _assign(span: Span, items: list[Any]) -> tree.Assign:
    return tree.Assign(span, items[0], expression(items[1], span))


def _targets(span: Span, items: list[Any]) -> tuple[tree.Name, ...]:
    return tuple(name_of(token, span) for token in items)


def _equation(span: Span, items: list[Any]) -> tree.Equation:
    return tree.Equation(span, items[0], expression(items[1], span))


def _declare(span: Span, items: list[Any]) -> tree.Declare:
    kind, name, axes, initial = items
    return tree.Declare(span, str(kind), str(name), axes, expression(initial, span))


def _require(span: Span, items: list[Any]) -> tree.Require:
    condition, message = items
    return tree.Require(span, expression(condition, span), None if message is None else literals.string(str(message)))


def _return(span: Span, items: list[Any]) -> tree.Return:
    return tree.Return(span, expressions(items, span))


def _if(span: Span, items: list[Any]) -> tree.If:
    condition, (_, body), *branches = items
    otherwise: tuple[tree.Statement, ...] = ()
    end = span.end
    for start, test, statements in reversed(branches):
        if test is None:
            otherwise = statements
        else:
            otherwise = (tree.If(Span(span.source, start, end), test, statements, otherwise),)
    return tree.If(span, expression(condition, span), tuple(body), otherwise)


def _elif(span: Span, items: list[Any]) -> tuple[int, tree.Expr, tuple[tree.Statement, ...]]:
    condition, (_, body) = items
    return span.start, expression(condition, span), tuple(body)


def _else(span: Span, items: list[Any]) -> tuple[int, None, tuple[tree.Statement, ...]]:
    return span.start, None, tuple(items[0][1])


def _repeat(span: Span, items: list[Any]) -> tree.Repeat:
    count, *index, (_, body) = items  # lark leaves no placeholder for the inlined rule of names
    name = name_of(index[0], span) if index and index[0] is not None else None
    return tree.Repeat(span, expression(count, span), name, tuple(body))


def _scan(span: Span, items: list[Any]) -> tree.Scan:
    axis, backwards, carries, (_, body) = items
    return tree.Scan(span, axis, backwards is not None, tuple(carries or ()), tuple(body))


def _scanned(span: Span, items: list[Any]) -> tree.Axis:
    name, size = items
    return tree.Axis(span, str(name), False, optional(size, span))


def _carry(span: Span, items: list[Any]) -> tree.Carry:
    return tree.Carry(span, str(items[0]), expression(items[1], span))


_RULES: dict[str, Callable[[Span, list[Any]], Any]] = EXPRESSIONS | {
    "start": listed,
    "import_module": _import_module,
    "import_names": _import_names,
    "definition": _definition,
    "axis_parameters": only,
    "parameters": listed,
    "parameter": _parameter,
    "declared": tupled,
    "results": listed,
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
    "carries": listed,
    "carry": _carry,
}
