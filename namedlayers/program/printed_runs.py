"""How bodies are written: a scan as a block, a call as a definition that is applied.

In: a statement that is a bundle, with the parts that are taken of it. Out: lines in the printer, and the names of the
parts. What always holds: inside a block the scanned axis stands for itself only, and a name that is carried means the
old value until nothing asks for that any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from namedlayers.program import spelling
from namedlayers.program.program import Body, Input, Output, Statement
from namedlayers.program.size import SizeExpr, size_expr
from namedlayers.program.spelling import Piece
from namedlayers.program.terms import Leaf, Operand, Primitive, Ref
from namedlayers.program.walk import subterms

Parts = Mapping[int, str]
"""The names of the first parts that are taken of a bundle, by number."""


Update = tuple[str, Mapping[str, str]]
"""The name that a statement takes of another value, and what its axes are called then."""

Results = dict[int, tuple[str, tuple[str, ...]]]
"""For outputs by number: what their parts and the axes of these are called."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A printed definition: its name and axis parameters, the names and axes of its inputs, the axes of its results."""

    name: str
    parameters: tuple[str, ...]
    inputs: tuple[tuple[str, tuple[str, ...]], ...]
    results: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Names:
    """What the values of a block are called, what their axes are, by position, and what bundles gave."""

    values: dict[str, str]
    axes: dict[str, tuple[str, ...]]
    bundles: dict[str, Results] = field(default_factory=dict)


class Writer(Protocol):
    """What the printer does for the forms here. `names` are those of the block that is being written; `scanned` the
    axes along which it runs."""

    names: Names
    scanned: tuple[str, ...]

    def line(self, text: str) -> None: ...

    def claim(self, name: str) -> str: ...

    def fresh(self, name: str) -> str: ...

    def stated(self, axis: str, size: SizeExpr, avoid: Iterable[str] = ()) -> str: ...

    def operand(self, operand: Operand) -> Piece: ...

    def value(self, name: str, axes: Iterable[str]) -> Piece: ...

    def signature_of(self, body: Body) -> Signature: ...

    def inside(self, names: Names, axis: str) -> AbstractContextManager[None]: ...

    def statements(self, block: Body, updates: Mapping[str, Update]) -> None: ...


def call(writer: Writer, statement: Statement, parts: Parts) -> Results:
    """`a, b = block(X, Y; p = 2)`."""
    body = _body(statement)
    if not body.outputs:
        return {}
    signature = writer.signature_of(body)
    data, options = [], {}
    for given, operand, (name, axes) in zip(body.inputs, statement.term.operands, signature.inputs, strict=True):
        piece = writer.value(operand.name, axes) if isinstance(operand, Ref) else writer.operand(operand)
        if given.role == "option":
            options[name] = piece.text
        else:
            data.append(piece)
    names = [writer.claim(parts.get(number, output.value)) for number, output in enumerate(body.outputs)]
    applied = spelling.call(signature.name, data, signature.parameters or None, **options)
    writer.line(f"{', '.join(names)} = {applied.text}")
    return dict(enumerate(zip(names, signature.results, strict=True)))


def scan(writer: Writer, statement: Statement, parts: Parts) -> Results:
    """`scan time with h = start:` and its block."""
    attrs, operands = dict(statement.term.attrs), statement.term.operands
    body, carries = _body(statement), attrs["carries"]
    axis = writer.stated(attrs["axis"], size_expr(attrs["size"]), avoid=writer.scanned)
    names = Names({}, {})
    apart = _Apart(writer, (*writer.scanned, axis))
    for given, operand in zip(body.inputs[carries:], operands[carries:], strict=True):
        _captured(apart, given, operand, attrs["axis"], axis, names)
    starts = zip(body.inputs[:carries], operands[:carries], strict=True)
    started = [_carried(apart, given, operand, names) for given, operand in starts]
    backwards = " reversed" if attrs["reverse"] else ""
    carried = f" with {', '.join(started)}" if started else ""
    writer.line(f"scan {axis}{backwards}{carried}:")
    with writer.inside(names, axis):
        results = _block(writer, body, carries, {n: o for n, o in enumerate(body.outputs) if n < carries or n in parts})
    return {number: (name, (axis, *axes)) for number, (name, axes) in results.items()}


RUNS: dict[str, Callable[[Writer, Statement, Parts], Results]] = {"call": call, "scan": scan}


# --- what a scan reads ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Apart:
    """Names for axes that are not among those scanned."""

    writer: Writer
    scanned: tuple[str, ...]

    def __call__(self, axis: str, others: Sequence[str] = ()) -> str:
        return self.writer.fresh(axis) if axis in self.scanned or axis in others else axis


def _carried(apart: _Apart, given: Input, operand: Operand, names: Names) -> str:
    """`h = start`, with the axes that `h` has inside."""
    axes = tuple(apart(axis) for axis, _ in given.axes)
    writer = apart.writer
    start = writer.value(operand.name, axes) if isinstance(operand, Ref) else writer.operand(operand)
    names.values[given.name], names.axes[given.name] = writer.claim(given.name), axes
    return f"{names.values[given.name]} = {start.text}"


def _captured(apart: _Apart, given: Input, operand: Operand, local: str, axis: str, names: Names) -> None:
    """What the block sees of a value around: under its own name, if its axes are called as they must be."""
    writer = apart.writer
    if not isinstance(operand, Ref):
        names.values[given.name], names.axes[given.name] = writer.claim(given.name), ()
        writer.line(f"{names.values[given.name]} = {writer.operand(operand).text}")
        return
    name, now, wanted = writer.names.values[operand.name], writer.names.axes[operand.name], list[str]()
    for (own, _), shown in zip(operand.axes, now, strict=True):
        wanted.append(axis if own == local else apart(shown, wanted))
    if tuple(wanted) != now:
        piece, name = writer.value(operand.name, wanted), writer.claim(given.name)
        writer.line(f"{name} = {piece.text}")
    names.values[given.name], names.axes[given.name] = name, tuple(one for one in wanted if one != axis)


# --- a block ----------------------------------------------------------------------------------------------------------


def _block(writer: Writer, body: Body, carries: int, wanted: Mapping[int, Output]) -> Results:
    """The lines of a block. An output is assigned in it, so that it has a name afterwards."""
    names = writer.names
    carried = list(zip(body.inputs[:carries], body.outputs[:carries], strict=True))
    # What goes in and out: the old value of what is carried, or what the block sees.
    through = [given.name for given in body.inputs if any(output.value == given.name for output in wanted.values())]
    kept = {name: writer.claim(name) for name in through}
    for name, alias in kept.items():
        writer.line(f"{alias} = {names.values[name]}")
    at_once = _at_once(body, carried)
    shown = {given.name: (names.values[given.name], names.axes[given.name]) for given, _ in carried}
    updates = {
        value: (shown[name][0], dict(zip(order, shown[name][1], strict=True)))
        for value, (name, order) in at_once.items()
    }
    writer.statements(body, updates)

    def axes_of(output: Output) -> tuple[str, ...]:
        own = next([axis for axis, _ in value.axes] for value in body.values if value.name == output.value)
        return tuple(names.axes[output.value][own.index(axis)] for axis in output.axes)

    results = {
        number: (kept.get(output.value) or names.values[output.value], axes_of(output))
        for number, output in wanted.items()
    }
    for number, (given, output) in enumerate(carried):
        name, axes = shown[given.name]
        if at_once.get(output.value, ("", ()))[0] != given.name:
            source, now = results[number]
            writer.line(f"{name} = {spelling.renamed(Piece(source), zip(now, axes, strict=True)).text}")
        results[number] = name, axes
    return results


def _at_once(body: Body, carried: Sequence[tuple[Input, Output]]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The statements that may take the name of what is carried, as nothing asks for its old value after them.

    With that name, and the order of the axes.
    """
    last: dict[str, int] = {}
    for number, statement in enumerate(body.statements):
        last |= dict.fromkeys(_read(statement), number)
    places = {statement.name: k for k, statement in enumerate(body.statements) if _is_a_line(statement)}
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for given, output in carried:
        place = places.get(output.value)
        if place is not None and last.get(given.name, -1) <= place and output.value not in found:
            found[output.value] = given.name, output.axes
    return found


def _read(statement: Statement) -> set[str]:
    """The values that a statement refers to."""
    found = set()
    for term in subterms(statement.term):
        if isinstance(term, Leaf):
            found.add(term.name)
        elif isinstance(term, Primitive):
            found |= {operand.name for operand in term.operands if isinstance(operand, Ref)}
    return found


def _is_a_line(statement: Statement) -> bool:
    """Whether a line of its own assigns it, and nothing else."""
    term = statement.term
    return not (isinstance(term, Primitive) and term.op in ("part", "call", "scan", "eigenvalues", "eigenvectors"))


def _body(statement: Statement) -> Body:
    body = dict(statement.term.attrs)["body"]
    assert isinstance(body, Body)
    return body
