"""A program as text in the language: what it computes, one statement a line, every definition expanded.

In: a program. Out: a `def` that parses back, and whose program has the same graph for the same inputs (`spec_of` says
which). What always holds: a coordinate or a window is written with an axis whose size the text states, so nothing is
left to be solved but the inputs' own sizes; lifted axes stand in the signature like all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.program import spelling
from namedlayers.program.printed_primitives import FORMS, Printed
from namedlayers.program.program import Check, Program, Statement
from namedlayers.program.size import Size, SizeExpr, size_expr, symbol
from namedlayers.program.spec import Given, Spec
from namedlayers.program.spelling import Piece
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
    operation_name,
)
from namedlayers.program.walk import subterms

USERS_OWN = "NL0420"
"""The code of checks that a text states by `require`; all others follow from the statements."""


def print_program(program: Program) -> str:
    """The program as a definition in the language."""
    return _Printer(program).text()


def spec_of(program: Program) -> Spec:
    """What a call of the printed program gives: the same inputs."""
    given = tuple((i.name, Given(i.kind, tuple(a for a, _ in i.axes))) for i in program.inputs if i.role != "option")
    return Spec(given, scalars=tuple((i.name, i.kind) for i in program.inputs if i.role == "option"))


# Names that mean something where a value stands, and words that are no names of values.
_RESERVED = frozenset("inf nan pi True False training def return if elif else and or not".split())


class _Printer:
    """One printing.

    `values`: what each value is called (`shown`: just these names). `axes`: what its axes are called, by position.
    `sizes`: the axes that have one stated size in the whole text.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lines: list[str] = []
        self.used = _axis_names(program)
        self.values: dict[str, str] = {}
        self.shown: set[str] = set()
        self.axes: dict[str, tuple[str, ...]] = {}
        self.sizes: dict[str, SizeExpr] = {}
        self.parameters: list[str] = []
        self.taken = {*self.used, *_RESERVED, *(i.name for i in program.inputs), *(s.name for s in program.statements)}
        self.aliases: dict[tuple[str, SizeExpr], str] = {}

    def text(self) -> str:
        head = self.signature()
        statements = iter(zip_longest(self.program.statements, self.program.statements[1:]))
        for statement, following in statements:
            if following is not None and _is_eigen(statement, following):
                self.eigen(statement, following)
                next(statements)
            else:
                self.statement(statement)
        results = (self.value(output.value, self.own_axes(output.value)) for output in self.program.outputs)
        self.lines.append(f"return {', '.join(result.text for result in results)}")
        return "\n    ".join([head, *self.lines]) + "\n"

    # --- the signature ------------------------------------------------------------------------------------------------

    def signature(self) -> str:
        inputs = self.program.inputs
        for given in inputs:
            self.call_it(given.name, given.name)
            self.axes[given.name] = tuple(axis for axis, _ in given.axes)
            for axis, size in given.axes:
                self.sizes.setdefault(axis, size)
        self.name_symbols()
        shown = {role: self.inputs_text(role) for role in ("data", "parameter", "option")}
        after = ", ".join(part for part in (shown["parameter"], shown["option"]) if part)
        parameters = f"[{', '.join(self.parameters)}]" if self.parameters else ""
        results = ", ".join(f"[{', '.join(output.axes)}]" for output in self.program.outputs)
        for axis, size in self.sizes.items():
            # Each symbol is an axis's size by itself; an axis with any other size says so.
            if size.value is None and size != symbol(axis):
                self.lines.append(f"|{axis}| = {self.size(size).text}")
        for check in self.program.checks:
            if check.code == USERS_OWN:
                self.require(check)
        name = self.program.name if self.program.name not in _callees(self.program) else f"{self.program.name}_"
        return f"def {name}{parameters}({shown['data']}{f'; {after}' if after else ''}) -> {results}:"

    def inputs_text(self, role: str) -> str:
        listed = []
        for given in self.program.inputs:
            if given.role == role:
                axes = ", ".join(axis if size.value is None else f"{axis} = {size.value}" for axis, size in given.axes)
                listed.append(given.name if role == "option" else f"{given.name}[{axes}]")
        return ", ".join(listed)

    def name_symbols(self) -> None:
        """A symbol is the size of the input's axis of that name, else of a parameter of the definition."""
        used = _symbols(self.program)
        for name in self.program.symbols:
            if name not in self.sizes and name in used:
                self.sizes[name] = symbol(name)
                self.parameters.append(name)

    def require(self, check: Check) -> None:
        """A condition that the equations above do not imply."""
        if check.left.substitute(self.sizes) != check.right.substitute(self.sizes):
            left, right = self.size(check.left).text, self.size(check.right).text
            self.lines.append(f"require {left} {check.relation} {right}")

    # --- statements ---------------------------------------------------------------------------------------------------

    def statement(self, statement: Statement) -> None:
        if isinstance(statement.term, Primitive):
            printed = self.primitive(statement.term)
            outer = dict(zip((a for a, _ in statement.term.axes), statement.term.names, strict=True))
            named = {outer[local]: name for local, name in printed.names.items()}
            piece = printed.piece
        else:
            named = {axis: axis for axis in statement.term.inputs}
            piece = self.term(statement.term, named)
        name = self.define(statement)
        self.axes[statement.name] = tuple(named[axis] for axis, _ in statement.axes)
        self.lines.append(f"{name} = {piece.text}")

    def eigen(self, values: Statement, vectors: Statement) -> None:
        """Eigenvalues and eigenvectors are the two results of one function."""
        term = values.term
        attrs = dict(term.attrs)
        piece = spelling.call(
            "eigh", (self.operand(term.operands[0]),), (attrs["row"], f"{attrs['column']} -> {attrs['into']}")
        )
        for one in (values, vectors):
            outer = dict(zip(one.term.names, (a for a, _ in one.term.axes), strict=True))
            self.axes[one.name] = tuple(outer[axis] for axis, _ in one.axes)
        self.lines.append(f"{self.define(values)}, {self.define(vectors)} = {piece.text}")

    def define(self, statement: Statement) -> str:
        clashes = statement.name in self.used or statement.name in _RESERVED
        return self.call_it(statement.name, self.fresh(statement.name) if clashes else statement.name)

    def call_it(self, value: str, name: str) -> str:
        self.values[value] = name
        self.shown.add(name)
        return name

    def own_axes(self, value: str) -> tuple[str, ...]:
        return next(tuple(axis for axis, _ in one.axes) for one in self.program.values if one.name == value)

    # --- terms --------------------------------------------------------------------------------------------------------

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
        return _renamed(printed.piece, ((printed.names[local], wanted[local]) for local in wanted))

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
        return _renamed(Piece(self.values[name]), zip(self.axes[name], axes, strict=True))

    def coordinates(self, axis: str, size: SizeExpr) -> Piece:
        stated = self.stated(axis, size)
        hidden = stated in self.shown or stated in _RESERVED
        return _renamed(Piece(f"index[{stated}]" if hidden else stated), [(stated, axis)])

    def size(self, expr: SizeExpr) -> Piece:
        return spelling.size(expr)

    def primitive(self, term: Primitive) -> Printed:
        return FORMS[term.op](self, dict(term.attrs), term.operands, {a: size_expr(s) for a, s in term.axes})

    def operand(self, operand: Operand) -> Piece:
        if isinstance(operand, Ref):
            return self.value(operand.name, (plain(axis) for axis, _ in operand.axes))
        return spelling.literal(operand.value) if isinstance(operand, Literal) else self.size(size_expr(operand.size))

    # --- names --------------------------------------------------------------------------------------------------------

    def stated(self, axis: str, size: SizeExpr, avoid: Iterable[str] = ()) -> str:
        """An axis that has `size` in the whole text: `axis` itself if it can be, else one made for it."""
        if axis not in avoid:
            if self.sizes.get(axis) == size:
                return axis
            if axis not in self.sizes and self.used.get(axis, set()) <= {size}:
                return self.state(axis, size)
        if (axis, size) not in self.aliases:
            self.aliases[axis, size] = self.state(self.fresh(axis), size)
        return self.aliases[axis, size]

    def state(self, axis: str, size: SizeExpr) -> str:
        self.lines.append(f"|{axis}| = {self.size(size).text}")
        self.sizes[axis] = size
        return axis

    def fresh(self, name: str) -> str:
        number = 2
        while f"{name}_{number}" in self.taken:
            number += 1
        self.taken.add(f"{name}_{number}")
        return f"{name}_{number}"


# --- helpers ----------------------------------------------------------------------------------------------------------


def plain(axis: str) -> str:
    """The name of a bound axis without what funsor appends."""
    return _BOUND.sub("", axis)


_BOUND = re.compile(r"__BOUND_\d+$")


def _renamed(piece: Piece, pairs: Iterable[tuple[str, str]]) -> Piece:
    return spelling.index(piece, [f"{old} -> {new}" for old, new in pairs if old != new])


def _is_eigen(first: Statement, second: Statement) -> bool:
    one, two = first.term, second.term
    return (
        isinstance(one, Primitive)
        and isinstance(two, Primitive)
        and (one.op, two.op) == ("eigenvalues", "eigenvectors")
        and (one.attrs, one.operands) == (two.attrs, two.operands)
    )


def _axis_names(program: Program) -> dict[str, set[SizeExpr]]:
    """Every axis that occurs, with all sizes that it has."""
    found: dict[str, set[SizeExpr]] = {}

    def see(axes: Axes | Iterable[tuple[str, SizeExpr]]) -> None:
        for axis, size in axes:
            found.setdefault(plain(axis), set()).add(size_expr(size))

    for one in program.values:
        see(one.axes)
    for statement in program.statements:
        for term in subterms(statement.term):
            see((axis, size_expr(domain.size)) for axis, domain in term.inputs.items())
            if isinstance(term, Primitive):
                see(term.axes)
                for operand in term.operands:
                    see(operand.axes if isinstance(operand, Ref) else ())
    return found


def _symbols(program: Program) -> set[str]:
    """The symbols that the text has to spell."""
    sizes = [size for one in program.values for _, size in one.axes]
    sizes += [side for check in program.checks if check.code == USERS_OWN for side in (check.left, check.right)]
    for statement in program.statements:
        for term in subterms(statement.term):
            sizes += [size_expr(domain.size) for domain in term.inputs.values()]
            if isinstance(term, SizeOf):
                sizes.append(size_expr(term.size))
            if isinstance(term, Primitive):
                sizes += _in(term.attrs) + _in(term.operands)
    return {name for size in sizes for name in size.symbols}


def _in(value: Any) -> list[SizeExpr]:
    """The sizes at any depth of an attribute."""
    if isinstance(value, tuple):
        return [size for part in value for size in _in(part)]
    return [value.expr] if isinstance(value, Size) else []


def _callees(program: Program) -> set[str]:
    """The functions that the text calls, more or less: its own name must be none of them."""
    found = {"index", "expand"}
    for statement in program.statements:
        for term in subterms(statement.term):
            if isinstance(term, Primitive):
                found |= FORMS[term.op].names
            elif isinstance(term, Unary | Binary):
                found.add(operation_name(term.op))
            elif isinstance(term, Reduce):
                found.add(REDUCE_OF[term.op])
    return found
