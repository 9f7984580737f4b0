"""Syntax trees to rewrite: where expressions stand, what axes they have, and short ways to make new ones.

In: a `tree.Definition`. Out: its expressions with paths, by which they can be replaced. What always holds: trees are
never changed, only copied; new nodes carry the span of a text of their own, which nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any

from namedlayers.syntax import parse, tree

NEW = "part"
"""How the names begin that cutting makes, of statements and of definitions."""

Path = tuple[str | int, ...]
Axes = frozenset[str] | None
"""The axes of a value; None where they are not known without elaborating."""


@dataclass(frozen=True)
class Place:
    """An expression and where it stands: as a `value`, as a `condition`, or in an `index`, where integers must stay so
    and names are coordinates. `scope` holds the axes of the names that are values there."""

    path: Path
    expr: tree.Expr
    role: str
    scope: Mapping[str, Axes]

    def axes(self, expr: tree.Expr) -> Axes:
        return axes_of(expr, self.scope)

    def scalar(self, expr: tree.Expr) -> bool:
        return self.axes(expr) == frozenset()


def places(definition: tree.Definition) -> Iterator[Place]:
    """Every expression of a definition, outer ones first."""
    scope: dict[str, Axes] = {}
    for one in (*definition.data, *definition.parameters):
        scope[one.name] = frozenset(axis_names(one.axes or ()))
    yield from _in_block(definition.body, ("body",), scope)


def get(node: Any, path: Path) -> Any:
    """What stands at a path."""
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
    return node


def put(node: Any, path: Path, new: Any) -> Any:
    """The tree with something else at a path."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return (*node[:step], put(node[step], rest, new), *node[step + 1 :])
    return replace(node, **{step: put(getattr(node, step), rest, new)})


def in_order(definition: tree.Definition) -> bool:
    """Whether every axis that a size names is an input's or was introduced before, in the order of the text."""
    known = {axis for one in (*definition.data, *definition.parameters) for axis in axis_names(one.axes or ())}
    for node in nodes(definition.body):
        if isinstance(node, tree.Call) and called(node, True) in MAKING or isinstance(node, tree.Index):
            known |= {axis for one in node.entries or () for axis in axis_names([one.source, one.target or one.source])}
        if isinstance(node, tree.SizeOf) and not {axis.name for axis in node.axes} <= known:
            return False
    return True


def substituted(node: Any, old: tree.Name, new: tree.Expr) -> Any:
    """With an expression wherever a value's name stands."""
    if node == old:
        return new
    if isinstance(node, tuple):
        return tuple(substituted(one, old, new) for one in node)
    if not isinstance(node, tree.Node):
        return node
    return replace(
        node,
        **{
            one.name: substituted(getattr(node, one.name), old, new)
            for one in fields(node)
            if one.name not in ("span", "function")
        },
    )


def axis_names(items: Iterable[tree.Axis | tree.Group]) -> list[str]:
    return [axis.name for item in items for axis in (item.items if isinstance(item, tree.Group) else (item,))]


def nodes(node: Any) -> Iterator[tree.Node]:
    """A node and all below it."""
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, tuple):
            left.extend(reversed(node))
        elif isinstance(node, tree.Node):
            yield node
            left.extend(getattr(node, name) for name in _names_below(type(node)))


@cache
def _names_below(kind: type[tree.Node]) -> tuple[str, ...]:
    return tuple(one.name for one in reversed(fields(kind)) if one.name != "span") if is_dataclass(kind) else ()


# --- making expressions -----------------------------------------------------------------------------------------------

SPAN = parse("def f() = 0\n").span


def number(value: int | float) -> tree.Expr:
    return negative(tree.Number(SPAN, -value)) if value < 0 else tree.Number(SPAN, value)


def name(text: str) -> tree.Name:
    return tree.Name(SPAN, text)


def negative(x: tree.Expr) -> tree.Expr:
    return tree.Unary(SPAN, "-", x)


def binary(op: str, left: tree.Expr, right: tree.Expr) -> tree.Expr:
    return tree.Binary(SPAN, op, left, right)


def compare(op: str, left: tree.Expr, right: tree.Expr) -> tree.Expr:
    return tree.Compare(SPAN, (left, right), (op,))


def call(function: str, *args: tree.Expr, axes: Iterable[str] | None = None) -> tree.Expr:
    entries = None if axes is None else tuple(tree.Entry(SPAN, tree.Axis(SPAN, a)) for a in axes)
    return tree.Call(SPAN, name(function), entries, (), tuple(tree.Argument(SPAN, None, a) for a in args), ())


def contract(axes: Iterable[str], left: tree.Expr, right: tree.Expr) -> tree.Expr:
    return tree.Contract(SPAN, left, tuple(tree.Axis(SPAN, a) for a in axes), right)


MINUS_INF = negative(name("inf"))


# --- taking expressions apart -----------------------------------------------------------------------------------------


def called(expr: tree.Expr, options: bool = False) -> str | None:
    """The name of the definition that is called, if it is one; without options unless they do not matter."""
    if isinstance(expr, tree.Call) and isinstance(expr.function, tree.Name) and (options or not expr.options):
        return expr.function.name
    return None


def arguments(expr: tree.Expr) -> tuple[tree.Expr, ...]:
    return tuple(one.value for one in expr.args) if isinstance(expr, tree.Call) else ()


def reduced(expr: tree.Expr, op: str) -> tuple[tuple[str, ...], tree.Expr] | None:
    """`(axes, operand)` of `op[axes](operand)`."""
    if called(expr) != op or not isinstance(expr, tree.Call) or expr.entries is None or len(expr.args) != 1:
        return None
    sources = [entry.source for entry in expr.entries]
    if not all(isinstance(one, tree.Axis) and not one.star for one in sources):
        return None
    return tuple(axis_names(sources)), expr.args[0].value


def is_boolean(expr: tree.Expr) -> bool:
    if isinstance(expr, tree.Name):
        return expr.name in ("True", "False")
    if isinstance(expr, tree.Binary):
        return expr.op in ("and", "or")
    return isinstance(expr, tree.Compare) or isinstance(expr, tree.Unary) and expr.op == "not"


def coordinates_only(expr: tree.Expr, scope: Mapping[str, Axes]) -> bool:
    """Whether an expression is an integer made of coordinates, sizes and literals."""
    if isinstance(expr, tree.Name):
        return expr.name not in scope and expr.name not in CONSTANTS
    if isinstance(expr, tree.Number):
        return isinstance(expr.value, int)
    if isinstance(expr, tree.Binary):
        return expr.op in "+-*" and all(coordinates_only(one, scope) for one in (expr.left, expr.right))
    return isinstance(expr, tree.SizeOf)


# --- axes -------------------------------------------------------------------------------------------------------------

CONSTANTS = frozenset({"inf", "nan", "pi", "True", "False", "training"})
REDUCTIONS = frozenset("sum prod max min mean var std norm logsumexp any all argmax argmin".split())
ALONG = frozenset(
    "softmax log_softmax standardize cumsum cumprod cummax logcumsumexp flip roll pad sort argsort concat".split()
)
MAKING = frozenset("unroll pool one_hot zeros ones eye index".split())


def axes_of(expr: tree.Expr, scope: Mapping[str, Axes]) -> Axes:
    """The axes of an expression as far as its text tells."""
    if isinstance(expr, tree.Number | tree.String | tree.SizeOf):
        return frozenset()
    if isinstance(expr, tree.Name):
        return frozenset() if expr.name in CONSTANTS else scope.get(expr.name, frozenset({expr.name}))
    if isinstance(expr, tree.Index):
        return _of_index(expr, scope)
    if isinstance(expr, tree.Call):
        return _of_call(expr, scope)
    if isinstance(expr, tree.Contract):
        both = _union([expr.left, expr.right], scope)
        return None if both is None else both - set(axis_names(expr.axes))
    if isinstance(expr, tree.Unary):
        return axes_of(expr.operand, scope)
    if isinstance(expr, tree.Binary):
        return _union([expr.left, expr.right], scope)
    return _union(expr.operands, scope) if isinstance(expr, tree.Compare) else None


def _union(parts: Iterable[tree.Expr], scope: Mapping[str, Axes]) -> Axes:
    found: frozenset[str] = frozenset()
    for part in parts:
        axes = axes_of(part, scope)
        if axes is None:
            return None
        found |= axes
    return found


def _of_index(expr: tree.Index, scope: Mapping[str, Axes]) -> Axes:
    if _is_definition(expr.base, scope):
        return frozenset(axis_names(entry.source for entry in expr.entries))
    axes = axes_of(expr.base, scope)
    if axes is None:
        return None
    gone: set[str] = set()
    new: set[str] = set()
    for entry in expr.entries:
        if isinstance(entry.value, tree.Slice):
            continue
        gone |= set(axis_names([entry.source]))
        if entry.target is not None:
            new |= set(axis_names([entry.target]))
        if entry.value is not None:
            more = axes_of(entry.value, scope)
            if more is None:
                return None
            new |= more
    return (axes - gone) | new


def _of_call(expr: tree.Call, scope: Mapping[str, Axes]) -> Axes:
    axes = _union([one.value for one in expr.args], scope)
    if axes is None or not isinstance(expr.function, tree.Name):
        return None
    if expr.entries is None:
        return None if expr.function.name.startswith(NEW) else axes
    named = axis_names([entry.source for entry in expr.entries])
    function = expr.function.name
    if function == "fold":
        return axes - set(named[len(named) // 2 :])
    if function in REDUCTIONS:
        return axes - set(named)
    return axes | set(named) if function in MAKING else axes if function in ALONG else None


# --- where expressions stand ------------------------------------------------------------------------------------------


def _in_block(block: tuple[tree.Statement, ...], path: Path, scope: dict[str, Axes]) -> Iterator[Place]:
    for k, statement in enumerate(block):
        here = (*path, k)
        if isinstance(statement, tree.Return):
            for j, value in enumerate(statement.values):
                yield from _below(value, (*here, "values", j), "value", dict(scope))
        elif isinstance(statement, tree.Assign):
            yield from _below(statement.value, (*here, "value"), "value", dict(scope))
            axes = axes_of(statement.value, scope) if len(statement.targets) == 1 else None
            scope |= {target.name: axes for target in statement.targets}
        elif isinstance(statement, tree.Scan):
            for j, carry in enumerate(statement.carries):
                yield from _below(carry.start, (*here, "carries", j, "start"), "value", dict(scope))
            inside = {one: axes and axes - {statement.axis.name} for one, axes in scope.items()}
            yield from _in_block(
                statement.body, (*here, "body"), inside | {carry.name: None for carry in statement.carries}
            )
            scope |= dict.fromkeys(_assigned(statement.body))


def _assigned(block: tuple[tree.Statement, ...]) -> set[str]:
    return {node.name for one in nodes(block) if isinstance(one, tree.Assign) for node in one.targets}


def _below(expr: tree.Expr, path: Path, role: str, scope: Mapping[str, Axes]) -> Iterator[Place]:
    if expr == MINUS_INF or isinstance(expr, tree.Index) and _is_definition(expr.base, scope):
        return
    if is_boolean(expr):
        role = "condition"
    elif coordinates_only(expr, scope) and not isinstance(expr, tree.Number):
        role = "index"
    yield Place(path, expr, role, scope)
    for step, part, inner in _parts(expr, role):
        yield from _below(part, (*path, *step), inner, scope)


def _is_definition(expr: tree.Expr, scope: Mapping[str, Axes]) -> bool:
    """Of `zeros` in `zeros[i]`."""
    return isinstance(expr, tree.Name) and expr.name not in scope


def _parts(expr: tree.Expr, role: str) -> Iterator[tuple[Path, tree.Expr, str]]:
    if role == "condition" and isinstance(expr, tree.Compare):
        role = "value"
    if isinstance(expr, tree.Unary):
        yield ("operand",), expr.operand, role
    elif isinstance(expr, tree.Binary | tree.Contract):
        yield ("left",), expr.left, role
        yield ("right",), expr.right, role
    elif isinstance(expr, tree.Compare):
        for k, operand in enumerate(expr.operands):
            yield ("operands", k), operand, role
    elif isinstance(expr, tree.Index):
        yield ("base",), expr.base, role
        for k, entry in enumerate(expr.entries):
            if entry.value is not None and not isinstance(entry.value, tree.Slice):
                yield ("entries", k, "value"), entry.value, "index"
    elif isinstance(expr, tree.Call):
        for k, one in enumerate(expr.args):
            first = k == 0 and isinstance(expr.function, tree.Name) and expr.function.name == "where"
            yield ("args", k, "value"), one.value, "condition" if first else role
