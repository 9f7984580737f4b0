"""Recurrences: linear ones by a parallel scan, networks by torch's kernels.

In: operands in any layouts; weights as torch stores them. Out: a tensor with the steps first. What always holds: the
kernels see (steps, batch, features) and get weights as they are; nothing is permuted that a view can do.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from torch import fx

from namedlayers.emit.attributes import listed, position, positions, word
from namedlayers.emit.emitters.elementwise import cast_kind
from namedlayers.emit.emitters.pieces import at, piece
from namedlayers.emit.loops.network_operator import network
from namedlayers.emit.loops.recurrence import recurrence
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node

_BATCH, _HIDDEN, _FEATURES, _ONE, _INNER = -101, -102, -103, -104, -105


@emits("recurrence")
def emit_recurrence(lo: Lowering, node: Node) -> Value:
    first = lo.operands(node)[2]
    a, b, start = (cast_kind(lo, value, node.kind) for value in lo.alike(lo.operands(node)))
    step = position(node, "axis")
    rest = [axis for axis in range(node.rank) if axis != step]
    # The values of one step lie as the larger operand's do; it is b where both are as large as the result.
    liked = [axis for axis in max(b, a, key=lambda value: len(value.axes)).axes if axis in rest]
    order = [step, *(axis for axis in rest if axis not in liked), *liked]
    a, b = (lo.permuted(lo.filled(value, order), order) for value in (a, b))
    if first.literal:
        shape = tuple(lo.size(lo.space(axis)) for axis in order[1:])
        start = lo.call("new_full", (b, shape, first), order[1:], weak=False, wish="start")
    else:
        start = lo.permuted(lo.filled(start, order[1:]), order[1:])
    return lo.call(recurrence, (a, b, start, bool(node.attr("reverse"))), order, weak=False)


@emits("rnn", "gru", "lstm")
def emit_network(lo: Lowering, node: Node) -> Value:
    x, *states = lo.operands(node)[: 3 if node.op == "lstm" else 2]
    given = lo.operands(node)[1 + len(states) :]
    x, *tensors = lo.alike([x, *(weight for weight in given if not weight.literal)])
    step, hidden, inner = position(node, "axis"), positions(node, "hidden"), positions(node, "inner")
    features = tuple(axis for axis in range(node.rank, len(node.space)) if axis not in inner)
    batch = _batch(x, [axis for axis in range(node.rank) if axis != step and axis not in hidden])
    x = _grouped(lo, x, [((step,), step), (batch, _BATCH), (features, _FEATURES)])
    starts = [_state(lo, state, x, batch, hidden) for state in states]
    rows = [own(arg.axes.index(-1)) for arg in node.args[1 + len(states) :]]
    columns: list[list] = [[(features, _FEATURES)], [(inner, _INNER)], [], []]
    left = iter(tensors)
    stored = [
        lo.call("new_full", (x, (lo.size(lo.space(row)),), weight), (row,), weak=False)
        if weight.literal
        else _grouped(lo, next(left), [((row,), row), *more])
        for weight, row, more in zip(given, rows, columns, strict=False)
    ]
    name = f"rnn_{word(node, 'act')}" if node.op == "rnn" else node.op
    held = lo.raw(network, (name, x, starts, stored, bool(node.attr("reverse"))), {}, node.op)
    found = lo.call(operator.getitem, (held, 0), (step, _BATCH, _HIDDEN), inline=True, weak=False)
    return _ungrouped(lo, found, batch, hidden)


@emits("cell")
def emit_cell(lo: Lowering, node: Node) -> Value:
    """Of the same call of the kernel: the second of its results."""
    (arg,) = node.args
    source = lo.values[arg.node.number].held
    while isinstance(source, fx.Node) and source.target is not network:  # through the views around its results
        source = source.args[0]  # type: ignore[assignment]
    hidden = tuple(arg.axes[axis] for axis in positions(arg.node, "hidden"))
    values = lo.values[arg.node.number].axes
    batch = tuple(arg.axes[axis] for axis in values if arg.axes[axis] >= 0 and arg.axes[axis] not in hidden)
    last = lo.call(operator.getitem, (source, 1), (_ONE, _BATCH, _HIDDEN), inline=True, weak=False)
    found = lo.call("squeeze", (last, 0), (_BATCH, _HIDDEN), inline=True, weak=False)
    return _ungrouped(lo, found, batch, hidden)


@emits("piece")
def emit_piece(lo: Lowering, node: Node) -> Value:
    """All pieces are cut at once, so that their gradients are put together at once."""
    (arg,) = node.args
    source = own(arg.axes.index(-1))
    x = lo.tensor(lo.filled(lo.operand(arg), (source,)))
    number, axis = position(node, "number"), position(node, "axis")
    return at(lo, x, source, number) if axis < 0 else piece(lo, x, source, number, listed(node, "sizes"), axis)


@emits("ordered")
def emit_ordered(lo: Lowering, node: Node) -> Value:
    x = lo.operand(node.args[0])
    liked = positions(node, "axes")
    return lo.permuted(x, [a for a in x.axes if a not in liked] + [a for a in liked if a in x.axes])


# --- helpers ----------------------------------------------------------------------------------------------------------


def _batch(x: Value, axes: Sequence[int]) -> tuple[int, ...]:
    """The axes that become the batch, in the order of the input, so that merging them is a view."""
    return (*(axis for axis in axes if axis not in x.axes), *(axis for axis in x.axes if axis in axes))


def _grouped(lo: Lowering, value: Value, groups: Sequence[tuple[tuple[int, ...], int]]) -> Value:
    """The value with one dimension for each group."""
    every = [axis for group, _ in groups for axis in group]
    value = lo.permuted(lo.filled(value, every), every)
    for group, label in groups:
        if group and group != (label,):
            value = lo.merged(value, group, label)
    for place, (group, label) in enumerate(groups):
        if not group:
            axes = (*value.axes[:place], label, *value.axes[place:])
            value = lo.call("unsqueeze", (value, place), axes, kind=value.kind, weak=value.weak, inline=True)
    return value


def _state(
    lo: Lowering, value: Value, x: Value, batch: tuple[int, ...], hidden: tuple[int, ...]
) -> Value:  # fmt: skip
    """A start value as kernels want it: with a dimension in front, that of the layers."""
    if value.literal:
        shape = (1, lo.size(lo.extent(batch)), lo.size(lo.extent(hidden)))
        return lo.call("new_full", (x, shape, value), (_ONE, _BATCH, _HIDDEN), weak=False, wish="start")
    value = _grouped(lo, lo.alike([x, value])[1], [(batch, _BATCH), (hidden, _HIDDEN)])
    return lo.call("unsqueeze", (value, 0), (_ONE, *value.axes), weak=value.weak, inline=True)


def _ungrouped(lo: Lowering, value: Value, batch: tuple[int, ...], hidden: tuple[int, ...]) -> Value:
    value = lo.unmerged(value, _HIDDEN, hidden)
    return lo.unmerged(value, _BATCH, batch)
