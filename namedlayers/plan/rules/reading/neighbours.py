"""Neighbours that are read and weighed by what is left of a place are readings between grid points.

`X[i = int(floor(u)); fill = 0] * (1 - t) + X[i = int(floor(u)) + 1; fill = 0] * t`, t being `u - floor(u)`, and the
same along two and three axes, is what a sum with hat functions is; with indices that are clipped to the axis, so is it
of X continued by its ends. Where neither is said, what lies outside is an error, and so it is of the reading: of
`int(ceil(u))`, the last coordinate is not. Told by what it computes: each neighbour's weight is looked at for many t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.view import Scope, constant, is_number, size_of
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr

Array = np.ndarray
Offsets = tuple[int, ...]

EDGES = ("zeros", "border", "inside", "within")
"""What a reading does outside: 0, the ends, and places that are refused."""

MOST_NODES = 200
"""So many operations a reading may be made of."""


@dataclass(frozen=True, slots=True)
class _Index:
    """`floor(place) + offset`, or what is above the place, at an offset of 1; `clipped` to the axis on both sides."""

    place: Arg
    offset: int
    clipped: tuple[bool, bool]
    above: bool


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read, with -1 at its `own` axes; where; and what is outside ("": not the same for all)."""

    x: Arg
    own: tuple[int, ...]
    places: tuple[Arg, ...]
    edge: str


@dataclass(frozen=True, slots=True)
class _Value:
    """A weight for each offset; multiples of places and of their floors (`parts`); and a number; at all points."""

    reads: Mapping[Offsets, Array]
    parts: Mapping[tuple[Arg, bool], float]
    number: Array


def _neighbours(scope: Scope, node: Node) -> Outcome:
    if node.kind is not Kind.REAL or not _reads(node):
        return None
    looking = _Looking(scope)
    found = looking.value(scope.whole(), 0)
    source = looking.source
    if found is None or source is None or found.parts or np.any(found.number):
        return None
    sides = [((1 - looking.share(place)), looking.share(place)) for place in source.places]
    corners = set(product((0, 1), repeat=len(sides)))
    if found.reads.keys() != corners:
        return None
    for corner in corners:
        wanted = np.prod([side[k] for side, k in zip(sides, corner, strict=True)], axis=0)
        if not np.allclose(found.reads[corner], wanted, rtol=1e-9, atol=1e-12):
            return None
    if source.edge not in EDGES:
        return Near("indices are clipped at one end only; at both, or with `fill = 0`, one kernel reads all neighbours")
    return Match(source, tuple(looking.nodes))


@dataclass(slots=True)
class _Looking:
    scope: Scope
    source: _Source | None = None
    nodes: list[Node] = field(default_factory=list)
    count: int = 0
    _shares: dict[Arg, Array] = field(default_factory=dict)

    def share(self, place: Arg) -> Array:
        """What is left of a place when its floor is taken away, at all points."""
        if place not in self._shares:
            source = np.random.default_rng(len(self._shares))
            self._shares[place] = np.concatenate([[0.0, 0.5], source.uniform(0, 1, 30)])
        return self._shares[place]

    def value(self, arg: Arg, depth: int) -> _Value | None:
        self.count += 1
        if self.count > MOST_NODES or depth > MOST_NODES:
            return None
        node, number = arg.node, constant(arg.node)
        if number is not None:
            if isinstance(number, complex) or not math.isfinite(number):
                return None
            return _Value({}, {}, np.asarray(float(number)))
        if node.op == "gather":
            return self._read(arg)
        if _floored(self.scope, arg) is not None:
            place = _floored(self.scope, arg)
            assert place is not None
            return _Value({}, {(place, True): 1.0}, np.asarray(0.0))
        if node.op in _STEPS and node.rank == len(node.space):
            parts = [self.value(one, depth + 1) for one in self.scope.operands(arg)]
            given = [part for part in parts if part is not None]
            found = self._together(node.op, given) if len(given) == len(parts) else None
            if found is not None:
                self.nodes.append(node)
                return found
        return _Value({}, {(arg, False): 1.0}, np.asarray(0.0)) if node.kind < Kind.COMPLEX else None

    def _together(self, op: str, given: list[_Value]) -> _Value | None:
        if op == "cast":
            return given[0]
        if op == "neg":
            return _scaled(given[0], np.asarray(-1.0))
        if op in ("add", "sub"):
            return _sum(given[0], given[1], 1 if op == "add" else -1)
        if op == "mod":
            return self._left(given[0]) if not given[1].reads and np.all(given[1].number == 1) else None
        if op == "lerp":
            start, end, weight = given
            apart = self._together("mul", [_sum(end, start, -1), weight])
            return _sum(start, apart, 1) if apart is not None else None
        for one, other in (given, given[::-1]):
            factor = self._settled(other)
            if factor is not None and (not one.parts or not factor.ndim):
                return _scaled(one, factor)
            if factor is not None and (settled := self._settled(one)) is not None:
                return _Value({}, {}, settled * factor)
        return None

    def _left(self, value: _Value) -> _Value | None:
        """u % 1"""
        if value.reads or len(value.parts) != 1 or np.any(value.number):
            return None
        (((place, floored), scale),) = value.parts.items()
        return _Value({}, {}, self.share(place)) if not floored and scale == 1 else None

    def _settled(self, value: _Value) -> Array | None:
        """A weight: places less their floors, and numbers."""
        if value.reads:
            return None
        total = value.number
        for (place, floored), scale in value.parts.items():
            if value.parts.get((place, not floored)) != -scale:
                return None
            if not floored:
                total = total + scale * self.share(place)
        return total

    def _read(self, arg: Arg) -> _Value | None:
        own = arg.node.attr("axes")
        assert isinstance(own, tuple)
        x, *rest = self.scope.operands(arg)
        fill = rest[len(own)] if arg.node.attr("fill") else None
        sizes = [x.node.sizes[k] for k in own]
        indices = [_index(self.scope, one, size) for one, size in zip(rest[: len(own)], sizes, strict=True)]
        known = [one for one in indices if one is not None]
        if x.node.kind is not Kind.REAL or len(known) < len(indices) or (fill is not None and not is_number(fill, 0)):
            return None
        clipped = [side for one in known for side in one.clipped]
        edge = "border" if all(clipped) else "" if any(clipped) else _refused(known) if fill is None else "zeros"
        source = _Source(x, own, tuple(one.place for one in known), edge)
        if self.source is not None and self.source != source:
            if replace(self.source, edge=edge) != source:
                return None
            source = replace(source, edge=_EITHER.get(frozenset({self.source.edge, edge}), ""))
        self.source = source
        self.nodes.append(arg.node)
        return _Value({tuple(one.offset for one in known): np.asarray(1.0)}, {}, np.asarray(0.0))


# --- helpers ----------------------------------------------------------------------------------------------------------


_STEPS = frozenset({"add", "sub", "mul", "neg", "mod", "cast", "lerp"})

_EITHER = {frozenset({"any", "inside"}): "inside", frozenset({"any", "within"}): "within"}
"""What is outside for two readings, of which one is of floors alone."""


def _reads(node: Node) -> bool:
    """Whether something is read by index in it: next to nothing is."""
    waiting, seen = [node], 0
    while waiting and seen < MOST_NODES:
        one, seen = waiting.pop(), seen + 1
        if one.op == "gather":
            return True
        if one.op in _STEPS:
            waiting += [arg.node for arg in one.args]
    return False


def _sum(first: _Value, second: _Value, sign: int) -> _Value:
    reads, parts = dict(first.reads), dict(first.parts)
    for offsets, weight in second.reads.items():
        reads[offsets] = reads.get(offsets, np.asarray(0.0)) + sign * weight
    for part, scale in second.parts.items():
        parts[part] = parts.get(part, 0.0) + sign * scale
    return _Value(reads, {part: scale for part, scale in parts.items() if scale}, first.number + sign * second.number)


def _scaled(value: _Value, factor: Array) -> _Value:
    reads = {offsets: weight * factor for offsets, weight in value.reads.items()}
    parts = {part: scale * float(factor) for part, scale in value.parts.items()}
    return _Value(reads, parts, value.number * factor)


def _floored(scope: Scope, arg: Arg) -> Arg | None:
    """u if an operand is floor(u), as a real or an integer."""
    while arg.node.op in ("int", "cast"):
        (arg,) = scope.operands(arg)
    return scope.operands(arg)[0] if arg.node.op == "floor" else None


def _refused(known: Sequence[_Index]) -> str:
    """Which places are refused: those with none behind them ("inside"), or those behind the last one ("within")."""
    behind = {one.above for one in known if one.offset}
    return "any" if not behind else "" if len(behind) > 1 else "within" if True in behind else "inside"


def _index(scope: Scope, arg: Arg, size: SizeExpr) -> _Index | None:
    """floor(u) plus a number, clipped or not; ceil(u) is one further where its weight is not 0."""
    low = high = False
    while arg.node.op in ("relu", "minimum", "maximum"):
        inner = scope.operands(arg)
        if arg.node.op == "relu":
            arg, low = inner[0], True
            continue
        found = next(((one, bound) for one, bound in (inner, inner[::-1]) if size_of(bound.node) is not None), None)
        if found is None or size_of(found[1].node) != (size - 1 if arg.node.op == "minimum" else 0):
            return None
        low, high = low or arg.node.op == "maximum", high or arg.node.op == "minimum"
        arg = found[0]
    total = scope.sum(arg)
    if len(total.terms) != 1 or total.terms[0][0] < 0 or not isinstance(total.number, int):
        return None
    place, offset, above = _floored(scope, total.terms[0][1]), total.number, False
    if place is None and not offset and total.terms[0][1].node.op == "int":
        (inner_arg,) = scope.operands(total.terms[0][1])
        if inner_arg.node.op == "ceil":
            place, offset, above = scope.operands(inner_arg)[0], 1, True
    return _Index(place, offset, (low, high), above) if place is not None else None


def _build(scope: Scope, node: Node, source: _Source) -> Arg:
    operands = (source.x, *source.places)
    attrs = {"axes": source.own, "edge": source.edge}
    return scope.build("sample", operands, range(node.rank), kind=Kind.REAL, attrs=attrs)


RULES = (Rule("neighbours that are read", "algebraic", ("add", "sub"), _neighbours, _build),)
