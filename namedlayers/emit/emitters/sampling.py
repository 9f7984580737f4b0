"""Readings between grid points.

In: a tensor, and places along some of its axes. Out: a tensor. What always holds: axes that it shares with the places
are a batch, its others channels, each one dimension; so are the axes of the places alone, but where each place has its
own, as on a grid: there they are kept apart, and nothing is expanded.
"""

from __future__ import annotations

from collections.abc import Sequence

from namedlayers.emit.attributes import positions
from namedlayers.emit.emitters.gathering import with_dimensions
from namedlayers.emit.kernels.sampling import (
    sampled,
    sampled_inside,
    sampled_on_grid,
    sampled_up_to_ends,
    sampled_within,
)
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node

_BATCH, _CHANNELS, _POINTS = -401, -402, -403
_KERNELS = {"zeros": sampled, "border": sampled_up_to_ends, "inside": sampled_inside, "within": sampled_within}


@emits("sample")
def emit_sample(lo: Lowering, node: Node) -> Value:
    x, *places = lo.alike(lo.operands(node))
    labels = [own(k) for k in positions(node, "axes")]
    x = lo.filled(x, (*labels, *(axis for axis in node.args[0].axes if axis >= 0)))
    order = sorted(range(len(labels)), key=lambda k: x.dim(labels[k]))
    places, labels = [places[k] for k in order], [labels[k] for k in order]
    where = {axis for one in places for axis in one.axes}
    batch = [axis for axis in x.axes if axis in where]
    channels = [axis for axis in x.axes if axis >= 0 and axis not in where]
    points = [axis for axis in lo.wanted() if axis in where and axis not in batch]
    x = _in_groups(lo, x, ((batch, _BATCH), (channels, _CHANNELS)), (_BATCH, _CHANNELS, *labels))
    edge = str(node.attr("edge"))
    if (
        edge == "zeros"
        and not batch
        and all(one.axes for one in places)
        and sum(len(one.axes) for one in places) == len(points)
    ):
        return _on_grid(lo, x, places, channels, points)
    all_places = [
        _in_groups(lo, lo.filled(one, (*batch, *points)), ((batch, _BATCH), (points, _POINTS)), (_BATCH, _POINTS))
        for one in places
    ]
    found = lo.call(_KERNELS[edge], (x, *all_places), (_BATCH, _CHANNELS, _POINTS), inline=len(points) != 1)
    return _apart(lo, found, ((_POINTS, points), (_CHANNELS, channels), (_BATCH, batch)))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _on_grid(
    lo: Lowering, x: Value, places: Sequence[Value], channels: Sequence[int], points: Sequence[int]
) -> Value:  # fmt: skip
    """Each place has axes of its own."""
    labels = [_POINTS - k for k in range(len(places))]
    groups = [[axis for axis in points if axis in one.axes] for one in places]
    lines = [
        _in_groups(lo, one, ((group, label),), (label,))
        for one, group, label in zip(places, groups, labels, strict=True)
    ]
    found = lo.call(sampled_on_grid, (x, *lines), (_BATCH, _CHANNELS, *labels), inline=True)
    return _apart(lo, found, (*zip(labels, groups, strict=True), (_CHANNELS, channels), (_BATCH, ())))


def _in_groups(
    lo: Lowering, value: Value, groups: Sequence[tuple[Sequence[int], int]], layout: tuple[int, ...]
) -> Value:
    """With each group of axes as one, and a dimension of size 1 for an empty one."""
    for group, label in groups:
        if group:
            value = lo.merged(value, group, label)
    return with_dimensions(lo, value, layout)


def _apart(lo: Lowering, value: Value, groups: Sequence[tuple[int, Sequence[int]]]) -> Value:
    """The inverse."""
    for k, (label, group) in enumerate(groups):
        later = any(len(one) != 1 for _, one in groups[k + 1 :])
        value = lo.split(value, label, group, [lo.size(lo.space(axis)) for axis in group], inline=later)
    return value
