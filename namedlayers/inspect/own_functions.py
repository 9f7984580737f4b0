"""The language's own functions and constants, as mathematics writes them.

In: a call, and what writes its arguments. Out: `Phrase`. What always holds: data, by the function's name; a definition
of the user's of the same name is not one of these, which the caller knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from namedlayers.inspect import mathematics as m
from namedlayers.inspect.mathematics import Math
from namedlayers.inspect.phrases import BIG, COMPARISON, POWER, Phrase, Writer
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class Form:
    """How a function of so many arguments is written, applied over axes or not."""

    write: Callable[[Writer, tree.Call], Phrase]
    over_axes: bool = False


def _around(kind: str) -> Callable[[Writer, tree.Call], Phrase]:
    return lambda writer, node: Phrase(m.fenced(kind, writer.of(node.args[0])))


def _big(name: str) -> Callable[[Writer, tree.Call], Phrase]:
    def write(writer: Writer, node: tree.Call) -> Phrase:
        return Phrase(m.row(m.big(name, writer.listed(node.entries or ())), writer.of(node.args[0], BIG)), BIG)

    return write


def _norm(writer: Writer, node: tree.Call) -> Phrase:
    return Phrase(m.sub(m.fenced("‖", writer.of(node.args[0])), writer.listed(node.entries or ())), POWER)


def _reciprocal_root(writer: Writer, node: tree.Call) -> Phrase:
    return Phrase(m.frac(m.number(1), m.root(writer.of(node.args[0]))), POWER)


def _cases(writer: Writer, node: tree.Call) -> Phrase:
    """`where`, and what stands in the last place of one, as one list."""
    rows: list[tuple[Math, Math]] = []
    rest: tree.Expr = node
    while isinstance(rest, tree.Call) and isinstance(rest.function, tree.Name) and rest.function.name == "where":
        if len(rest.args) != 3 or rest.options or rest.entries or any(one.name for one in rest.args):
            break
        condition, chosen, other = (one.value for one in rest.args)
        rows.append((writer.of(chosen), m.row(m.text("if "), writer.of(condition))))
        rest = other
    rows.append((writer.of(rest), m.text("otherwise")))
    return Phrase(m.cases(rows), COMPARISON)


FORMS = MappingProxyType({
    ("sum", 1): Form(_big("sum"), over_axes=True),
    ("prod", 1): Form(_big("prod"), over_axes=True),
    ("norm", 1): Form(_norm, over_axes=True),
    ("sqrt", 1): Form(lambda writer, node: Phrase(m.root(writer.of(node.args[0])))),
    ("rsqrt", 1): Form(_reciprocal_root),
    ("abs", 1): Form(_around("|")),
    ("floor", 1): Form(_around("⌊")),
    ("ceil", 1): Form(_around("⌈")),
    ("conj", 1): Form(lambda writer, node: Phrase(m.overline(writer.of(node.args[0])))),
    ("where", 3): Form(_cases),
})  # fmt: skip


def _named(latex: str, shown: str) -> Math:
    return Math(latex, f'<mi mathvariant="normal">{shown}</mi>')


FUNCTIONS = MappingProxyType({
    **{name: _named(rf"\{name}", name) for name in "exp log sin cos tan sinh cosh tanh max min det".split()},
    **{f"a{name}": _named(rf"\arc{name}", f"arc{name}") for name in ("sin", "cos", "tan")},
    "maximum": _named(r"\max", "max"),
    "minimum": _named(r"\min", "min"),
    "log2": m.sub(Math(r"\log", '<mi mathvariant="normal">log</mi>', True), m.number(2)),
    "sigmoid": _named(r"\sigma", "σ"),
    "real": m.word("Re"),
    "imag": m.word("Im"),
    "all": m.word("all"),
})  # fmt: skip
"""Functions that have a name of their own in mathematics."""

OVER_AXES: MappingProxyType[str, Callable[[Math], Math]] = MappingProxyType({
    "index": lambda axes: axes,
    "zeros": lambda axes: m.sub(Math(r"\mathbf{0}", '<mn class="bold">0</mn>', True), axes),
    "ones": lambda axes: m.sub(Math(r"\mathbf{1}", '<mn class="bold">1</mn>', True), axes),
})  # fmt: skip
"""Constants over axes."""

CONSTANTS = MappingProxyType({
    "pi": m.sign("pi"), "inf": m.sign("inf"), "nan": m.word("NaN"), "True": m.word("true"), "False": m.word("false"),
})  # fmt: skip
