"""Conditions that leave each query a band of positions, found in the nodes that compute them.

In: a condition as an operand, the coordinates of queries and positions. Out: how many positions before and after its
own a query sees. What always holds: the condition says exactly this and nothing else; a side that it leaves open is
None.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, isfinite, isqrt

from namedlayers.plan.view import constant, is_number, size_of
from namedlayers.program.graph import Arg
from namedlayers.program.size import SizeExpr, const


@dataclass(frozen=True, slots=True)
class Band:
    """`query - before <= position <= query + after`."""

    before: SizeExpr | None = None
    after: SizeExpr | None = None


def band(condition: Arg, query: int, position: int, holds: bool = True) -> Band | None:
    """The band that a condition leaves; None if it says anything else. `holds`: or that it leaves where it is false."""
    node = condition.node
    if node.op == "not":
        return band(_inside(condition, node.args[0]), query, position, not holds)
    if node.op == ("and" if holds else "or"):
        sides = [band(_inside(condition, arg), query, position, holds) for arg in node.args]
        return None if None in sides else _both(*(side for side in sides if side is not None))
    op = node.op if holds else _OPPOSITE.get(node.op)
    if op not in ("le", "lt", "ge", "gt"):
        return None
    left, right = (_inside(condition, arg) for arg in (node.args if op in ("le", "lt") else node.args[::-1]))
    strict = op in ("lt", "gt")
    near = _near(left, right, strict)
    if near is not None:
        return _both(*(_side(side, query, position) for side in near))
    first, second = _linear(left), _linear(right)
    if first is None or second is None:
        return None
    difference = first.plus(second.times(-1))
    return _side(Linear(difference.coordinates, difference.offset + strict), query, position)


@dataclass(frozen=True, slots=True)
class Linear:
    """A sum of coordinates, each some times, and a size."""

    coordinates: dict[int, int]
    offset: SizeExpr

    def plus(self, other: Linear) -> Linear:
        axes = {*self.coordinates, *other.coordinates}
        total = {a: self.coordinates.get(a, 0) + other.coordinates.get(a, 0) for a in axes}
        return Linear({a: k for a, k in total.items() if k}, self.offset + other.offset)

    def times(self, factor: int) -> Linear:
        return Linear({a: k * factor for a, k in self.coordinates.items()}, self.offset * factor)


# --- helpers ----------------------------------------------------------------------------------------------------------


_OPPOSITE = {"le": "gt", "lt": "ge", "ge": "lt", "gt": "le"}


def _near(left: Arg, right: Arg, strict: bool) -> tuple[Linear, Linear] | None:
    """What is at most 0 if the amount, or the square, of a difference is at most (less than) a bound."""
    square = _squared(left)
    inner = _linear(square or _inside(left, left.node.args[0])) if square or left.node.op == "abs" else None
    if inner is None:
        return None
    number, size = constant(right.node), _linear(right)
    room: SizeExpr | None = None
    if isinstance(number, (int, float)) and isfinite(number):
        most = ceil(number) - 1 if strict else floor(number)
        room = None if most < 0 else const(isqrt(most) if square else most)
    elif size is not None and not size.coordinates and not square:
        room = size.offset - strict
    if room is None:
        return None
    above, below = (Linear(one.coordinates, one.offset - room) for one in (inner, inner.times(-1)))
    return above, below


def _squared(arg: Arg) -> Arg | None:
    """What is multiplied by itself."""
    if arg.node.op not in ("mul", "pow"):
        return None
    first, second = (_inside(arg, inner) for inner in arg.node.args)
    return first if (first == second if arg.node.op == "mul" else is_number(second, 2)) else None


def _both(first: Band | None = None, second: Band | None = None) -> Band | None:
    """Two conditions in one, if no side is bounded by both."""
    if first is None or second is None:
        return None
    if None not in (first.before, second.before) or None not in (first.after, second.after):
        return None
    before = first.before if second.before is None else second.before
    return Band(before, first.after if second.after is None else second.after)


def _side(nonpositive: Linear, query: int, position: int) -> Band | None:
    """What it says that this is at most 0."""
    if nonpositive.coordinates == {position: 1, query: -1}:
        return Band(after=-nonpositive.offset)
    if nonpositive.coordinates == {position: -1, query: 1}:
        return Band(before=-nonpositive.offset)
    return None


def _linear(arg: Arg) -> Linear | None:
    node = arg.node
    size = size_of(node)
    if size is not None:
        return Linear({}, size)
    if node.op == "coord":
        return Linear({arg.axes[0]: 1}, const(0))
    if node.op not in ("add", "sub", "neg"):
        return None
    parts = [_linear(_inside(arg, inner)) for inner in node.args]
    first, second = parts[0], parts[-1]
    if first is None or second is None:
        return None
    if node.op == "neg":
        return first.times(-1)
    return first.plus(second if node.op == "add" else second.times(-1))


def _inside(outer: Arg, inner: Arg) -> Arg:
    """An operand of `outer.node` in the coordinates in which `outer` is."""
    return Arg(inner.node, tuple(outer.axes[p] for p in inner.axes))
