"""A program under a semiring.

In: a program, a semiring, the names of the inputs that are its values. Out: the program that computes the same formula
there. What always holds: each statement keeps its name, axes and place in the text; what no value takes part in stays
as it is; an ordinary operand that meets a value is embedded, once; what a semiring has not is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.errors import ArgumentError, Label, Span
from namedlayers.program import terms
from namedlayers.program.dressed import Size
from namedlayers.program.program import AxesOf, Body, Input, Kind, Output, Program, Statement
from namedlayers.program.semirings import Semiring
from namedlayers.program.term_kinds import BUNDLE, part_kind, term_kind
from namedlayers.program.terms import REDUCE_OF, Const, Leaf, Literal, Operand, Primitive, Ref, operation_name
from namedlayers.program.walk import subterms


def under(program: Program, semiring: Semiring, values: Collection[str]) -> Program:
    """The program under a semiring, of which the inputs `values` are values. Raises ArgumentError."""
    with terms.building():
        block = _Block(semiring, {one.name for one in program.values})
        block.take(program.inputs, values)
        block.run(program.statements)
    return replace(program, statements=tuple(block.statements))


# --- one block of statements ------------------------------------------------------------------------------------------

ELEMENTS: dict[str, Callable[[Primitive], Sequence[int]]] = {
    "where": lambda term: (1, 2),
    "expand": lambda term: (0,),
    "index": lambda term: (0,),
    "gather": lambda term: (0, len(term.operands) - 1) if dict(term.attrs)["fill"] else (0,),
    "merge": lambda term: (0,),
    "split": lambda term: (0,),
    "pad": lambda term: (0, 1) if dict(term.attrs)["mode"] == "constant" else (0,),
    "concat": lambda term: range(len(term.operands)),
    "stack": lambda term: range(len(term.operands)),
    "cumulative": lambda term: (0,),
}
"""The primitives that move values, and which operands become their elements."""

FILLED = ("pad", "gather")
"""Those whose last element stands where there is none: a literal 0 there is the semiring's zero."""


@dataclass(slots=True)
class _Block:
    """`values` tells of each name whether it is a value, `kinds` its kind, `axes` its axes, `bodies` what a bundle was
    made by, with the outputs that are values."""

    semiring: Semiring
    names: set[str]
    values: dict[str, bool] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)
    axes: dict[str, AxesOf] = field(default_factory=dict)
    bodies: dict[str, tuple[Body, tuple[bool, ...]]] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    _embedded: dict[str, str] = field(default_factory=dict)
    _made: dict[tuple[Body, tuple[bool, ...], int], tuple[Body, tuple[bool, ...]]] = field(default_factory=dict)

    def take(self, inputs: Iterable[Input], values: Collection[str]) -> None:
        for given in inputs:
            self.values[given.name] = given.name in values
            self.kinds[given.name], self.axes[given.name] = given.kind, given.axes

    def run(self, statements: Iterable[Statement]) -> None:
        for statement in statements:
            term = statement.term
            if isinstance(term, Primitive) and term.op in ("call", "scan"):
                self.bundle(statement, term)
            elif isinstance(term, Primitive) and term.op == "part":
                ref = term.operands[0]
                assert isinstance(ref, Ref)
                body, found = self.bodies[ref.name]
                number = dict(term.attrs)["number"]
                self.state(statement, term, found[number], part_kind(body, number))
            else:
                self.state(statement, *self.term(term, statement))

    def state(self, statement: Statement, term: Funsor, is_value: bool, kind: Kind) -> None:
        self.statements.append(replace(statement, term=term, kind=kind))
        self.values[statement.name], self.kinds[statement.name] = is_value, kind
        self.axes[statement.name] = statement.axes

    # --- terms --------------------------------------------------------------------------------------------------------

    def term(self, term: Funsor, statement: Statement) -> tuple[Funsor, bool, Kind]:
        """The term, whether it is a value, and its kind."""
        found: dict[Funsor, tuple[Funsor, bool]] = {}
        for part in subterms(term):
            found[part] = self.step(part, found, statement)
        made, is_value = found[term]
        return made, is_value, self.kind(made)

    def step(self, part: Funsor, found: dict[Funsor, tuple[Funsor, bool]], statement: Statement) -> tuple[Funsor, bool]:
        if isinstance(part, Leaf):
            return part, self.values[part.name]
        if isinstance(part, Primitive):
            return self.primitive(part, statement)
        if isinstance(part, Unary):
            operand, is_value = found[part.arg]
            name = operation_name(part.op)
            if is_value and name != "detach":
                self.refuse(f"`{name}`", statement)
            return terms.unary(name, operand), is_value
        if isinstance(part, Binary):
            return self.binary(operation_name(part.op), found[part.lhs], found[part.rhs], statement)
        if isinstance(part, Reduce):
            operand, is_value = found[part.arg]
            name, gone = REDUCE_OF[part.op], frozenset(variable.name for variable in part.reduced_vars)
            if is_value:
                known = {"sum": self.semiring.sum, "prod": self.semiring.prod}
                name = known[name] if name in known else self.refuse(f"`{name}`", statement)
            return terms.reduction(name, operand, gone), is_value
        return part, False

    def binary(
        self, name: str, left: tuple[Funsor, bool], right: tuple[Funsor, bool], statement: Statement
    ) -> tuple[Funsor, bool]:
        if not (left[1] or right[1]):
            return terms.binary(name, left[0], right[0]), False
        if name == "pow" and not right[1]:
            return self.power(left[0], right[0], statement), True
        known = {"add": self.semiring.plus, "mul": self.semiring.times}
        op = known[name] if name in known else self.refuse(_WRITTEN.get(name, f"`{name}`"), statement)
        sides = [term if is_value else self.embed(term) for term, is_value in (left, right)]
        return terms.binary(op, sides[0], sides[1]), True

    def power(self, base: Funsor, exponent: Funsor, statement: Statement) -> Funsor:
        """A value times itself: what `times` repeated is."""
        number = exponent.value if isinstance(exponent, Const) else None
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            self.refuse("a power that is not a positive literal integer", statement)
        if self.semiring.times == "add":
            return terms.binary("mul", terms.literal(number), base)
        return terms.binary("pow", base, exponent) if self.semiring.times == "mul" else terms.binary("and", base, base)

    def embed(self, term: Funsor) -> Funsor:
        if isinstance(term, Const):
            return terms.literal(self.semiring.literal(term.value))
        return self.semiring.embed(term)

    # --- primitives ---------------------------------------------------------------------------------------------------

    def primitive(self, term: Primitive, statement: Statement) -> tuple[Funsor, bool]:
        with_values = [k for k, operand in enumerate(term.operands) if self.is_value(operand)]
        if not with_values:
            return term, False
        if term.op == "finfo":
            return term, False
        elements = ELEMENTS[term.op](term) if term.op in ELEMENTS else ()
        if not set(with_values) <= set(elements):
            name = f"arg{dict(term.attrs)['op']}" if term.op == "argreduce" else term.op
            self.refuse(_WRITTEN.get(name, f"`{name}`"), statement)
        filler = elements[-1] if term.op in FILLED and len(elements) > 1 else None
        operands = tuple(
            one
            if k not in elements or self.is_value(one)
            else self.nothing()
            if k == filler and isinstance(one, Literal) and one.value == 0
            else self.embedded(one, statement)
            for k, one in enumerate(term.operands)
        )
        attrs = term.attrs
        if term.op == "cumulative":
            known = {"sum": self.semiring.sum, "prod": self.semiring.prod}
            op = dict(attrs)["op"]
            running = known[op] if op in known else self.refuse(f"a running `{op}`", statement)
            if running in ("any", "all"):
                return self.counted(Primitive(term.op, attrs, operands, term.axes, term.names), statement), True
            attrs = tuple((name, running if name == "op" else value) for name, value in attrs)
        return Primitive(term.op, attrs, operands, term.axes, term.names), True

    def counted(self, count: Primitive, statement: Statement) -> Funsor:
        """Whether a running sum or product of truth values is other than 0: whether any, or all, so far are true."""
        name = self.fresh(statement.name)
        self.state(replace(statement, name=name), count, False, self.kind(count))
        leaf = Leaf(name, tuple((axis, Size(size)) for axis, size in statement.axes))
        return terms.binary("ne", leaf, terms.literal(0))

    def nothing(self) -> Literal:
        return Literal(*terms.literal_key(self.semiring.zero))

    def is_value(self, operand: Operand) -> bool:
        return isinstance(operand, Ref) and self.values.get(operand.name, False)

    def embedded(self, operand: Operand, statement: Statement) -> Operand:
        """An ordinary operand of a primitive as a value; a tensor becomes a statement of its own, once."""
        if isinstance(operand, Literal):
            return Literal(*terms.literal_key(self.semiring.literal(operand.value)))
        if not isinstance(operand, Ref):
            self.refuse("a size", statement)
        name = self._embedded.get(operand.name)
        if name is None:
            name = self._embedded[operand.name] = self.fresh(operand.name)
            axes = self.axes[operand.name]
            leaf = Leaf(operand.name, tuple((axis, Size(size)) for axis, size in axes))
            made = self.semiring.embed(leaf)
            self.state(Statement(name, axes, Kind.REAL, made, statement.source), made, True, self.kind(made))
        return Ref(name, operand.axes)

    def fresh(self, name: str) -> str:
        number = 2
        while f"{name}_{number}" in self.names:
            number += 1
        self.names.add(f"{name}_{number}")
        return f"{name}_{number}"

    def kind(self, term: Funsor) -> Kind:
        return term_kind(term, self.kinds)

    # --- bodies -------------------------------------------------------------------------------------------------------

    def bundle(self, statement: Statement, term: Primitive) -> None:
        """A call or a scan: its body under the semiring, for the operands that are values."""
        attrs = dict(term.attrs)
        carries = attrs.get("carries", 0)
        given = [self.is_value(operand) for operand in term.operands]
        while True:  # what is carried is a value from the first step on, if any step makes it one
            made, outputs = self.body(attrs["body"], tuple(given), carries)
            if given[:carries] == list(outputs[:carries]):
                break
            given[:carries] = outputs[:carries]
        operands = tuple(
            self.embedded(one, statement) if wanted and not self.is_value(one) else one
            for one, wanted in zip(term.operands, given, strict=True)
        )
        listed = tuple((name, made if name == "body" else value) for name, value in term.attrs)
        self.state(statement, Primitive(term.op, listed, operands, term.axes, term.names), False, BUNDLE)
        self.bodies[statement.name] = made, outputs

    def body(self, body: Body, given: tuple[bool, ...], carries: int) -> tuple[Body, tuple[bool, ...]]:
        """The body where these of its inputs are values, and which of its outputs are; of the first `carries` outputs
        those are that belong to such inputs."""
        key = body, given, carries
        if key not in self._made:
            inner = _Block(self.semiring, {one.name for one in body.values})
            inputs = tuple(
                replace(one, kind=self.semiring.kind or one.kind) if wanted else one
                for one, wanted in zip(body.inputs, given, strict=True)
            )
            inner.take(inputs, [one.name for one, wanted in zip(inputs, given, strict=True) if wanted])
            inner.run(body.statements)
            outputs = list(body.outputs)
            for k in range(carries):
                if given[k] and not inner.values[outputs[k].value]:
                    outputs[k] = inner.as_value(outputs[k], body.span)
            found = tuple(inner.values[output.value] for output in outputs)
            self._made[key] = Body(body.name, inputs, tuple(inner.statements), tuple(outputs), body.span), found
        return self._made[key]

    def as_value(self, output: Output, span: Span) -> Output:
        """An ordinary output, embedded."""
        axes = self.axes[output.value]
        ref = Ref(output.value, tuple((axis, Size(size)) for axis, size in axes))
        source = Statement(output.value, axes, Kind.REAL, terms.literal(0), span)
        embedded = self.embedded(ref, source)
        assert isinstance(embedded, Ref)
        return Output(embedded.name, output.axes)

    def refuse(self, what: str, statement: Statement) -> NoReturn:
        raise ArgumentError(
            "NL0261", f"{what} has no meaning for values of the semiring `{self.semiring.name}`",
            Label(statement.source),
            hint="values are added, multiplied, summed and moved; compute other things from parameters and options",
        )  # fmt: skip


_WRITTEN = {
    "sub": "`-`", "div": "`/`", "pow": "`^`", "mod": "`%`", "floordiv": "`//`", "lt": "`<`", "le": "`<=`", "gt": "`>`",
    "ge": "`>=`", "eq": "`==`", "ne": "`!=`", "gather": "an index made of values",
    "where": "a condition made of values", "eigenvalues": "`eigh`", "eigenvectors": "`eigh`",
}  # fmt: skip
