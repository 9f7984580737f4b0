"""Discrete Fourier, cosine and sine transforms written as sums: `sum[t](X * exp(-2j * pi * f * t / |t|))`.

An angle that is a whole part of a turn times two coordinates, each moved by a number, is that of a transform: whatever
its period, its sign, and what the coordinates begin at, so that all kinds of cosine and sine transforms are in it. What
always holds: the period is no less than either axis, for all sizes; what is transformed has no frequencies yet.

The fast transform is the more accurate one: its error is eps log n of the root of the sum of squares, where that of the
sum may be n eps of the sum of magnitudes. (A convolution made of transforms is another thing: its small values have the
error of its large ones.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.view import Number, Product, Scope, size_of
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

NAME = "fast Fourier transform"

_WAVES = frozenset({"exp", "cos", "sin"})
_EXACTLY = 1e-12
"""How far a written number may be from a part of a turn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """sign * 2 pi (t + moved[0]) (f + moved[1]) / period"""

    axes: tuple[int, int]
    sign: int
    moved: tuple[float, float]
    period: SizeExpr


@dataclass(frozen=True, slots=True)
class _Found:
    wave: str
    turn: Turn
    factors: tuple[Arg, ...]


def _match(scope: Scope, node: Node) -> Outcome:
    near: Outcome = None
    for wave, turn in _turns(scope, node):
        if turn is None:
            near = Near("its angle is no whole part of a turn times both coordinates", wave.node.spans)
            continue
        outcome = _transform(scope, node, wave, turn)
        if isinstance(outcome, Match):
            return outcome
        near = outcome or near
    return near


def _turns(scope: Scope, node: Node) -> Iterator[tuple[Arg, Turn | None]]:
    for arg in node.args:
        if arg.node.op in _WAVES and len(arg.axes) == 2 and (arg.node.op == "exp") == (arg.node.kind is Kind.COMPLEX):
            angle = scope.product(scope.operands(arg)[0])
            first, second = sorted(arg.axes, reverse=True)  # what is summed over comes last
            if first >= node.rank > second:
                moved = [_affine(scope, one) for one in angle.top if one.axes]
                if sorted(c for one in moved if one is not None for c in one[:1]) == [second, first]:
                    yield arg, _turn(angle, {one[0]: one[1:] for one in moved if one is not None}, first, second)


def _transform(scope: Scope, node: Node, wave: Arg, turn: Turn) -> Outcome:
    time, frequency = turn.axes
    factors = tuple(arg for arg in node.args if arg is not wave)
    kept = {c for arg in factors for c in arg.axes} - (set(range(node.rank, len(node.space))) - {time})
    kinds = {arg.node.kind for arg in factors}
    if frequency in kept or time not in kept or not any(kept <= set(arg.axes) for arg in factors):
        return None
    if not kinds <= ({Kind.REAL, Kind.COMPLEX} if wave.node.op == "exp" else {Kind.REAL}):
        return None
    for c in turn.axes:
        if not (turn.period - scope.sizes[c]).nonnegative:
            return Near(f"{scope.names[c]} may be longer than its period, {turn.period}", wave.node.spans)
    return Match(_Found(wave.node.op, turn, factors), (wave.node,))


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    turn = found.turn
    time, frequency = turn.axes
    x = contraction(scope, list(found.factors), set(range(node.rank, len(node.space))) - {time})
    result = sorted({*x.axes, frequency} - {time})
    attrs = {
        "axis": len(result), "into": result.index(frequency), "wave": found.wave, "sign": turn.sign,
        "moved": turn.moved, "period": turn.period,
    }  # fmt: skip
    return scope.build("harmonics", (x,), result, (time,), kind=node.kind, attrs=attrs)


RULES = (Rule(NAME, "algebraic", ("contract",), _match, _build),)

# --- helpers ----------------------------------------------------------------------------------------------------------


def _turn(angle: Product, moved: dict[int, tuple[float, float]], time: int, frequency: int) -> Turn | None:
    """The angle number * product(step * c + offset) / sizes."""
    number = angle.number / 1j if isinstance(angle.number, complex) else angle.number
    period = const(1)
    for one in (*angle.bottom, *(one for one in angle.top if not one.axes)):
        size = size_of(one.node)
        if size is None or one in angle.top:
            return None
        period = period * size
    if isinstance(number, complex):
        if number.imag:
            return None
        number = number.real
    for step, _ in moved.values():
        number *= step
    parts = 2 * pi / number if number else 0.0
    if not parts or abs(parts - round(parts)) > _EXACTLY * abs(parts):
        return None
    offsets = tuple(moved[c][1] / moved[c][0] for c in (time, frequency))
    return Turn((time, frequency), 1 if parts > 0 else -1, (offsets[0], offsets[1]), period * abs(round(parts)))


def _affine(scope: Scope, arg: Arg) -> tuple[int, float, float] | None:
    """A coordinate, its step and what is added."""
    total = scope.sum(arg)
    if len(total.terms) != 1 or isinstance(total.number, complex):
        return None
    ((sign, term),) = total.terms
    whole = scope.product(term)
    if len(whole.top) != 1 or whole.bottom or whole.top[0].node.op != "coord" or not _is_real(whole.number):
        return None
    return whole.top[0].axes[0], float(sign * whole.number), float(total.number)  # type: ignore[arg-type]


def _is_real(number: Number) -> bool:
    return not isinstance(number, complex) and number != 0
