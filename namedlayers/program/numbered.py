"""What a primitive looks like in the graph: its axes in order, its attributes with positions instead of names.

In: a primitive's name, its attributes with local axis names, its operands. Out: a `Form`. What always holds: sizes in
attributes are `SizeExpr`s; the order of the result's axes follows from the operands: an axis that is replaced gives its
place to what replaces it, an axis that comes from nowhere stands last.

`NUMBERED` says what each primitive's attributes are in the graph. An operand's axis that the attributes speak of is -1
in its `Arg`; one that is consumed lies beyond the rank; every other one is the result's axis at that position.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr, size_expr

NUMBERED: dict[str, str] = {
    "where": "no attributes; all axes pass",
    "expand": "axes: positions of the axes that the operand lacks, last",
    "index": "entries: ((A's own axis number, ((position, coefficient SizeExpr), …), offset SizeExpr), …), by axis "
    "number; these axes of A are -1. The other axes of A pass; a position may be that of such an axis (a diagonal)",
    "gather": "axes: A's own axis numbers, ascending, of which the operands I1 … In are the indices; these axes of A "
    "are -1. fill: whether the last operand is read where an index is out of range",
    "merge": "axes: positions beyond the rank, the last varying fastest; into: a position",
    "split": "axis: a position beyond the rank; into: positions, the last varying fastest",
    "pad": "axis: the position of the padded axis, which is -1 in A; before, after: SizeExpr; mode",
    "fold": "axis: the position of the folded axis, which is -1 in A; kernel: a position beyond the rank; stride, "
    "dilation, padding, size: SizeExpr",
    "concat": "axis: the position of the joined axis, which is -1 in every operand",
    "stack": "axis: the position of the new axis, last",
    "cumulative": "axis: a position, in A and the result; op",
    "argreduce": "axis: a position beyond the rank; op",
    "sort": "axis: a position, in A and the result; descending",
    "argsort": "axis: a position, in A and the result; descending",
    "fft": "axis: a position beyond the rank; into: the position of the new axis; inverse",
    "inv": "row, column: positions, in A and the result",
    "solve": "row: a position beyond the rank, in A and b; column: a position, in A and the result",
    "cholesky": "row, column: positions, in A and the result",
    "eigenvalues": "row, column: positions beyond the rank; into: the position of the new axis",
    "eigenvectors": "row: a position, in A and the result; column: a position beyond the rank; into: the position of "
    "the new axis",
    "det": "row, column: positions beyond the rank",
    "finfo": "which; all axes of A lie beyond the rank",
    "random": "distribution, site; the axes are the result's, in the order of the term",
    "categorical": "axis: a position beyond the rank; site; the axes are the result's, in the order of the term",
    "dropout": "site",
    "call": "region; places: for each operand, for each axis of its node, which axis of the body's input it is (all "
    "axes are -1 in its `Arg`); site: 0, or, where the body draws, a number that no other run in this graph has",
    "scan": "region, places, site as of a call, in places -1: the scanned axis; carries; reverse; size: SizeExpr",
    "part": "number; the axes are in the order of the term",
}


@dataclass(frozen=True, slots=True)
class Placed:
    """A node, and the names that its axes bear at one place."""

    node: Node
    names: tuple[str, ...]

    def arg(self, positions: Sequence[str]) -> Arg:
        return Arg(self.node, tuple(positions.index(name) for name in self.names))

    def sizes(self) -> dict[str, SizeExpr]:
        return dict(zip(self.names, self.node.sizes, strict=True))


@dataclass(frozen=True, slots=True)
class Form:
    """`axes` are the result's, `consumed` the others of the index space, both under local names."""

    axes: tuple[str, ...]
    consumed: tuple[str, ...]
    args: tuple[Arg, ...]
    space: tuple[SizeExpr, ...]
    attrs: Mapping[str, Hashable]


Attrs = Mapping[str, Any]


def form(op: str, attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> Form:
    """The form in the graph of a primitive whose result has the axes `sizes`."""
    roles = _ROLES[op](attrs, operands, sizes)
    operands = roles.operands or operands
    axes = _axes(roles, operands, sizes)
    known = {name: size for operand in operands for name, size in operand.sizes().items()}
    place = _Place(axes, roles.consumed, operands)
    args = tuple(_arg(operand, k, roles, place) for k, operand in enumerate(operands))
    space = tuple(sizes[axis] for axis in axes) + tuple(known[axis] for axis in roles.consumed)
    said = {name: value for name, value in attrs.items() if not (roles.stated and name == "axes")}
    listed = {name: _REWRITE.get(name, _as_it_is)(op, value, place) for name, value in said.items()}
    return Form(axes, roles.consumed, args, space, listed)


# --- which axes do what -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Roles:
    """`spoken`: axes of an operand (by its number) of which the attributes speak; `consumed`: those beyond the rank;
    `instead`: what stands in the result where an operand has an axis; `operands`: if they are put in another order;
    `stated`: whether the result's axes are in the order of the term."""

    spoken: Mapping[int, frozenset[str]] = field(default_factory=dict)
    consumed: tuple[str, ...] = ()
    instead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    operands: list[Placed] | None = None
    stated: bool = False


_Rule = Callable[[Attrs, list[Placed], Mapping[str, SizeExpr]], _Roles]


def _pass(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
    return _Roles()


def _index(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
    """New axes stand where the first axis stood that they index, the one with the larger step first."""
    (a,) = operands
    entries = {axis: dict(coefficients) for axis, coefficients, _ in attrs["entries"]}
    ordered = [axis for axis in a.names if axis in entries]

    def steps(name: str) -> tuple[str, ...]:
        by_axis = [str(size_expr(entries[axis].get(name, 0))) for axis in ordered]
        return (*by_axis, str(len(sizes[name].terms)), str(sizes[name]))

    instead = {axis: tuple(sorted(entries[axis], key=steps, reverse=True)) for axis in ordered}
    own = {axis for axis in a.names if axis not in entries}
    instead = {axis: tuple(name for name in names if name not in own) for axis, names in instead.items()}
    return _Roles({0: frozenset(ordered)}, (), instead)


def _gather(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
    a, rest = operands[0], operands[1:]
    indices = dict(zip(attrs["axes"], rest, strict=False))
    ordered = [axis for axis in a.names if axis in indices]
    own = {axis for axis in a.names if axis not in indices}
    instead = {axis: tuple(name for name in indices[axis].names if name not in own) for axis in ordered}
    listed = [a, *(indices[axis] for axis in ordered), *rest[len(indices) :]]
    return _Roles({0: frozenset(ordered)}, (), instead, listed)


def _merge(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
    return _Roles({}, tuple(attrs["axes"]), {attrs["axes"][0]: (attrs["into"],)})


def _split(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
    return _Roles({}, (attrs["axis"],), {attrs["axis"]: tuple(name for name, _ in attrs["into"])})


def _resized(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
    """The axis of the first operand has another size in the result."""
    axis = attrs["axis"]
    return _Roles({0: frozenset({axis})}, (attrs["kernel"],) if "kernel" in attrs else (), {axis: (axis,)})


def _concat(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
    axis = attrs["axis"]
    return _Roles({k: frozenset({axis}) for k in range(len(operands))}, (), {axis: (axis,)})


def _consumes(*names: str, into: str = "") -> _Rule:
    """Consumes the axes that these attributes name; the axis that the attribute `into` names replaces the first."""

    def rule(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
        consumed = tuple(attrs[name] for name in names)
        return _Roles({}, consumed, {consumed[0]: (attrs[into],)} if into else {})

    return rule


def _all(attrs: Attrs, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> _Roles:
    return _Roles({}, operands[0].names)


def _stated(*names: str) -> _Rule:
    """The term says the order of the axes; consumes the axes that these attributes name."""
    return lambda attrs, operands, sizes: _Roles({}, tuple(attrs[name] for name in names), stated=True)


_ROLES: dict[str, _Rule] = {
    "where": _pass,
    "expand": _pass,
    "index": _index,
    "gather": _gather,
    "merge": _merge,
    "split": _split,
    "pad": _resized,
    "fold": _resized,
    "concat": _concat,
    "stack": _pass,
    "cumulative": _pass,
    "argreduce": _consumes("axis"),
    "sort": _pass,
    "argsort": _pass,
    "fft": _consumes("axis", into="into"),
    "inv": _pass,
    "solve": _consumes("row"),
    "cholesky": _pass,
    "eigenvalues": _consumes("row", "column", into="into"),
    "eigenvectors": _consumes("column", into="into"),
    "det": _consumes("row", "column"),
    "finfo": _all,
    "random": _stated(),
    "categorical": _stated("axis"),
    "dropout": _pass,
    "part": _stated(),
}


def _axes(roles: _Roles, operands: list[Placed], sizes: Mapping[str, SizeExpr]) -> tuple[str, ...]:
    found: dict[str, None] = dict.fromkeys(sizes) if roles.stated else {}
    for k, operand in enumerate(operands):
        for name in operand.names:
            gone = name in roles.consumed or name in roles.spoken.get(k, ())
            found |= dict.fromkeys(roles.instead.get(name, ()) if gone else (name,))
    assert found.keys() <= sizes.keys(), f"{set(found)} is more than {set(sizes)}"
    return (*found, *sorted(sizes.keys() - found.keys(), key=lambda name: str(sizes[name])))


def _arg(operand: Placed, number: int, roles: _Roles, place: _Place) -> Arg:
    spoken = roles.spoken.get(number, frozenset())
    return Arg(operand.node, tuple(-1 if name in spoken else place.of_operand(name) for name in operand.names))


# --- attributes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where names lie: in the result, among what is consumed, or in the first operand itself."""

    axes: tuple[str, ...]
    consumed: tuple[str, ...]
    operands: list[Placed]

    def of_result(self, name: str) -> int:
        return self.axes.index(name)

    def of_operand(self, name: str) -> int:
        return len(self.axes) + self.consumed.index(name) if name in self.consumed else self.of_result(name)

    def own(self, name: str) -> int:
        return self.operands[0].names.index(name)


def _entries(op: str, value: Any, place: _Place) -> Hashable:
    return tuple(
        sorted(
            (place.own(axis), tuple(sorted((place.of_result(a), size_expr(c)) for a, c in listed)), size_expr(offset))
            for axis, listed, offset in value
        )
    )


def _axes_attribute(op: str, value: Any, place: _Place) -> Hashable:
    if op == "gather":
        return tuple(sorted(place.own(axis) for axis in value))
    return tuple(place.of_operand(axis) for axis in value) if op == "merge" else _new(value, place)


def _new(value: Any, place: _Place) -> Hashable:
    return tuple(sorted(place.of_result(axis) for axis, _ in value))


def _axis(op: str, value: Any, place: _Place) -> Hashable:
    return place.of_result(value) if op in ("pad", "fold") else place.of_operand(value)


def _into(op: str, value: Any, place: _Place) -> Hashable:
    return tuple(place.of_result(axis) for axis, _ in value) if op == "split" else place.of_result(value)


def _position(op: str, value: Any, place: _Place) -> Hashable:
    return place.of_operand(value)


def _size(op: str, value: Any, place: _Place) -> Hashable:
    return size_expr(value)


def _as_it_is(op: str, value: Any, place: _Place) -> Hashable:
    return value


_REWRITE: dict[str, Callable[[str, Any, _Place], Hashable]] = {
    "entries": _entries,
    "axes": _axes_attribute,
    "axis": _axis,
    "into": _into,
    "row": _position,
    "column": _position,
    "kernel": _position,
    "before": _size,
    "after": _size,
    "stride": _size,
    "dilation": _size,
    "padding": _size,
    "size": _size,
}
