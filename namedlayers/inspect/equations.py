"""A definition as the lines that a paper would print: the spaces between which it maps, then its equations.

In: a definition, the namespace that it was written in, the kinds of its tensors as far as they are known. Out: `Line`s.
What always holds: every statement of the definition is there, in its order; nothing is expanded, and no name changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from namedlayers.errors import Span
from namedlayers.inspect import mathematics as m
from namedlayers.inspect import notation
from namedlayers.inspect.mathematics import Math
from namedlayers.inspect.phrases import Scope
from namedlayers.program.elaboration.builtins import BUILTINS
from namedlayers.program.namespace import Namespace, prelude
from namedlayers.program.program import Kind
from namedlayers.syntax import tree
from namedlayers.syntax.limits import children

SPACES = {Kind.BOOL: "B", Kind.INT: "Z", Kind.REAL: "R", Kind.COMPLEX: "C"}

IN_A_LINE = 3
"""So many spaces stand beside one another in a signature."""


@dataclass(frozen=True, slots=True)
class Line:
    """`left` as far as the sign that lines stand under one another by, `right` from there on; `depth` of the blocks
    around it; `span`, the text that it is of."""

    left: Math
    right: Math
    span: Span
    depth: int = 0


def lines_of(
    definition: tree.Definition,
    namespace: Namespace,
    kinds: Mapping[str, Kind] | None = None,
    results: Sequence[tuple[tuple[str, ...], Kind]] | None = None,
) -> list[Line]:
    """The lines of a definition; `results` are the axes of its results, where it does not state them itself, and their
    kinds."""
    scope = _scope(definition, namespace)
    signature = _signature(definition, scope, kinds or {}, results)
    return [*signature, *_Body(definition, scope).lines()]


def nested(found: Iterable[Line]) -> bool:
    """Whether there are blocks, so that lines are told apart by where they begin."""
    return any(line.depth for line in found)


# --- what names mean --------------------------------------------------------------------------------------------------


def _scope(definition: tree.Definition, namespace: Namespace) -> Scope:
    values, axes = {"training"}, set()
    for node in _below(definition):
        if isinstance(node, tree.Axis):
            axes.add(node.name)
        elif isinstance(node, (tree.Parameter, tree.Carry, tree.Declare)):
            values.add(node.name)
        elif isinstance(node, tree.Assign):
            values.update(target.name for target in node.targets)
        elif isinstance(node, tree.Repeat) and node.index is not None:
            values.add(node.index.name)
    own = {*namespace.definitions, *namespace.imported} - (
        {*prelude().definitions} if namespace is prelude() else set()
    )
    return Scope(frozenset(values), frozenset({*namespace.names(), *BUILTINS}), frozenset(own), frozenset(axes))


def _below(node: tree.Node) -> Iterator[tree.Node]:
    for child in children(node):
        yield child
        yield from _below(child)


# --- the signature ----------------------------------------------------------------------------------------------------


def _signature(
    definition: tree.Definition,
    scope: Scope,
    kinds: Mapping[str, Kind],
    results: Sequence[tuple[tuple[str, ...], Kind]] | None,
) -> Iterator[Line]:
    """`f : ℝ^key × ℝ^{seq × key} → ℝ^val`, on several lines where there are many inputs."""
    tensors = [one for one in (*definition.data, *definition.parameters) if one.axes is not None]
    given = [
        _space(SPACES[_kind(one, kinds)], [notation.axes([axis], scope) for axis in one.axes or ()]) for one in tensors
    ]
    spaces = [SPACES[kind] for _, kind in results or ()]
    if definition.results is not None:
        axes = [[notation.axes([axis], scope) for axis in result.axes] for result in definition.results]
        spaces = spaces or ["R"] * len(axes)
    else:
        axes = [[m.axis(axis.lstrip("*"), star=axis.startswith("*")) for axis in one] for one, _ in results or ()]
    to = [_space(space, one) for space, one in zip(spaces, axes, strict=True)]
    name, span = _function(definition, scope), _head(definition)
    if not given or not to:
        return
    rows = [given[at : at + IN_A_LINE] for at in range(0, len(given), IN_A_LINE)]
    for number, row in enumerate(rows):
        start = m.sign("colon") if number == 0 else m.row(m.quad(1), m.sign("times"))
        pieces = [start, m.joined(row, m.sign("times"))]
        if number == len(rows) - 1:
            pieces += [m.sign("->"), m.joined(to, m.sign("times"))]
        yield Line(name if number == 0 else m.NOTHING, m.row(*pieces), span)


def _kind(parameter: tree.Parameter, kinds: Mapping[str, Kind]) -> Kind:
    default = parameter.default
    truth = isinstance(default, tree.Name) and default.name in ("True", "False")
    return kinds.get(parameter.name, Kind.BOOL if truth else Kind.REAL)


def _space(name: str, axes: Sequence[Math]) -> Math:
    return m.sup(m.space_of(name), m.joined(axes, m.sign("times"))) if axes else m.space_of(name)


def _function(definition: tree.Definition, scope: Scope) -> Math:
    """The name of the definition, with its axis parameters."""
    name = m.word(definition.name)
    return m.under(name, notation.axes(definition.axes, scope)) if definition.axes else name


def _head(definition: tree.Definition) -> Span:
    """The text up to the body."""
    until = definition.body[0].span.start if definition.body else definition.span.end
    return Span(definition.span.source, definition.span.start, until)


# --- the equations ----------------------------------------------------------------------------------------------------


class _Body:
    """The lines of a definition's statements. `bound`: names that have a value so far."""

    def __init__(self, definition: tree.Definition, scope: Scope) -> None:
        self.definition, self.scope = definition, scope
        self.bound = {one.name for one in (*definition.data, *definition.parameters)}

    def lines(self) -> Iterator[Line]:
        yield from self.block(self.definition.body, 0)

    def block(self, statements: Sequence[tree.Statement], depth: int) -> Iterator[Line]:
        for statement in statements:
            for line in _STATEMENTS[type(statement)](self, statement):
                yield replace(line, depth=line.depth + depth)

    def math(self, node: tree.Expr) -> Math:
        return notation.expression(node, self.scope)

    def applied(self) -> Math:
        """`f(X, Y; W, k = 2)`."""
        data, rest = (m.joined(map(self.input, some), m.sign(",")) for some in self._inputs())
        arguments = m.row(data, m.sign(";"), rest) if rest.latex else data
        return m.row(_function(self.definition, self.scope), m.fenced("(", arguments))

    def _inputs(self) -> tuple[Sequence[tree.Parameter], Sequence[tree.Parameter]]:
        return self.definition.data, self.definition.parameters

    def input(self, one: tree.Parameter) -> Math:
        name = m.value(one.name)
        return name if one.default is None else m.row(name, m.sign("="), self.math(one.default))


def _assign(body: _Body, node: tree.Assign) -> Iterator[Line]:
    again = any(target.name in body.bound for target in node.targets)
    body.bound.update(target.name for target in node.targets)
    names = m.joined((m.value(target.name) for target in node.targets), m.sign(","))
    yield Line(names, m.row(m.sign("<-" if again else "="), body.math(node.value)), node.span)


def _equation(body: _Body, node: tree.Equation) -> Iterator[Line]:
    yield Line(body.math(node.size), m.row(m.sign("="), body.math(node.value)), node.span)


def _require(body: _Body, node: tree.Require) -> Iterator[Line]:
    why = m.NOTHING if node.message is None else m.row(m.quad(1), m.text(f"({node.message})"))
    yield Line(m.NOTHING, m.row(m.text("where "), body.math(node.condition), why), node.span)


def _return(body: _Body, node: tree.Return) -> Iterator[Line]:
    values = m.joined(map(body.math, node.values), m.sign(","))
    yield Line(body.applied(), m.row(m.sign("="), values), node.span)


def _if(body: _Body, node: tree.If) -> Iterator[Line]:
    words, rest = "if ", node
    before = set(body.bound)
    after = set(before)
    while True:
        yield Line(m.NOTHING, m.row(m.text(words), body.math(rest.condition), m.sign(":")), rest.condition.span)
        yield from body.block(rest.body, 1)
        after |= body.bound
        body.bound = set(before)
        if len(rest.otherwise) != 1 or not isinstance(rest.otherwise[0], tree.If):
            break
        words, rest = "else if ", rest.otherwise[0]
    if rest.otherwise:
        yield Line(m.NOTHING, m.text("otherwise:"), rest.otherwise[0].span)
        yield from body.block(rest.otherwise, 1)
    body.bound |= after


def _repeat(body: _Body, node: tree.Repeat) -> Iterator[Line]:
    count = notation.expression(node.count, body.scope)
    if node.index is None:
        head = m.row(count, m.text(" times:"))
    else:
        last = m.row(count, m.sign("-"), m.number(1))
        rounds = m.joined([m.number(0), m.sign("…"), last], m.sign(","))
        head = m.row(m.text("for "), m.value(node.index.name), m.sign("="), rounds, m.sign(":"))
        body.bound.add(node.index.name)
    yield Line(m.NOTHING, head, _until(node, node.body))
    yield from body.block(node.body, 1)


def _scan(body: _Body, node: tree.Scan) -> Iterator[Line]:
    pieces = [m.text("along "), notation.axes([node.axis], body.scope)]
    pieces += [m.text(", backwards,")] if node.backwards else []
    if node.carries:
        starts = (m.row(m.value(one.name), m.sign("="), body.math(one.start)) for one in node.carries)
        pieces += [m.text(" from "), m.joined(starts, m.sign(","))]
    body.bound.update(one.name for one in node.carries)
    yield Line(m.NOTHING, m.row(*pieces, m.sign(":")), _until(node, node.body))
    yield from body.block(node.body, 1)


def _declare(body: _Body, node: tree.Declare) -> Iterator[Line]:
    body.bound.add(node.name)
    space = _space("R", [notation.axes([axis], body.scope) for axis in node.axes])
    where = m.row(m.sign("in"), space, m.sign("~"), body.math(node.initial))
    kept = m.row(m.quad(1), m.text("(kept)")) if node.kind == "state" else m.NOTHING
    yield Line(m.value(node.name), m.row(where, kept), node.span)


def _until(node: tree.Node, body: Sequence[tree.Statement]) -> Span:
    """The head of a block."""
    return Span(node.span.source, node.span.start, body[0].span.start)


_STATEMENTS: dict[type, Callable[[_Body, Any], Iterator[Line]]] = {
    tree.Assign: _assign,
    tree.Equation: _equation,
    tree.Require: _require,
    tree.Return: _return,
    tree.If: _if,
    tree.Repeat: _repeat,
    tree.Scan: _scan,
    tree.Declare: _declare,
}
