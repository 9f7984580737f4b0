"""Reading by tensors of coordinates: rows of tables, selections, gathers.

In: a tensor, and integers that say where to read along some of its axes. Out: a tensor in whose layout new axes stand
where the old one was. What always holds: an index that is not proved to be in range goes to a torch function that
checks it, or reads what the text says of such.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from namedlayers.emit.attributes import position, positions
from namedlayers.emit.emitters.elementwise import elementwise, layout_of
from namedlayers.emit.kernels import reading
from namedlayers.emit.kernels.placing import place
from namedlayers.emit.kernels.rows import as_index, as_long, rows
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr

_FLAT = -201


def read(lo: Lowering, x: Value, label: int, at: Value, fill: Any = None) -> Value:
    """`x` at `label` = `at`; axes that both have are aligned. What is out of range is refused, or `fill`, a literal."""
    if any(axis in x.axes for axis in at.axes):
        return _aligned_read(lo, x, label, at, fill)
    filled = () if fill is None else (fill,)
    of_rows = x.dim(label) == 0 and len(x.axes) == 2 and at.axes and x.kind is Kind.REAL
    if of_rows and fill == 0:
        return lo.call(rows, (x, at), (*at.axes, *x.axes[1:]), kind=x.kind, wish="row")
    dim, at = x.dim(label), _readable(lo, at)
    if of_rows:
        target = reading.rows if filled else torch.embedding
        return lo.call(target, (x, at, *filled), (*at.axes, *x.axes[1:]), kind=x.kind, wish="row")
    flat = at if len(at.axes) == 1 else lo.call("reshape", (at, -1), (_FLAT,), kind=Kind.INT, inline=True)
    several = len(at.axes) != 1
    found = lo.call(
        reading.select if filled else torch.index_select, (x, dim, flat, *filled),
        (*x.axes[:dim], _FLAT, *x.axes[dim + 1 :]), kind=x.kind, inline=several, wish="read",
    )  # fmt: skip
    sizes = [lo.size(lo.space(a)) for a in at.axes]
    return lo.split(found, _FLAT, at.axes, sizes, inline=False)


@emits("embedding")
def emit_embedding(lo: Lowering, node: Node) -> Value:
    x, at = lo.operands(node)
    label = own(node.args[0].axes.index(-1))
    x, at = lo.filled(lo.tensor(x), (label,)), lo.tensor(at)
    x, at = lo.permuted(x, (label, *(a for a in x.axes if a != label))), _readable(lo, at)
    axes = (*at.axes, *x.axes[1:])
    return lo.call(torch.embedding, (x, at), axes, {"padding_idx": node.attr("row")}, kind=x.kind, wish="row")


def _readable(lo: Lowering, at: Value) -> Value:
    if isinstance(at.held, fx.Node) and at.held.target is place:  # which has 64 bits
        return at
    return lo.call(as_index, (at,), at.axes, kind=Kind.INT, weak=at.weak, inline=True)


def _aligned_read(lo: Lowering, x: Value, label: int, at: Value, fill: Any = None) -> Value:
    """Along axes that both have each coordinate reads its own row."""
    new = tuple(a for a in at.axes if a not in x.axes)
    sizes = [lo.size(lo.space(a)) for a in new]
    shared = tuple(a for a in x.axes if a in at.axes)
    at = lo.merged(lo.permuted(at, (*shared, *new)), new, _FLAT)
    layout = tuple(_FLAT if a == label else a for a in x.axes)
    if len(layout) > len(at.axes) and x.axes[: len(shared)] == shared and x.axes[len(shared)] == label:
        found = lo.call(reading.rows_of_each, (x, at, fill), layout, kind=x.kind, inline=len(new) != 1, wish="read")
        return lo.split(found, _FLAT, new, sizes, inline=False)
    at = with_dimensions(lo, at, layout)
    if len(at.axes) > len(shared) + 1:
        shape = [-1 if a == _FLAT or a in shared else lo.size(lo.space(a)) for a in layout]
        at = lo.call("expand", (at, *shape), layout, kind=Kind.INT, inline=True)
    at = lo.call(as_long, (at,), at.axes, kind=Kind.INT, weak=at.weak, inline=True)
    target, filled = (torch.gather, ()) if fill is None else (reading.gather, (fill,))
    found = lo.call(target, (x, x.dim(label), at, *filled), layout, kind=x.kind, inline=len(new) != 1, wish="read")
    return lo.split(found, _FLAT, new, sizes, inline=False)


def with_dimensions(lo: Lowering, value: Value, layout: tuple[int, ...]) -> Value:
    """Aligned, with a dimension of size 1 for each axis that it lacks, leading ones too."""
    value = lo.permuted(value, [a for a in layout if a in value.axes])
    for dim, axis in enumerate(layout):
        if axis not in value.axes:
            axes = (*value.axes[:dim], axis, *value.axes[dim:])
            value = lo.call("unsqueeze", (value, dim), axes, kind=value.kind, weak=value.weak, inline=True)
    return value


@emits("gather")
def emit_gather(lo: Lowering, node: Node) -> Value:
    axes = positions(node, "axes")
    x, *rest = lo.operands(node)
    indices = [lo.integer(lo.tensor(v)) for v in rest[: len(axes)]]
    fill = rest[len(axes)] if node.attr("fill") else None
    return _gathered(lo, x, [own(k) for k in axes], indices, fill)


@emits("take")
def emit_take(lo: Lowering, node: Node) -> Value:
    x, index = lo.operands(node)
    fill = Value(0, (), Kind.BOOL if node.kind is Kind.BOOL else Kind.INT, True, True) if node.attr("fill") else None
    return _gathered(lo, x, [own(position(node, "axis"))], [lo.integer(lo.tensor(index))], fill)


def _gathered(lo: Lowering, x: Value, labels: list[int], indices: list[Value], fill: Value | None) -> Value:
    """`x` at each of `labels` = its index; `fill`, if given, where any index is out of range."""
    sizes = [lo.space(label) for label in labels]
    x = lo.filled(x, labels)
    at, label = indices[0], labels[0]
    if len(labels) > 1:
        label = _FLAT - 1
        x = lo.merged(x, labels, label)
        at = _placed(lo, indices, sizes)
    if fill is None:
        return read(lo, x, label, at)
    if fill.literal and x.kind is lo.node.kind and not x.number:
        return read(lo, x, label, at, fill.held)
    at = at if len(labels) > 1 else _placed(lo, indices, sizes)
    valid = lo.call(operator.ge, (at, 0), at.axes, kind=Kind.BOOL, wish="valid")
    if not lo.assume(*sizes):
        pads = (0, 0) * (len(x.axes) - 1 - x.dim(label)) + (1, 0)  # so that there is something to read
        x = lo.call(F.pad, (x, pads), x.axes, kind=x.kind)
        at = lo.call(operator.add, (at, 1), at.axes, kind=Kind.INT)
    at = elementwise(lo, torch.where, [valid, at, Value(0, (), Kind.INT, True, True)], kind=Kind.INT)
    found, fill = lo.meet([read(lo, x, label, at), fill])
    if found.kind is not lo.node.kind and not fill.number:
        found, fill = lo.alike([found, fill])
    return elementwise(lo, torch.where, [valid, found, fill])


def _placed(lo: Lowering, indices: Sequence[Value], sizes: Sequence[SizeExpr]) -> Value:
    """The indices of axes as one of these axes together; -1, which is refused, where any is out of range."""
    layout = layout_of(lo, indices)
    along = [lo.aligned(index, layout) for index in indices]
    return lo.call(place, (along, [lo.size(size) for size in sizes]), layout, kind=Kind.INT, wish="at")
