"""A sum over axes in the midst of a tensor, as channels before space: the matrix stands on the left, nothing is turned.

In: the tensor, the matrix, which axes are whose. Out: the product, or None where another layout serves whoever uses it
better. What always holds: whoever reads the new axis side by side (norms, softmax, attention) gets it so.
"""

from __future__ import annotations

import torch

from namedlayers.emit.attributes import positions
from namedlayers.emit.emitters.sides import BATCH, COLUMNS, INNER, ROWS, inner_order, trailing
from namedlayers.emit.kernels.columns import matrix_columns
from namedlayers.emit.lowering import Lowering
from namedlayers.emit.value import Value, adjacent
from namedlayers.program.graph import Arg, Node

READS_ROWS = frozenset({"standardize", "rms_norm", "softmax", "log_softmax"})
"""Operations that want the axes which they go along to lie side by side, beside attention."""

FEW_USERS = 16
"""So many users are asked; more are not."""


def from_the_left(
    lo: Lowering, x: Value, w: Value, columns: tuple[int, ...], inner: frozenset[int], bias: Value | None = None
) -> Value | None:
    """The contracted axes lie in the midst of `x` (channels before space): the matrix stands on the left, and the axes
    of `x` before them are a batch, so that nothing of `x` is moved."""
    order = tuple(a for a in x.axes if a in inner)
    if trailing(x, inner) or not adjacent(x.axes, order) or (lo.prologue.inner and bias is not None):
        return None
    before, after = x.axes[: x.dim(order[0])], x.axes[x.dim(order[-1]) + 1 :]
    order = inner_order(x, w, order)
    if not adjacent(x.axes, order) or not _fits_around(lo, columns, after):
        return None
    sizes = [[lo.size(lo.space(a)) for a in group] for group in (columns, after, before)]
    w = lo.grouped(w, ((columns, COLUMNS), (order, INNER)))
    split = len(columns) != 1 or len(after) != 1
    if lo.prologue.inner or len(before) > 1 and bias is None:  # of which `matmul` knows
        x = lo.grouped(x, [*(((axis,), axis) for axis in before), (order, INNER), (after, ROWS)])
        found = lo.call(torch.matmul, (w, x), (*before, COLUMNS, ROWS), inline=split)
        return lo.split_all(found, ((ROWS, after, sizes[1]), (COLUMNS, columns, sizes[0])), inline=False)
    label = before[0] if len(before) == 1 else BATCH
    batch = ((before, label),) if before else ()
    x = lo.grouped(x, [*batch, (order, INNER), (after, ROWS)])
    more = () if bias is None else (lo.merged(lo.permuted(bias, columns), columns, COLUMNS),)
    axes = (*(label for _ in batch), COLUMNS, ROWS)
    found = lo.call(matrix_columns, (w, x, *more), axes, inline=split or len(before) > 1)
    parts = ((ROWS, after, sizes[1]), (COLUMNS, columns, sizes[0]), (label, before, sizes[2]))
    return lo.split_all(found, parts[: 2 + bool(batch)], inline=False)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _fits_around(lo: Lowering, columns: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether whoever uses the result may have it with `columns` before what lies `after` them."""
    wanted = list(lo.wanted())
    places = [[wanted.index(a) for a in group if a in wanted] for group in (columns, after)]
    if all(places) and min(places[0]) < min(places[1]):
        return True
    waiting, seen = [(lo.node, frozenset(columns))], 0
    while waiting and seen < FEW_USERS:
        node, own = waiting.pop()
        for user in lo.users.get(node.number, ()):
            seen += 1
            for arg in user.args:
                # An axis that an operand of a scan is stepped along, or that a body takes whole, is -1 there.
                kept = [arg.axes[axis] for axis in own if axis < node.rank] if arg.node is node else []
                there = frozenset(axis for axis in kept if axis >= 0)
                if there & _read_along(user, arg):
                    return False
                if there and user.rank == len(user.space):
                    waiting.append((user, there))
    return True


def _read_along(user: Node, arg: Arg) -> frozenset[int]:
    """The axes of a user that it wants to lie side by side in an operand."""
    if user.op in READS_ROWS:
        return frozenset(positions(user, "axes"))
    if user.op != "attention":
        return frozenset()
    query, key, value, *_ = user.args
    sides = [frozenset(one.axes) for one in (query, key, value)]
    gone = frozenset(range(user.rank, len(user.space)))
    if arg in (query, key):
        return gone & sides[0] & sides[1] - sides[2]
    return sides[2] - gone - sides[0] - sides[1] if arg == value else frozenset()
