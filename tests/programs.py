"""Programs built by hand, for the tests of what reads programs.

>>> b = Builder()
>>> X = b.input("X", "seq key")
>>> Y = b.let("Y", b.sum("key", b.mul(X, X)))
>>> program = b.program("Y")
>>> [str(statement.axes) for statement in program.statements]
["(('seq', SizeExpr(|seq|)),)"]

A size is named like its axis unless it is given: `b.input("X", "seq", seq=3)`.
"""

from __future__ import annotations

from typing import Any

from funsor.terms import Funsor

from namedlayers.errors import Label, Source, Span
from namedlayers.program import terms
from namedlayers.program.dressed import Size
from namedlayers.program.program import Body, Check, Input, Kind, Output, Program, Recipe, Statement
from namedlayers.program.size import SizeExpr, const, size_expr, symbol
from namedlayers.program.term_kinds import term_kind

REAL, INT, BOOL, COMPLEX = Kind.REAL, Kind.INT, Kind.BOOL, Kind.COMPLEX


class Builder:
    """Collects inputs and statements; every symbol's recipe is the first axis that has exactly its size."""

    def __init__(self) -> None:
        self.source = Source("", "<test>")
        self.inputs: list[Input] = []
        self.statements: list[Statement] = []
        self.checks: list[Check] = []
        self.bodies: dict[str, Body] = {}

    # --- values -----------------------------------------------------------------------------------------------------

    def input(self, name: str, axes: str = "", kind: Kind = REAL, role: str = "data", **sizes: Any) -> Funsor:
        listed = tuple((axis, size_expr(sizes.get(axis, symbol(axis)))) for axis in axes.split())
        self.inputs.append(Input(name, listed, role, kind, self.span(name)))  # type: ignore[arg-type]
        return self.leaf(name)

    def let(self, name: str, term: Funsor, axes: str | None = None) -> Funsor:
        """A statement; its axes in the order given, else in the term's."""
        sizes = {
            axis: domain.size.expr if isinstance(domain.size, Size) else const(domain.size)
            for axis, domain in term.inputs.items()
        }
        order = tuple(sizes) if axes is None else tuple(axes.split())
        kinds = {one.name: one.kind for one in (*self.inputs, *self.statements)}
        kind = term_kind(term, kinds, self.bodies)
        if isinstance(term, terms.Primitive) and term.op in ("call", "scan"):
            self.bodies[name] = dict(term.attrs)["body"]
        listed = tuple((axis, sizes[axis]) for axis in order)
        self.statements.append(Statement(name, listed, kind, term, self.span(f"{name} = …")))
        return self.leaf(name)

    def leaf(self, name: str, **renamed: str) -> Funsor:
        """A value, some of its axes under other names."""
        with terms.building():
            return terms.Leaf(name, tuple((renamed.get(axis, axis), Size(size)) for axis, size in self.axes(name)))

    def axes(self, name: str) -> tuple[tuple[str, SizeExpr], ...]:
        return next(one.axes for one in (*self.inputs, *self.statements) if one.name == name)

    def ref(self, name: str, **renamed: str) -> terms.Ref:
        return terms.Ref(name, tuple((renamed.get(axis, axis), Size(size)) for axis, size in self.axes(name)))

    # --- terms ------------------------------------------------------------------------------------------------------

    def __getattr__(self, op: str) -> Any:
        """`b.exp(x)`, `b.add(x, 1)`, `b.sum("i j", x)`; Python's keywords with a line: `b.not_(x)`."""
        op = op.rstrip("_")
        if op in terms.UNARY:
            return lambda x: self._build(terms.unary, op, x)
        if op in terms.BINARY:
            return lambda x, y: self._build(terms.binary, op, x, y)
        if op in terms.REDUCE:
            return lambda axes, x: self._build(terms.reduction, op, x, frozenset(axes.split()))
        raise AttributeError(op)

    def coord(self, axis: str, size: Any = None) -> Funsor:
        with terms.building():
            return terms.Coord(axis, Size(symbol(axis) if size is None else size))

    def size(self, size: Any) -> Funsor:
        with terms.building():
            return terms.SizeOf(Size(size))

    def primitive(
        self,
        op: str,
        operands: tuple[Any, ...],
        axes: str,
        /,
        *,
        names: str | None = None,
        sizes: dict[str, Any] | None = None,
        **attrs: Any,
    ) -> Funsor:
        """Operands are `ref`s, numbers and sizes; `axes` are the result's, of sizes `sizes` or named like them."""
        sizes = sizes or {}
        listed = tuple((axis, Size(sizes.get(axis, symbol(axis)))) for axis in axes.split())
        with terms.building():
            return terms.Primitive(
                op,
                tuple(sorted((k, sized(v)) for k, v in attrs.items())),
                tuple(map(operand, operands)),
                listed,
                tuple((names or axes).split()),
            )

    def _build(self, build: Any, op: str, *parts: Any) -> Funsor:
        with terms.building():
            return build(op, *(terms.literal(p) if isinstance(p, bool | int | float | complex) else p for p in parts))

    # --- bodies -----------------------------------------------------------------------------------------------------

    def body(self, *outputs: str, name: str = "step") -> Body:
        """What this builder has collected, as a body with these outputs."""
        return Body(name, tuple(self.inputs), tuple(self.statements), self._outputs(outputs), self.span(name))

    def call(self, name: str, body: Body, *operands: Any) -> None:
        """A statement `name` that runs a body once."""
        self.let(name, self.primitive("call", operands, "", body=body))

    def scan(
        self, name: str, body: Body, *operands: Any, axis: str = "time", carries: int = 1, reverse: bool = False,
        size: Any = None,
    ) -> None:  # fmt: skip
        """A statement `name` that runs a body along an axis."""
        size = symbol(axis) if size is None else size
        attrs = {"axis": axis, "body": body, "carries": carries, "reverse": reverse, "size": size_expr(size)}
        self.let(name, self.primitive("scan", operands, "", **attrs))

    def part(self, name: str, bundle: str, number: int, axes: str, **sizes: Any) -> Funsor:
        """A statement `name` that takes an output of a bundle."""
        return self.let(name, self.primitive("part", (self.ref(bundle),), axes, number=number, sizes=sizes))

    # --- the end ----------------------------------------------------------------------------------------------------

    def check(self, left: Any, relation: Any, right: Any, code: str = "NL0484") -> None:
        labels = (Label(self.span("check")),)
        self.checks.append(Check(size_expr(left), relation, size_expr(right), code, "{left} and {right}", labels))

    def program(self, *outputs: str) -> Program:
        """The program; an output is `Y`, or `Y: seq key` with the order of its axes."""
        recipes: dict[str, Recipe] = {}
        for given in self.inputs:
            for axis, (_, size) in enumerate(given.axes):
                if len(size.symbols) == 1 and size == symbol(name := next(iter(size.symbols))) and name not in recipes:
                    label = Label(given.span)
                    recipes[name] = Recipe(name, given.name, axis, const(0), const(1), (label,))
        return Program(
            "f",
            tuple(self.inputs),
            tuple(self.statements),
            self._outputs(outputs),
            tuple(recipes),
            tuple(recipes.values()),
            tuple(self.checks),
            self.span("f"),
        )

    def _outputs(self, outputs: tuple[str, ...]) -> tuple[Output, ...]:
        split = (output.partition(":") for output in outputs)
        return tuple(
            Output(name, tuple(axes.split()) if axes else tuple(axis for axis, _ in self.axes(name)))
            for name, _, axes in split
        )

    def span(self, text: str) -> Span:
        start = len(self.source.text)
        object.__setattr__(self.source, "text", f"{self.source.text}{text}\n")
        return Span(self.source, start, start + len(text))


def sized(value: Any) -> Any:
    """An attribute with its size expressions dressed as sizes."""
    if isinstance(value, tuple):
        return tuple(map(sized, value))
    return Size(value) if isinstance(value, SizeExpr) else value


def operand(value: Any) -> terms.Operand:
    if isinstance(value, bool | int | float | complex):
        return terms.Literal(*terms.literal_key(value))
    return terms.SizeRef(Size(value)) if isinstance(value, SizeExpr) else value
