"""Reading along one axis what its place alone says: pieces of it one after the other, not elements by number.

`X[t = minimum(t + 1, |t| - 1)]` is held at its end, `X[t = s // 4]` has each element four times, `X[t = s % |t|]` the
whole several times. What always holds: every element is the one that the index reads, or it is refused, as it was.
"""

from __future__ import annotations

from typing import NamedTuple

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.linear_forms import linear_form
from namedlayers.plan.rules.windows.around import above_zero, below
from namedlayers.plan.view import Scope, size_of
from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr, const


class _Entry(NamedTuple):
    """Axis `own` of the source is read at `position + first`, which is brought back as `how` says."""

    own: int
    position: int
    how: str
    first: SizeExpr
    times: SizeExpr


def _arranged(scope: Scope, node: Node) -> Outcome:
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    if node.attr("fill"):
        return None
    source, *indices = node.args
    space: list[_Entry] = []
    for own, index in zip(axes, indices, strict=True):
        entry = _entry(scope, node, own, index)
        if entry is None or entry.position in source.axes:
            return None
        space.append(entry)
    if len({entry.position for entry in space}) < len(space):
        return None
    return Match(tuple(space), tuple(index.node for index in indices))


def _entry(scope: Scope, node: Node, own: int, index: Arg) -> _Entry | None:
    size, times = node.args[0].node.sizes[own], const(1)
    if index.node.op in ("floordiv", "mod"):
        inner, divisor = scope.operands(index)
        number = size_of(divisor.node)
        place = _place(scope, inner)
        if number is None or place is None or (index.node.op == "mod" and number != size):
            return None
        if index.node.op == "mod":
            return _Entry(own, place[0], "around", place[1], times)
        return _Entry(own, place[0], "each", place[1], number)
    inner, ends = _held(scope, index, size)
    place = _place(scope, inner) if ends else None
    if place is None:
        return None
    position, first = place
    starts = "first" in ends or first.nonnegative
    stops = "last" in ends or (size - node.space[position] - first).nonnegative
    return _Entry(own, position, "held", first, times) if starts and stops else None


def _held(scope: Scope, index: Arg, size: SizeExpr) -> tuple[Arg, frozenset[str]]:
    """What is brought back to an axis of this size, and at which of its ends."""
    ends: frozenset[str] = frozenset()
    while True:
        for end, inner in (("first", above_zero(scope, index)), ("last", below(scope, index, size - 1))):
            if inner is not None:
                index, ends = inner, ends | {end}
                break
        else:
            return index, ends


def _place(scope: Scope, index: Arg) -> tuple[int, SizeExpr] | None:
    """The coordinate and what is added to it."""
    form = linear_form(scope, index)
    if form is None:
        return None
    first = form.pop(None, const(0))
    ((position, step), *more) = form.items() or ((None, const(0)),)
    return (position, first) if position is not None and step == 1 and not more else None


def _build(scope: Scope, node: Node, space: tuple[_Entry, ...]) -> Arg:
    attrs = {"space": tuple(map(tuple, space))}
    return scope.build("arrange", node.args[:1], range(node.rank), kind=node.kind, attrs=attrs, weak=node.weak)


RULES = (Rule("pieces of an axis", "exact", ("gather",), _arranged, _build),)
