"""How each primitive is written in the language.

In: a primitive's attributes, operands and result axes under local names. Out: a piece of text, and the names that the
result's axes bear in it. What always holds: the text makes this primitive and no other operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from namedlayers.program import spelling
from namedlayers.program.size import SizeExpr, const, size_expr
from namedlayers.program.spelling import Piece
from namedlayers.program.terms import Operand, Ref


@dataclass(frozen=True, slots=True)
class Printed:
    """`names`: what each of the result's axes is called in the text, by local name."""

    piece: Piece
    names: Mapping[str, str]


class Speller(Protocol):
    """What the forms ask of the printer."""

    sizes: dict[str, SizeExpr]

    def operand(self, operand: Operand) -> Piece: ...

    def size(self, expr: SizeExpr) -> Piece: ...

    def stated(self, axis: str, size: SizeExpr, avoid: Iterable[str] = ()) -> str: ...

    def fresh(self, name: str) -> str: ...


Attrs = Mapping[str, Any]
Operands = tuple[Operand, ...]
Sizes = Mapping[str, SizeExpr]


@dataclass(frozen=True, slots=True)
class Form:
    """`names` are the functions that the text calls."""

    write: Callable[[Speller, Attrs, Operands, Sizes], Printed]
    names: frozenset[str] = frozenset()

    def __call__(self, speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
        return self.write(speller, attrs, operands, sizes)


# --- functions --------------------------------------------------------------------------------------------------------


def _function(name: str, *brackets: str) -> Form:
    """`name[brackets](operands)`, the brackets named by the attributes that hold them."""

    def write(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
        axes = [attrs[one] for one in brackets] if brackets else None
        return _same(spelling.call(name, map(speller.operand, operands), axes), sizes)

    return Form(write, frozenset({name}))


def _named_by(attribute: str, names: Mapping[Any, str]) -> Form:
    """`cumsum[axis](A)`: the attribute tells which function it is."""

    def write(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
        piece = spelling.call(names[attrs[attribute]], map(speller.operand, operands), [attrs["axis"]])
        return _same(piece, sizes)

    return Form(write, frozenset(names.values()))


def _sorting(name: str) -> Form:
    def write(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
        options = {"descending": "True"} if attrs["descending"] else {}
        return _same(spelling.call(name, map(speller.operand, operands), [attrs["axis"]], **options), sizes)

    return Form(write, frozenset({name}))


def _fft(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    name = "ifft" if attrs["inverse"] else "fft"
    return _same(spelling.call(name, map(speller.operand, operands), [f"{attrs['axis']} -> {attrs['into']}"]), sizes)


def _expand(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    stated = {axis: speller.stated(axis, size_expr(size)) for axis, size in attrs["axes"]}
    piece = spelling.call("expand", map(speller.operand, operands), stated.values())
    return Printed(piece, {axis: stated.get(axis, axis) for axis in sizes})


def _pad(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    a, value = map(speller.operand, operands)
    options = {name: speller.size(size_expr(attrs[name])).text for name in ("before", "after")}
    options = {name: text for name, text in options.items() if text != "0"}
    if attrs["mode"] != "constant":
        options["mode"] = f'"{attrs["mode"]}"'
    if value.text != "0":
        options["value"] = value.text
    return _same(spelling.call("pad", (a,), [attrs["axis"]], **options), sizes)


def _fold(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    (a,) = operands
    assert isinstance(a, Ref)
    own = {axis: size_expr(size) for axis, size in a.axes}
    given = {name: size_expr(attrs[name]) for name in ("stride", "dilation", "padding", "size")}
    windows, width = own[attrs["axis"]], own[attrs["kernel"]]
    smallest = (windows - 1) * given["stride"] + given["dilation"] * (width - 1) + 1 - 2 * given["padding"]
    given["output_padding"] = given.pop("size") - smallest
    plain = {"stride": 1, "dilation": 1, "padding": 0, "output_padding": 0}
    options = {name: speller.size(size).text for name, size in given.items() if size != plain[name]}
    piece = spelling.call("fold", (speller.operand(a),), [attrs["axis"], attrs["kernel"]], **options)
    return _same(piece, sizes)


# --- draws ------------------------------------------------------------------------------------------------------------


def _random(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    """Over all axes of the result, in brackets; p is seen along them."""
    stated = {axis: speller.stated(axis, size_expr(size)) for axis, size in attrs["axes"]}
    seen = (
        Ref(one.name, tuple((stated.get(axis, axis), size) for axis, size in one.axes)) if isinstance(one, Ref) else one
        for one in operands
    )
    name = f"{attrs['distribution']}[{', '.join(stated.values())}]"
    return Printed(spelling.call(name, map(speller.operand, seen)) if operands else Piece(name), stated)


def _categorical(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    """Over the axes of the weights; over others, the weights are spread first."""
    (a,) = operands
    own = {axis for axis, _ in a.axes} if isinstance(a, Ref) else set()
    stated = {axis: speller.stated(axis, size) for axis, size in sizes.items() if axis not in own}
    piece = speller.operand(a)
    if stated:
        piece = spelling.call("expand", (piece,), stated.values())
    return Printed(spelling.call("categorical", (piece,), [attrs["axis"]]), {a: stated.get(a, a) for a in sizes})


def _dropout(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    a, p = map(speller.operand, operands)
    return _same(spelling.call("dropout", (a,), p=p.text), sizes)


# --- brackets ---------------------------------------------------------------------------------------------------------


def _gather(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    a, *rest = map(speller.operand, operands)
    entries = [f"{axis} = {at.text}" for axis, at in zip(attrs["axes"], rest, strict=False)]
    return _same(spelling.index(a, entries, rest[-1] if attrs["fill"] else None), sizes)


def _merge(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    (a,) = map(speller.operand, operands)
    return _same(spelling.index(a, [f"({', '.join(attrs['axes'])}) -> {attrs['into']}"]), sizes)


def _split(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    (a,) = map(speller.operand, operands)
    parts = [(axis, size_expr(size)) for axis, size in attrs["into"]]
    names = {axis: axis if speller.sizes.get(axis, size) == size else speller.fresh(axis) for axis, size in parts}
    listed = ", ".join(f"{names[axis]} = {speller.size(size).text}" for axis, size in parts)
    piece = spelling.index(a, [f"{attrs['axis']} -> ({listed})"])
    return Printed(piece, {axis: names.get(axis, axis) for axis in sizes})


def _index(speller: Speller, attrs: Attrs, operands: Operands, sizes: Sizes) -> Printed:
    (a,) = operands
    assert isinstance(a, Ref)
    reading = _Reading(speller, {axis: size_expr(size) for axis, size in a.axes}, attrs["entries"], sizes)
    entries = [reading.entry(*entry) for entry in attrs["entries"]]
    return Printed(spelling.index(speller.operand(a), entries), {axis: reading.names.get(axis, axis) for axis in sizes})


class _Reading:
    """The entries of one index. `names`: what its new axes are called; those of unknown size are the indexed ones."""

    def __init__(self, speller: Speller, own: Sizes, entries: Any, sizes: Sizes) -> None:
        self.speller, self.own, self.sizes = speller, own, sizes
        self.entries = {axis: dict(coefficients) for axis, coefficients, _ in entries}
        self.names: dict[str, str] = {}
        for axis, coefficients, offset in entries:
            for name in dict(coefficients):
                if name not in own or name in self.entries:
                    self.names.setdefault(name, self.new(name, axis, size_expr(offset)))

    def new(self, name: str, axis: str, offset: SizeExpr) -> str:
        """The name of a new axis: one whose size is found as the language finds it, or one with a stated size."""
        alone = sum(name in coefficients for coefficients in self.entries.values()) == 1
        if name == axis and alone and (self.largest(axis, offset) == self.sizes[axis] or self.slice(axis, offset)):
            return name
        return self.speller.stated(name, self.sizes[name], avoid=self.own)

    def largest(self, axis: str, offset: SizeExpr) -> SizeExpr | None:
        """The size that the language gives to the axis itself: the largest for which all indices are in range."""
        coefficients = {name: size_expr(c) for name, c in self.entries[axis].items()}
        step = coefficients[axis]
        if not step.nonnegative or step == 0:
            return self.own[axis]
        last = offset
        for name, c in coefficients.items():
            if name != axis and c.nonnegative:
                last = last + c * (self.sizes[name] - 1)
        return (self.own[axis] - 1 - last) // step + 1

    def slice(self, axis: str, offset: SizeExpr) -> str | None:
        """`start:stop:step`, where the entry is one."""
        step = size_expr(self.entries[axis].get(axis, 0)).value
        if len(self.entries[axis]) != 1 or not step:
            return None
        length, way = self.sizes[axis], 1 if step > 0 else -1
        # From the first to just after the last; left out where the whole rest of the axis is meant.
        stop = offset + step * (length - 1) + way
        rest = self.own[axis] - offset if step > 0 else offset + 1
        whole = (rest + abs(step) - 1) // abs(step) == length
        if not whole and stop.value is not None and stop.value < 0:
            return None
        first = offset == (0 if step > 0 else self.own[axis] - 1)
        shown = "" if whole else self.speller.size(stop).text
        return f"{'' if first else self.speller.size(offset).text}:{shown}{'' if step == 1 else f':{step}'}"

    def entry(self, axis: str, coefficients: Any, offset: Any) -> str:
        offset = size_expr(offset)
        mine = self.names.get(axis) == axis and axis in self.entries[axis]
        if mine and self.largest(axis, offset) != self.sizes[axis]:
            return f"{axis} = {self.slice(axis, offset)}"
        ordered = sorted(coefficients, key=lambda one: (one[0] != axis, one[0]))
        parts = [(self.speller.size(size_expr(c)), self.names.get(name, name)) for name, c in ordered]
        rest = self.speller.size(offset) if offset != const(0) or not parts else None
        return f"{axis} = {spelling.affine(parts, rest)}"


def _same(piece: Piece, sizes: Sizes) -> Printed:
    return Printed(piece, {axis: axis for axis in sizes})


FORMS: dict[str, Form] = {
    "where": _function("where"),
    "expand": Form(_expand, frozenset({"expand"})),
    "index": Form(_index),
    "gather": Form(_gather),
    "merge": Form(_merge),
    "split": Form(_split),
    "pad": Form(_pad, frozenset({"pad"})),
    "fold": Form(_fold, frozenset({"fold"})),
    "concat": _function("concat", "axis"),
    "stack": _function("stack", "axis"),
    "cumulative": _named_by(
        "op", {"sum": "cumsum", "prod": "cumprod", "max": "cummax", "min": "cummin", "logsumexp": "logcumsumexp"}
    ),
    "argreduce": _named_by("op", {"max": "argmax", "min": "argmin"}),
    "sort": _sorting("sort"),
    "argsort": _sorting("argsort"),
    "fft": Form(_fft, frozenset({"fft", "ifft"})),
    "inv": _function("inv", "row", "column"),
    "solve": _function("solve", "row", "column"),
    "cholesky": _function("cholesky", "row", "column"),
    "eigenvalues": _function("eigh", "row", "column", "into"),
    "eigenvectors": _function("eigh", "row", "column", "into"),
    "det": _function("det", "row", "column"),
    "finfo": _function("finfo_eps"),
    "random": Form(_random, frozenset({"uniform", "normal", "bernoulli"})),
    "categorical": Form(_categorical, frozenset({"categorical", "expand"})),
    "dropout": Form(_dropout, frozenset({"dropout"})),
}
