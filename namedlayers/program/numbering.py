"""From terms to a graph: every value gets a number, and equal values get the same one.

In: a program. Out: a `Graph`, in which values are equal modulo the names of their axes, across statements. What always
holds: linear in the size of the program; inputs come first, in their order, used or not; the order of a node's axes and
of commuting operands follows from the operands alone, never from names or hash seeds. A body is numbered in the same
way, into a graph of its own (`regions`).

The order of axes: an input's as declared; an elementwise operation's by first appearance through its operands (of a
commuting operation, the older node first); a reduction's as in its operand; a primitive's as `numbered` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.errors import Span
from namedlayers.program import numbered
from namedlayers.program.graph import Arg, Graph
from namedlayers.program.kinds import kind_of, result_kind
from namedlayers.program.numbered import Placed
from namedlayers.program.program import Body, Input, Kind, Program, Statement
from namedlayers.program.regions import BUNDLES, Regions, taken
from namedlayers.program.size import SizeExpr, size_expr
from namedlayers.program.term_kinds import BUNDLE, primitive_kind
from namedlayers.program.terms import (
    REDUCE_OF,
    Axes,
    Const,
    Coord,
    Leaf,
    Literal,
    Operand,
    Primitive,
    Ref,
    SizeOf,
    literal_key,
    operation_name,
)
from namedlayers.program.walk import subterms

COMMUTATIVE = frozenset("add mul and or eq ne maximum minimum logaddexp".split())


def number(program: Program) -> Graph:
    """The program as a graph, its outputs in order."""
    # A number given at the call has no precision of its own, nor has an integer.
    weak = [given.kind < Kind.REAL or given.role == "option" for given in program.inputs]
    graph = _numbered(program, weak, Regions(_numbered))
    graph.states = frozenset(given.name for given in program.inputs if given.role == "state")
    graph.stored = frozenset(range(len(program.outputs))[len(program.outputs) - len(program.writes) :])
    return graph


def _numbered(block: Program | Body, weak: Sequence[bool], regions: Regions) -> Graph:
    graph = Graph()
    numbering = _Numbering(graph, {}, {}, {}, regions)
    for given, is_weak in zip(block.inputs, weak, strict=True):
        numbering.input(given, is_weak)
    for statement in block.statements:
        numbering.statement(statement)
    for output in block.outputs:
        value = numbering.scope[output.value]
        graph.outputs.append(Arg(value.node, tuple(output.axes.index(name) for name in value.names)))
    return graph


@dataclass(frozen=True, slots=True)
class _Numbering:
    """`scope`: the values by name, with their axes' names; `axes`: those names in the statements' order, to which
    leaves refer; `found`: terms that have their number."""

    graph: Graph
    scope: dict[str, Placed]
    axes: dict[str, tuple[str, ...]]
    found: dict[Funsor, Placed]
    regions: Regions

    def input(self, given: Input, weak: bool) -> None:
        names = tuple(name for name, _ in given.axes)
        sizes = tuple(size for _, size in given.axes)
        attrs = {"name": given.name}
        node = self.graph.node(
            "input", (), sizes, len(sizes), given.kind, attrs=attrs, weak=weak, names=names, spans=(given.span,)
        )
        self.scope[given.name] = Placed(node, names)
        self.axes[given.name] = names

    def statement(self, statement: Statement) -> None:
        spans = (statement.source,)
        for term in subterms(statement.term):
            if term not in self.found or self.regions.redrawn(term):
                self.found[term] = self.term(term, spans)
        self.scope[statement.name] = self.found[statement.term]
        self.axes[statement.name] = tuple(name for name, _ in statement.axes)

    # --- terms --------------------------------------------------------------------------------------------------------

    def term(self, term: Funsor, spans: tuple[Span, ...]) -> Placed:
        if isinstance(term, Unary):
            return self.elementwise(operation_name(term.op), (self.found[term.arg],), spans)
        if isinstance(term, Binary):
            return self.elementwise(operation_name(term.op), (self.found[term.lhs], self.found[term.rhs]), spans)
        if isinstance(term, Reduce):
            gone = frozenset(variable.name for variable in term.reduced_vars)
            return self.reduction(REDUCE_OF[term.op], self.found[term.arg], gone, spans)
        if isinstance(term, Leaf):
            return self.leaf(term.name, term.axes)
        if isinstance(term, Const):
            return self.const(term.value, spans)
        if isinstance(term, SizeOf):
            return self.size(size_expr(term.size), spans)
        if isinstance(term, Coord):
            space, names = (size_expr(term.size),), (term.axis,)
            node = self.graph.node("coord", (), space, 1, Kind.INT, names=_shown(names), spans=spans)
            return Placed(node, names)
        assert isinstance(term, Primitive), f"no term of a program: {type(term).__name__}"
        return self.primitive(term, spans)

    def leaf(self, name: str, axes: Axes) -> Placed:
        value = self.scope[name]
        new = dict(zip(self.axes[name], (axis for axis, _ in axes), strict=True))
        return Placed(value.node, tuple(new[axis] for axis in value.names))

    def const(self, value: bool | int | float | complex, spans: tuple[Span, ...]) -> Placed:
        kind, digits = literal_key(value)
        attrs = {"kind": kind, "digits": digits}
        return Placed(self.graph.node("const", (), (), 0, kind_of(value), attrs=attrs, spans=spans), ())

    def size(self, size: SizeExpr, spans: tuple[Span, ...]) -> Placed:
        if size.value is not None:
            return self.const(size.value, spans)
        return Placed(self.graph.node("size", (), (), 0, Kind.INT, attrs={"expr": size}, spans=spans), ())

    def elementwise(self, op: str, operands: tuple[Placed, ...], spans: tuple[Span, ...]) -> Placed:
        if op in COMMUTATIVE:
            operands = _in_order(*operands)
        names = tuple(dict.fromkeys(name for operand in operands for name in operand.names))
        sizes = _sizes(*operands)
        args = tuple(operand.arg(names) for operand in operands)
        kind = result_kind(op, [operand.node.kind for operand in operands])
        space = tuple(sizes[name] for name in names)
        return Placed(self.graph.node(op, args, space, len(names), kind, names=_shown(names), spans=spans), names)

    def reduction(self, op: str, operand: Placed, gone: frozenset[str], spans: tuple[Span, ...]) -> Placed:
        kept = tuple(name for name in operand.names if name not in gone)
        positions = kept + tuple(name for name in operand.names if name in gone)
        sizes = _sizes(operand)
        node = self.graph.node(
            "reduce",
            (operand.arg(positions),),
            tuple(sizes[name] for name in positions),
            len(kept),
            result_kind(op, (operand.node.kind,)),
            attrs={"op": op},
            names=_shown(positions),
            spans=spans,
        )
        return Placed(node, kept)

    def primitive(self, term: Primitive, spans: tuple[Span, ...]) -> Placed:
        operands = [self.operand(operand, spans) for operand in term.operands]
        if term.op in BUNDLES:
            return self.bundle(term, operands, spans)
        attrs = dict(term.attrs)
        value = taken(operands[0].node, attrs["number"]) if term.op == "part" else None
        kind = value.kind if value else primitive_kind(term.op, attrs, [operand.node.kind for operand in operands])
        sizes = {axis: size_expr(size) for axis, size in term.axes}
        form = numbered.form(term.op, attrs, operands, sizes)
        outer = dict(zip((axis for axis, _ in term.axes), term.names, strict=True))
        names = tuple(outer[axis] for axis in form.axes)
        node = self.graph.node(
            term.op, form.args, form.space, len(names), kind,
            attrs=form.attrs, weak=value.weak if value else None, names=_shown((*names, *form.consumed)), spans=spans,
        )  # fmt: skip
        return Placed(node, names)

    def bundle(self, term: Primitive, operands: list[Placed], spans: tuple[Span, ...]) -> Placed:
        attrs = self.regions.attributes(term, operands, len(self.graph.nodes) + 1)
        args = tuple(Arg(operand.node, (-1,) * operand.node.rank) for operand in operands)
        return Placed(self.graph.node(term.op, args, (), 0, BUNDLE, attrs=attrs, spans=spans), ())

    def operand(self, operand: Operand, spans: tuple[Span, ...]) -> Placed:
        if isinstance(operand, Ref):
            return self.leaf(operand.name, operand.axes)
        if isinstance(operand, Literal):
            return self.const(operand.value, spans)
        return self.size(size_expr(operand.size), spans)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _in_order(left: Placed, right: Placed) -> tuple[Placed, Placed]:
    """The operands of a commuting operation: the older node first; of one node twice, the lesser reading."""
    if left.node is not right.node:
        return (left, right) if left.node.number < right.node.number else (right, left)
    return min((left, right), (right, left), key=_second_reading)


def _second_reading(pair: tuple[Placed, Placed]) -> tuple[int, ...]:
    """Where the second operand's axes lie when the first one's are counted first."""
    positions = {name: k for k, name in enumerate(dict.fromkeys((*pair[0].names, *pair[1].names)))}
    return tuple(positions[name] for name in pair[1].names)


def _sizes(*operands: Placed) -> Mapping[str, SizeExpr]:
    sizes: dict[str, SizeExpr] = {}
    for operand in operands:
        for name, size in zip(operand.names, operand.node.sizes, strict=True):
            sizes.setdefault(name, size)
    return sizes


def _shown(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names for people: without what funsor appends to bound ones."""
    return tuple(_BOUND.sub("", name) for name in names)


_BOUND = re.compile(r"__BOUND_\d+$")
