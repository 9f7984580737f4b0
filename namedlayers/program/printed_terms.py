"""The terms of a printed definition: values, coordinates, sizes, elementwise operations, reductions, primitives.

In: terms, and what their free axes are called. Out: pieces of text. What always holds: a value whose axes have other
names here than where it was assigned is renamed where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.program import spelling
from namedlayers.program.mentioned import plain
from namedlayers.program.printed_lines import RESERVED, Lines
from namedlayers.program.printed_primitives import FORMS, Printed
from namedlayers.program.size import SizeExpr, size_expr
from namedlayers.program.spelling import Piece
from namedlayers.program.terms import (
    REDUCE_OF,
    Const,
    Coord,
    Leaf,
    Literal,
    Operand,
    Primitive,
    Ref,
    SizeOf,
    operation_name,
)


class Terms(Lines):
    def term(self, term: Funsor, names: Mapping[str, str]) -> Piece:
        """A term, whose free axes are printed as `names` says. (Terms are shallow: deep ones are cut by lets.)"""
        if isinstance(term, Unary):
            return spelling.unary(operation_name(term.op), self.term(term.arg, names))
        if isinstance(term, Binary):
            return spelling.binary(operation_name(term.op), self.term(term.lhs, names), self.term(term.rhs, names))
        if isinstance(term, Reduce):
            return self.reduction(term, names)
        if isinstance(term, Leaf):
            return self.value(term.name, tuple(names[axis] for axis, _ in term.axes))
        if isinstance(term, Const):
            return spelling.literal(term.value)
        if isinstance(term, SizeOf):
            return self.size(size_expr(term.size))
        if isinstance(term, Coord):
            return self.coordinates(names[term.axis], size_expr(term.size))
        assert isinstance(term, Primitive), f"no term of a program: {type(term).__name__}"
        printed = self.primitive(term)
        wanted = {local: names[name] for (local, _), name in zip(term.axes, term.names, strict=True)}
        return spelling.renamed(printed.piece, ((printed.names[local], wanted[local]) for local in wanted))

    def reduction(self, term: Reduce, names: Mapping[str, str]) -> Piece:
        gone = {variable.name for variable in term.reduced_vars}
        inner = {axis: names[axis] for axis in term.arg.inputs if axis not in gone}
        for axis in term.arg.inputs:
            if axis in gone:
                shown = plain(axis)
                inner[axis] = self.fresh(shown) if shown in inner.values() else shown
        axes = [inner[axis] for axis in term.arg.inputs if axis in gone]
        op, arg = REDUCE_OF[term.op], term.arg
        if op == "sum" and isinstance(arg, Binary) and operation_name(arg.op) == "mul":
            if gone <= arg.lhs.inputs.keys() & arg.rhs.inputs.keys():
                return spelling.contraction(self.term(arg.lhs, inner), axes, self.term(arg.rhs, inner))
        return spelling.call(op, (self.term(arg, inner),), axes)

    def value(self, name: str, axes: Iterable[str]) -> Piece:
        return spelling.renamed(Piece(self.names.values[name]), zip(self.names.axes[name], axes, strict=True))

    def coordinates(self, axis: str, size: SizeExpr) -> Piece:
        stated = self.stated(axis, size)
        hidden = stated in self.shown or stated in RESERVED
        return spelling.renamed(Piece(f"index[{stated}]" if hidden else stated), [(stated, axis)])

    def primitive(self, term: Primitive) -> Printed:
        if term.op == "part":
            (bundle,) = term.operands
            assert isinstance(bundle, Ref)
            name, axes = self.names.bundles[bundle.name][dict(term.attrs)["number"]]
            return Printed(Piece(name), dict(zip((axis for axis, _ in term.axes), axes, strict=True)))
        return FORMS[term.op](self, dict(term.attrs), term.operands, {a: size_expr(s) for a, s in term.axes})

    def operand(self, operand: Operand) -> Piece:
        if isinstance(operand, Ref):
            return self.value(operand.name, (plain(axis) for axis, _ in operand.axes))
        return spelling.literal(operand.value) if isinstance(operand, Literal) else self.size(size_expr(operand.size))
