"""Cosines and sines of angles, side by side along an axis.

In: angles, rates and whole numbers with any axes. Out: a tensor with all their axes and that of the functions, in the
order that its users like best. What always holds: nothing is expanded before the functions are taken.
"""

from __future__ import annotations

from namedlayers.emit.attributes import position
from namedlayers.emit.kernels.waves import wave
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind


@emits("wave")
def emit_wave(lo: Lowering, node: Node) -> Value:
    axis = position(node, "axis")
    values = lo.operands(node)
    values[:2] = [value if value.kind is Kind.REAL else lo.working(value) for value in values[:2]]
    present = {a for value in values for a in value.axes}
    layout = tuple(a for a in lo.wanted() if a in present)
    whole = tuple(a for a in lo.wanted() if a in present or a == axis)
    given = [_along(lo, value, layout) for value in values] + [None] * (3 - len(values))
    attrs = (node.attr("parts"), whole.index(axis), lo.dtype())
    return lo.call(wave, (*given, *attrs), whole, kind=Kind.REAL)


def _along(lo: Lowering, value: Value, layout: tuple[int, ...]) -> Value:
    own = tuple(a for a in layout if a in value.axes)
    return value if value.number else lo.aligned(lo.permuted(value, own), layout)
