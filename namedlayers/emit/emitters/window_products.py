"""Products with windows that no convolution takes.

In: data and factors in any layouts. Out: a tensor whose axes lie as those of the data do, with taps that stay
where whoever uses it wants them, or before all places. What always holds: the data are padded once; nothing else is
copied.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch.nn.functional as F

from namedlayers.emit.emitters.windows import SpaceAxis, spaces
from namedlayers.emit.kernels.window_products import window_product
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node


@emits("window_product")
def emit_window_product(lo: Lowering, node: Node) -> Value:
    space = spaces(node)
    x, w = lo.alike(lo.operands(node))
    places = {axis.source: axis.result for axis in space}
    x = lo.filled(x, (places.keys() | {axis for axis in node.args[0].axes if axis >= 0}))
    w = lo.filled(w, node.args[1].axes)
    x = lo.renamed(_padded(lo, x, space), places)
    taps = tuple(axis.kernel for axis in space)
    axes = _axes(x, w, taps, tuple(places.values()))
    layout = (*taps, *axes)
    form = []
    for axis in space:
        sizes = (lo.space(axis.kernel), lo.space(axis.result), axis.stride, axis.dilation)
        form.append((axes.index(axis.result), *map(lo.size, sizes)))
    gone = [k for k, axis in enumerate(layout) if axis >= node.rank]
    result = _result(lo, node, axes, taps, min(axes.index(axis.result) for axis in space))
    operands = (_among(lo, x, axes), _among(lo, w, layout), form, gone, [*map(layout.index, result)])
    return lo.call(window_product, operands, result)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _axes(x: Value, w: Value, taps: Sequence[int], places: Sequence[int]) -> tuple[int, ...]:
    """All axes but taps: those of the data, and what the factors have besides before the first that is read in
    windows, so that what is added up goes along the data."""
    more = [axis for axis in w.axes if axis not in x.axes and axis not in taps]
    first = min(map(x.dim, places))
    return (*x.axes[:first], *more, *x.axes[first:])


def _result(lo: Lowering, node: Node, axes: Sequence[int], taps: Sequence[int], first: int) -> tuple[int, ...]:
    """The axes that stay, as they lie: taps before the `first` place at the latest, for they are made one by one."""
    left = [axis for axis in axes if axis < node.rank]
    if taps[0] >= node.rank:
        return tuple(left)
    wanted = lo.wanted()
    taps = sorted(taps, key=wanted.index)
    before = sum(axis < node.rank for axis in axes[:first])
    place = min(before, wanted.index(taps[0]))
    return (*left[:place], *taps, *left[place:])


def _padded(lo: Lowering, x: Value, space: list[SpaceAxis]) -> Value:
    more = {axis.source: (axis.before, axis.after) for axis in space if axis.before != 0 or axis.after != 0}
    if not more:
        return x
    first = min(map(x.dim, more))
    pads = [lo.size(p) if axis in more else 0 for axis in reversed(x.axes[first:]) for p in more.get(axis, (0, 0))]
    return lo.call(F.pad, (x, tuple(pads)), x.axes)


def _among(lo: Lowering, value: Value, layout: Sequence[int]) -> Value:
    """With all these dimensions, of size 1 where it has none."""
    value = lo.permuted(value, [axis for axis in layout if axis in value.axes])
    if value.axes == tuple(layout):
        return value
    index = tuple(slice(None) if axis in value.axes else None for axis in layout)
    return lo.call(operator.getitem, (value, index), layout, kind=value.kind, weak=value.weak, inline=True)
