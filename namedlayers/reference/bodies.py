"""What runs a body: `call` once, `scan` step by step.

In: attributes with integers for sizes, operands placed on the body's inputs, and what runs a body once. Out: the bundle
of its outputs, and whether all that was computed is finite. What always holds: an axis of a value that goes into a body
or comes out of it is called by its number in the order that the body's input or output states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from namedlayers.program.program import Body
from namedlayers.program.terms import Operand, Ref
from namedlayers.reference.named import Named, Origin

Bundle = tuple[Named, ...]


class Runner(Protocol):
    """What runs a body, and gives an output along a scan without steps."""

    def once(self, body: Body, given: Sequence[Named]) -> tuple[Bundle, bool]: ...

    def empty(self, body: Body, number: int) -> np.ndarray: ...


def call(runner: Runner, attrs: Mapping[str, Any], given: Sequence[Named]) -> tuple[Bundle, bool]:
    return runner.once(attrs["body"], given)


def scan(runner: Runner, attrs: Mapping[str, Any], given: Sequence[Named]) -> tuple[Bundle, bool]:
    body, carries = attrs["body"], attrs["carries"]
    carried, seen = list(given[:carries]), given[carries:]
    forwards = range(attrs["size"])
    rows: dict[int, Bundle] = {}
    finite = True
    for step in reversed(forwards) if attrs["reverse"] else forwards:
        rows[step], all_finite = runner.once(body, [*carried, *(_at(value, step) for value in seen)])
        carried = list(rows[step][:carries])
        finite = finite and all_finite
    return tuple(_joined(runner, body, number, [rows[step] for step in forwards]) for number in
                 range(len(body.outputs))), finite  # fmt: skip


RUNS: dict[str, Callable[[Runner, Mapping[str, Any], Sequence[Named]], tuple[Bundle, bool]]] = {
    "call": call,
    "scan": scan,
}


def placed(operand: Operand, value: Named, scanned: str | None) -> Named:
    """An operand on the body's input."""
    own = [axis for axis, _ in operand.axes if axis != scanned] if isinstance(operand, Ref) else []
    axes = (_SCANNED if axis == scanned else str(own.index(axis)) for axis in value.axes)
    return Named(value.array, tuple(axes), value.made)


def into(value: Named, names: Sequence[str]) -> Named:
    """A value under names instead of numbers."""
    return Named(value.array, tuple(names[int(axis)] for axis in value.axes), value.made)


def out_of(value: Named, order: Sequence[str]) -> Named:
    """A value under numbers instead of names."""
    return Named(value.array, tuple(str(order.index(axis)) for axis in value.axes), value.made)


_SCANNED = "scanned"


def _at(value: Named, step: int) -> Named:
    """A value at one step, where it has the scanned axis."""
    return _taken(value, value.axes.index(_SCANNED), step, _REMEMBERED) if _SCANNED in value.axes else value


_REMEMBERED = 3
"""How far back it matters what a value was made of: a quotient, its sum, the terms of that."""


def _taken(value: Named, position: int, step: int, remembered: int) -> Named:
    array = np.asarray(value.array[(slice(None),) * position + (step,)])
    made = _made_at(value.made, position, step, remembered - 1) if value.made and remembered else None
    return Named(array, _without(value.axes, position), made)


def _made_at(made: Origin, position: int, step: int, remembered: int) -> Origin:
    """How one step of a value was made: of the same step of what it was made of."""
    axis = made.axes[position]
    operands = (
        _taken(one, one.axes.index(axis), step, remembered) if axis in one.axes else one for one in made.operands
    )
    return Origin(made.op, tuple(operands), _without(made.axes, position))


def _without(axes: tuple[str, ...], position: int) -> tuple[str, ...]:
    return axes[:position] + axes[position + 1 :]


def _joined(runner: Runner, body: Body, number: int, rows: Sequence[Bundle]) -> Named:
    """An output of all steps, along a new first axis."""
    values = [row[number] for row in rows]
    array = (
        np.stack([value.over(_numbers(len(value.axes))) for value in values]) if rows else runner.empty(body, number)
    )
    return Named(array, _numbers(array.ndim))


def _numbers(rank: int) -> tuple[str, ...]:
    return tuple(map(str, range(rank)))
