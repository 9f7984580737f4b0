"""States that are outer products, and what is read of them: one call of a kernel that takes steps in blocks.

In: a node `outer_states`, its operands in any layouts. Out: a bundle of the last state and of what is read at each
step. What always holds: the kernel sees (batch…, step), (batch…, step, features) and (batch…, features, values);
nothing is copied to be broadcast.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from namedlayers.emit.attributes import listed, position
from namedlayers.emit.emitters.elementwise import cast_kind
from namedlayers.emit.kernels.outer_states import outer_states, outer_sums
from namedlayers.emit.loops.calling import at, number_of, parts
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node

_STEP, _FEATURE, _VALUE = -101, -102, -103


@emits("outer_states")
def emit_outer_states(lo: Lowering, node: Node) -> Value:
    step, inner, places = position(node, "axis"), listed(node, "inner"), listed(node, "places")
    key, value, query, *others = (cast_kind(lo, one, node.kind) for one in lo.alike(lo.operands(node)))
    start = others.pop(0) if node.attr("start") else None
    factor = others.pop(0) if node.attr("factor") else None
    counting = {*key.axes, *query.axes, *(factor.axes if factor else ())}.difference((step, *inner))
    batch = tuple(axis for axis in (*query.axes, *range(node.rank)) if axis in counting)
    batch = tuple(dict.fromkeys(batch))
    columns = tuple(axis for axis in value.axes if axis not in (*batch, step))
    columns += tuple(axis for axis in range(node.rank) if axis not in (*batch, step, *inner, *columns))
    given: tuple[Any, ...] = (
        _laid(lo, key, batch, [((step,), _STEP), (inner, _FEATURE)]),
        _laid(lo, value, batch, [((step,), _STEP), (columns, _VALUE)]),
        _laid(lo, query, batch, [((step,), _STEP), (inner, _FEATURE)]),
        None if start is None else _laid(lo, start, batch, [(inner, _FEATURE), (columns, _VALUE)]),
    )
    if factor is None:
        held = lo.raw(outer_sums, given, {}, "sums")
    else:
        given = (_laid(lo, factor, batch, [((step,), _STEP)]), *given, bool(node.attr("reverse")))
        held = lo.raw(outer_states, given, {}, "states")
    last = lo.call(operator.getitem, (held, 0), (*batch, _FEATURE, _VALUE), inline=True, weak=False)
    last = lo.unmerged(lo.unmerged(last, _VALUE, columns), _FEATURE, inner)
    read = lo.call(operator.getitem, (held, 1), (*batch, _STEP, _VALUE), inline=True, weak=False)
    read = lo.renamed(lo.unmerged(read, _VALUE, columns), {_STEP: step})
    found: dict[Node, Value] = {}
    for part in parts(lo, node):
        one, where = ((read, places), (last, _without(node.rank, step)))[number_of(part) == 0]
        with at(lo, part):
            found[part] = lo.renamed(one, {axis: where[axis] for axis in one.axes})
    lo.bundles[node.number] = found
    return Value(held, (), node.kind)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _laid(
    lo: Lowering, value: Value, batch: tuple[int, ...], groups: Sequence[tuple[tuple[int, ...], int]]
) -> Value:  # fmt: skip
    """(batch…, groups…), of length 1 along the batch axes that it lacks."""
    every = tuple(axis for group, _ in groups for axis in group)
    value = lo.filled(value, every)
    value = lo.permuted(value, (*(axis for axis in batch if axis in value.axes), *every))
    for group, label in groups:
        value = lo.renamed(value, {group[0]: label}) if len(group) == 1 else lo.merged(value, group, label)
    return lo.aligned(value, (*batch, *(label for _, label in groups)))


def _without(rank: int, axis: int) -> dict[int, int]:
    """Where axes are when one has gone."""
    return {k: k - (k > axis) for k in range(rank) if k != axis}
