"""A program as text in the language: what it computes, one statement a line, every definition expanded.

In: a program. Out: a `def` that parses back, and whose program has the same graph for the same inputs (`spec_of` says
which); a body that is called is a `def` before it, and parses back to what it computes. What always holds: a coordinate
or a window is written with an axis whose size the text states, so nothing is left to be solved but the inputs' own
sizes; lifted axes stand in the signature like all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.program import mentioned, spelling
from namedlayers.program.mentioned import Block, plain
from namedlayers.program.printed_primitives import FORMS, Printed
from namedlayers.program.printed_runs import RUNS, Names, Signature, Update
from namedlayers.program.program import Body, Check, Program, Statement
from namedlayers.program.size import SizeExpr, size_expr, symbol
from namedlayers.program.spec import Given, Spec
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
from namedlayers.program.walk import subterms

USERS_OWN = "NL0420"
"""The code of checks that a text states by `require`; all others follow from the statements."""


def print_program(program: Program) -> str:
    """The program as a definition in the language, after those of the bodies that it calls."""
    text = _Text(program.symbols, mentioned.functions(program) | {program.name})
    name = program.name if program.name not in mentioned.functions(program) else f"{program.name}_"
    checks = [check for check in program.checks if check.code == USERS_OWN]
    last = _Printer(program, name, checks, text).text()
    return "\n".join([*text.definitions, last])


def spec_of(program: Program) -> Spec:
    """What a call of the printed program gives: the same inputs."""
    given = tuple((i.name, Given(i.kind, tuple(a for a, _ in i.axes))) for i in program.inputs if i.role != "option")
    options = (("training", True),) if mentioned.draws_in_training(program) else ()
    return Spec(given, options, tuple((i.name, i.kind) for i in program.inputs if i.role == "option"))


@dataclass(slots=True)
class _Text:
    """All definitions of a text; a body's is printed when it is first called. `taken`: names of functions."""

    symbols: tuple[str, ...]
    taken: set[str]
    definitions: list[str] = field(default_factory=list)
    signatures: dict[Body, Signature] = field(default_factory=dict)

    def signature(self, body: Body) -> Signature:
        if body not in self.signatures:
            name, number = body.name, 1
            while name in self.taken:
                number += 1
                name = f"{body.name}_{number}"
            self.taken.add(name)
            printer = _Printer(body, name, (), self)
            self.definitions.append(printer.text())
            self.signatures[body] = printer.signature()
        return self.signatures[body]


# Names that mean something where a value stands, and words that are no names of values.
_RESERVED = frozenset("inf nan pi True False training def return if elif else and or not".split())


class _Printer:
    """One definition of a text.

    `names`: what the values of the block are called that is being written, and what their axes are (`shown`: all that
    values are called anywhere). `sizes`: the axes that have one stated size in the whole definition. `taken`: names
    that are used, `later`: names that may be. Lines stand `depth` deep in scans, which begin at line `opening`.
    """

    def __init__(self, block: Block, name: str, checks: Sequence[Check], text: _Text) -> None:
        self.definition, self.name, self.checks, self.whole = block, name, checks, text
        self.lines: list[str] = []
        self.depth = self.opening = 0
        self.used = mentioned.axis_names(block)
        self.names = Names({}, {})
        self.shown: set[str] = set()
        self.sizes: dict[str, SizeExpr] = {}
        self.parameters: list[str] = []
        self.scanned: tuple[str, ...] = ()
        self.taken = {*self.used, *_RESERVED}
        self.later = {value.name for value in mentioned.values(block, calls=False)}
        self.aliases: dict[tuple[str, SizeExpr], str] = {}

    def text(self) -> str:
        block = self.definition
        head = self.head()
        self.statements(block, {})
        own = {one.name: tuple(axis for axis, _ in one.axes) for one in block.values}
        results = (self.value(output.value, own[output.value]) for output in block.outputs)
        self.line(f"return {', '.join(result.text for result in results)}")
        return "\n    ".join([head, *self.lines]) + "\n"

    def signature(self) -> Signature:
        """How it is applied, once it is written."""
        inputs = tuple((self.names.values[i.name], self.names.axes[i.name]) for i in self.definition.inputs)
        results = tuple(output.axes for output in self.definition.outputs)
        return Signature(self.name, tuple(self.parameters), inputs, results)

    def signature_of(self, body: Body) -> Signature:
        return self.whole.signature(body)

    # --- the signature ------------------------------------------------------------------------------------------------

    def head(self) -> str:
        for given in self.definition.inputs:
            axes: list[str] = []
            for axis, size in given.axes:
                # The inputs of a program have their axes; those of a body may be called as it suits.
                apart = isinstance(self.definition, Body) and self.sizes.get(axis, size) != size
                axes.append(self.fresh(axis) if apart else axis)
                self.sizes.setdefault(axes[-1], size)
            self.names.axes[given.name] = tuple(axes)
        for given in self.definition.inputs:
            name = self.claim(given.name) if isinstance(self.definition, Body) else given.name
            self.taken.add(name)
            self.shown.add(name)
            self.names.values[given.name] = name
        self.name_symbols()
        # A body is called with all of its tensors in their order.
        before = ("data", "parameter") if isinstance(self.definition, Body) else ("data",)
        rest = [role for role in ("parameter", "param", "state") if role not in before]
        listed = (self.inputs_text(*rest), self.inputs_text("option"))
        after = ", ".join(part for part in listed if part)
        parameters = f"[{', '.join(self.parameters)}]" if self.parameters else ""
        results = ", ".join(f"[{', '.join(output.axes)}]" for output in self.definition.outputs)
        for axis, size in self.sizes.items():
            # Each symbol is an axis's size by itself; an axis with any other size says so.
            if size.value is None and size != symbol(axis):
                self.line(f"|{axis}| = {self.size(size).text}")
        for check in self.checks:
            self.require(check)
        data = self.inputs_text(*before)
        return f"def {self.name}{parameters}({data}{f'; {after}' if after else ''}) -> {results}:"

    def inputs_text(self, *roles: str) -> str:
        listed = []
        for given in self.definition.inputs:
            if given.role in roles:
                name, axes = self.names.values[given.name], self.names.axes[given.name]
                sized = (axis if self.sizes[axis].value is None else f"{axis} = {self.sizes[axis]}" for axis in axes)
                listed.append(name if given.role == "option" else f"{name}[{', '.join(sized)}]")
        return ", ".join(listed)

    def name_symbols(self) -> None:
        """A symbol is the size of the input's axis of that name, else of a parameter of the definition."""
        sides = [side for check in self.checks for side in (check.left, check.right)]
        used = mentioned.symbols(self.definition, sides)
        for name in self.whole.symbols:
            if name not in self.sizes and name in used:
                self.sizes[name] = symbol(name)
                self.parameters.append(name)

    def require(self, check: Check) -> None:
        """A condition that the equations above do not imply."""
        if check.left.substitute(self.sizes) != check.right.substitute(self.sizes):
            left, right = self.size(check.left).text, self.size(check.right).text
            self.line(f"require {left} {check.relation} {right}")

    # --- statements ---------------------------------------------------------------------------------------------------

    def statements(self, block: Block, updates: Mapping[str, Update]) -> None:
        """The lines of a block; `updates` are statements that take the name of another value."""
        parts = _parts(block)
        pairs = iter(zip_longest(block.statements, block.statements[1:]))
        for statement, following in pairs:
            term = statement.term
            if following is not None and _is_eigen(statement, following):
                self.eigen(statement, following)
                next(pairs)
            elif isinstance(term, Primitive) and term.op in RUNS:
                results = RUNS[term.op](self, statement, parts.get(statement.name, {}))
                self.names.bundles[statement.name] = results
            elif isinstance(term, Primitive) and term.op == "part":
                printed = self.primitive(term)
                outer = dict(zip(term.names, printed.names.values(), strict=True))
                self.names.values[statement.name] = printed.piece.text
                self.names.axes[statement.name] = tuple(outer[axis] for axis, _ in statement.axes)
            else:
                self.statement(statement, updates.get(statement.name))

    def statement(self, statement: Statement, update: Update | None) -> None:
        if isinstance(statement.term, Primitive):
            printed = self.primitive(statement.term)
            outer = dict(zip((a for a, _ in statement.term.axes), statement.term.names, strict=True))
            named = {outer[local]: name for local, name in printed.names.items()}
            piece = printed.piece
        else:
            named = {axis: axis for axis in statement.term.inputs}
            piece = self.term(statement.term, named)
        if update is not None:
            name, wanted = update
            piece = spelling.renamed(piece, ((named[axis], wanted[axis]) for axis in wanted))
            named = dict(wanted)
        else:
            name = self.claim(statement.name)
        self.names.values[statement.name] = name
        self.names.axes[statement.name] = tuple(named[axis] for axis, _ in statement.axes)
        self.line(f"{name} = {piece.text}")

    def eigen(self, values: Statement, vectors: Statement) -> None:
        """Eigenvalues and eigenvectors are the two results of one function."""
        term = values.term
        attrs = dict(term.attrs)
        piece = spelling.call(
            "eigh", (self.operand(term.operands[0]),), (attrs["row"], f"{attrs['column']} -> {attrs['into']}")
        )
        for one in (values, vectors):
            outer = dict(zip(one.term.names, (a for a, _ in one.term.axes), strict=True))
            self.names.values[one.name] = self.claim(one.name)
            self.names.axes[one.name] = tuple(outer[axis] for axis, _ in one.axes)
        names = self.names.values
        self.line(f"{names[values.name]}, {names[vectors.name]} = {piece.text}")

    # --- lines --------------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def inside(self, names: Names, axis: str) -> Iterator[None]:
        """The lines of the block of a scan along `axis`, whose first line has just been written."""
        outer = self.names, self.scanned
        if not self.depth:
            self.opening = len(self.lines) - 1
        self.names, self.scanned, self.depth = names, (*self.scanned, axis), self.depth + 1
        try:
            yield
        finally:
            (self.names, self.scanned), self.depth = outer, self.depth - 1

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
        hidden = stated in self.shown or stated in _RESERVED
        return spelling.renamed(Piece(f"index[{stated}]" if hidden else stated), [(stated, axis)])

    def size(self, expr: SizeExpr) -> Piece:
        return spelling.size(expr)

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
        """A line that gives an axis its size; before a scan, not in it."""
        line = f"|{axis}| = {self.size(size).text}"
        if self.depth:
            self.lines.insert(self.opening, line)
            self.opening += 1
        else:
            self.lines.append(line)
        self.sizes[axis] = size
        return axis

    def claim(self, name: str) -> str:
        """What a value of this name is called."""
        shown = self.fresh(name) if name in self.taken else name
        self.taken.add(shown)
        self.shown.add(shown)
        return shown

    def fresh(self, name: str) -> str:
        number = 2
        while f"{name}_{number}" in self.taken or f"{name}_{number}" in self.later:
            number += 1
        self.taken.add(f"{name}_{number}")
        return f"{name}_{number}"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_eigen(first: Statement, second: Statement) -> bool:
    one, two = first.term, second.term
    return (
        isinstance(one, Primitive)
        and isinstance(two, Primitive)
        and (one.op, two.op) == ("eigenvalues", "eigenvectors")
        and (one.attrs, one.operands) == (two.attrs, two.operands)
    )


def _parts(block: Block) -> dict[str, dict[int, str]]:
    """For each bundle the outputs that are taken, with the names of the first statements that take them."""
    found: dict[str, dict[int, str]] = {}
    for statement in block.statements:
        for term in subterms(statement.term):
            if isinstance(term, Primitive) and term.op == "part":
                (bundle,) = term.operands
                assert isinstance(bundle, Ref)
                found.setdefault(bundle.name, {}).setdefault(dict(term.attrs)["number"], statement.name)
    return found
