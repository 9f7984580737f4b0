"""Cosines and sines of angles along an axis, and sums of products that are taken part by part along it.

In: angles, rates and whole numbers with any axes. Out: a tensor with all their axes and that of the functions, in the
order that its users like best; or, where a contraction sums over that axis, its operands for one function after the
other. What always holds: nothing is expanded before the functions are taken; functions that nobody wants side by side
are not put there.

A sum over cosines and sines is two products, the second of which adds to the first: to put them side by side takes as
long as it takes to compute them. Where the product of two waves has the axes of both, which is larger than they are,
they are put side by side, and it is one; so it is where they are compiled, side by side as they are computed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from torch import fx

from namedlayers.emit.attributes import listed, position
from namedlayers.emit.kernels.wave_tables import wave_table
from namedlayers.emit.kernels.waves import together, waves
from namedlayers.emit.late import LATE
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

_APART = "apart"
"""Where a tensor notes that it was put together along a dimension, and of what."""


@emits("wave")
def emit_wave(lo: Lowering, node: Node) -> Value:
    axis = position(node, "axis")
    values = lo.operands(node)
    values[:2] = [value if value.kind is Kind.REAL else lo.working(value) for value in values[:2]]
    present = {a for value in values for a in value.axes}
    layout = tuple(a for a in lo.wanted() if a in present)
    of = _waves(lo, values, layout)
    parts = tuple(of(str(name)) for name in listed(node, "parts"))
    dim = max(len(layout) - 1, min(len(layout), 1))
    found = lo.call(together, (parts, dim), (*layout[:dim], axis, *layout[dim:]), kind=Kind.REAL, wish="wave")
    assert isinstance(found.held, fx.Node)
    found.held.meta[_APART] = dim, parts
    return found


def apart(lo: Lowering, node: Node, values: Sequence[Value]) -> list[list[Value]]:
    """The operands of a contraction for one part of its waves after the other, if it is to go from part to part; else
    nothing."""
    if lo.bodies.compiled:
        return []
    joined = {k: found for k, value in enumerate(values) if (found := _parts(value)) is not None}
    for axis in range(node.rank, len(node.space)):
        holders = [k for k, value in enumerate(values) if axis in value.axes]
        if len(holders) == 2 and all(k in joined and values[k].dim(axis) == joined[k][0] for k in holders):
            if not _of_all_pairs(node, values, holders, axis):
                count = len(joined[holders[0]][1])
                return [[_part(v, joined[k][1][n]) if k in holders else v for k, v in enumerate(values)]
                        for n in range(count)]  # fmt: skip
    return []


# --- helpers ----------------------------------------------------------------------------------------------------------


def _waves(lo: Lowering, values: Sequence[Value], layout: tuple[int, ...]) -> Callable[[str], Value]:
    """Functions of an angle by name: its cosines and sines are computed once, whoever asks for them."""
    held = next(value.held for value in reversed(values) if isinstance(value.held, fx.Node) and not value.number)
    made = held.meta.setdefault("waves", {})
    key = tuple((value.held, tuple(map(layout.index, value.axes))) for value in values), lo.dtype()
    if key not in made:
        if _is_table(lo, values):
            place = values[2].held
            assert isinstance(place, fx.Node)
            made[key] = lo.raw(wave_table, (*values[:2], *place.args, lo.dtype()), lo.device(), "waves")
        else:
            given = [_along(lo, value, layout) for value in values] + [None] * (3 - len(values))
            made[key] = lo.raw(waves, (*given, lo.dtype()), {}, "waves")
        made[key].meta |= {"parts": 2, "temporary": True, LATE: True, "named": {}}
    pair = made[key]

    def named(name: str) -> Value:
        known = pair.meta["named"]
        if name not in known and name == "-sin":
            known[name] = lo.call(operator.neg, (named("sin"),), layout, kind=Kind.REAL).held
        elif name not in known:
            known[name] = lo.call(operator.getitem, (pair, _NAMES.index(name)), layout, kind=Kind.REAL, wish=name).held
        known[name].meta[LATE] = True
        return Value(known[name], layout, Kind.REAL, lo.node.weak)

    return named


_NAMES = ("cos", "sin")


def _is_table(lo: Lowering, values: Sequence[Value]) -> bool:
    """Whether these are waves of the coordinates of an axis and of numbers, which calls have in common."""
    numbers = len(values) == 3 and values[0].number and values[1].number
    return numbers and lo.node.args[2].node.op == "coord" and bool(lo.device())


def _along(lo: Lowering, value: Value, layout: tuple[int, ...]) -> Value:
    own = tuple(a for a in layout if a in value.axes)
    return value if value.number else lo.aligned(lo.permuted(value, own), layout)


def _parts(value: Value) -> tuple[int, tuple[Value, ...]] | None:
    found: tuple[int, tuple[Value, ...]] | None = (
        value.held.meta.get(_APART) if isinstance(value.held, fx.Node) else None
    )
    return found


def _part(value: Value, part: Value) -> Value:
    """What stands in the place of a value, of which it is a part."""
    dim, _ = value.held.meta[_APART]  # type: ignore[union-attr]
    return Value(part.held, (*value.axes[:dim], *value.axes[dim + 1 :]), value.kind, value.weak)


def _of_all_pairs(node: Node, values: Sequence[Value], holders: Sequence[int], axis: int) -> bool:
    """Whether the step that sums over an axis gives what has axes that one holder alone has, of either."""
    first, second = (set(values[k].axes) for k in holders)
    here = [set(value.axes) for value in values]
    for pair in listed(node, "path"):
        taken = [here[k] for k in pair]
        here = [one for k, one in enumerate(here) if k not in pair]
        kept = set(range(node.rank)).union(*here)
        here.append(set().union(*taken) & kept)
        if axis not in kept and any(axis in one for one in taken):
            return bool(here[-1] & (first - second)) and bool(here[-1] & (second - first))
    return False
