"""A program as text in the language: what it computes, one statement a line, every definition expanded.

In: a program. Out: a `def` that parses back, and whose program has the same graph for the same inputs (`spec_of` says
which); a body that is called is a `def` before it, and parses back to what it computes. What always holds: a coordinate
or a window is written with an axis whose size the text states, so nothing is left to be solved but the inputs' own
sizes; lifted axes stand in the signature like all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from namedlayers.program import mentioned, spelling
from namedlayers.program.mentioned import Block
from namedlayers.program.printed_runs import RUNS, Signature, Update
from namedlayers.program.printed_terms import Terms
from namedlayers.program.program import Body, Check, Program, Statement
from namedlayers.program.size import symbol
from namedlayers.program.spec import Given, Spec
from namedlayers.program.terms import Primitive, Ref
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


class _Printer(Terms):
    """One definition of a text: its signature and its statements."""

    def __init__(self, block: Block, name: str, checks: Sequence[Check], text: _Text) -> None:
        super().__init__(block)
        self.definition, self.name, self.checks, self.whole = block, name, checks, text
        self.parameters: list[str] = []

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
