"""The product of two tensors, summed over what they share and nobody needs: the one matrix product that copies least.

In: two operands in any layouts, the axes that stay. Out: a tensor. What always holds: axes are flattened only where a
group has several.

Every axis is one of: batch (in both, stays), contracted (in both, goes), left or right free.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from namedlayers.emit.attributes import positions
from namedlayers.emit.emitters.elementwise import elementwise
from namedlayers.emit.emitters.pairwise import innermost
from namedlayers.emit.emitters.reductions import total
from namedlayers.emit.kernels.columns import matrix_columns
from namedlayers.emit.kernels.vectors import matrix_vector, mv, vector_matrix, weighted_rows
from namedlayers.emit.lowering import Lowering
from namedlayers.emit.narrowing import add_product
from namedlayers.emit.value import Value, adjacent
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

_ROWS, _COLUMNS, _INNER, _BATCH = -101, -102, -103, -104

READS_ROWS = frozenset({"standardize", "rms_norm", "softmax", "log_softmax"})
"""Operations that want the axes which they go along to lie side by side, beside attention."""
FEW_USERS = 16


def product(lo: Lowering, left: Value, right: Value, keep: Iterable[int], between: bool = False) -> Value:
    """The sum, over all axes not in `keep`, of the product of two tensors, perhaps `between` two steps."""
    keep = frozenset(keep)
    left = sum_away(lo, left, keep | set(right.axes))
    right = sum_away(lo, right, keep | set(left.axes))
    inner = frozenset(a for a in left.axes if a in right.axes and a not in keep)
    if not inner:
        return elementwise(lo, operator.mul, [left, right])
    if left.kind is Kind.INT:  # no matrix product of integers on every device
        return _by_elements(lo, left, right, inner)
    if right_first(lo, left, right, inner, between):
        left, right = right, left
    batch = tuple(a for a in left.axes if a in right.axes and a not in inner)
    rows = tuple(a for a in left.axes if a not in right.axes)
    columns = tuple(a for a in right.axes if a not in left.axes)
    if batch and not (rows and columns):
        return _batch_of_vectors(lo, left, right, batch, inner)
    if batch:
        return matrices(lo, left, right, keep)
    for x, w, own in ((left, right, columns), (right, left, rows)):
        if own and len(x.axes) > 1 + len(inner):
            around = _around(lo, x, w, own, inner)
            if around is not None:
                return around
    if columns and rows:
        return linear(lo, left, right, rows)
    return _vector(lo, left, right, rows, columns)


def right_first(
    lo: Lowering, left: Value, right: Value, inner: frozenset[int], between: bool = False
) -> bool:  # fmt: skip
    """Whether the right operand's free axes should come first in the result. What lies `between` two steps of a
    contraction lies as the next one likes it."""
    rows = [a for a in left.axes if a not in right.axes]
    columns = [a for a in right.axes if a not in left.axes]
    if not rows or not columns:
        return False
    if len(rows) != len(columns) and not between and not set(left.axes) & set(right.axes) - inner:
        if is_weight(lo, left) != is_weight(lo, right):
            return is_weight(lo, left)
        return len(columns) > len(rows)  # the larger one is data, the other a matrix
    wanted = list(lo.wanted())
    places = [min(wanted.index(a) for a in group if a in wanted) if set(group) & set(wanted) else len(wanted)
              for group in (rows, columns)]  # fmt: skip
    return places[1] < places[0]


# --- the kinds of products --------------------------------------------------------------------------------------------


def linear(lo: Lowering, x: Value, w: Value, rows: tuple[int, ...], bias: Value | None = None) -> Value:
    """No batch axes: `w` becomes a matrix, and the rows of `x` stay as they are, unless it is copied anyway."""
    inner = _inner_order(x, w, tuple(a for a in x.axes if a not in rows))
    columns = tuple(a for a in w.axes if a not in inner)
    around = _around(lo, x, w, columns, frozenset(inner), bias) if bias is not None and rows and columns else None
    if around is not None:
        return around
    copied = len(rows) > 1 < len(inner) and not adjacent(x.axes, inner) and not lo.prologue.inner
    row_sizes = [lo.size(lo.space(a)) for a in rows] if copied else []
    x = lo.grouped(x, [(rows, _ROWS), (inner, _INNER)]) if copied else lo.merged(_last(lo, x, inner), inner, _INNER)
    transposed = w.axes.index(inner[0]) > w.axes.index(columns[0]) if columns else True
    groups = ((columns, _COLUMNS), (inner, _INNER)) if transposed else ((inner, _INNER), (columns, _COLUMNS))
    w = lo.grouped(w, groups)
    axes = (*x.axes[:-1], _COLUMNS)
    sizes = [lo.size(lo.space(a)) for a in columns]
    split = len(columns) != 1 or copied
    if bias is not None:
        bias = lo.merged(lo.permuted(bias, columns), columns, _COLUMNS)
        w = w if transposed else lo.permuted(w, (_COLUMNS, _INNER))
        found = lo.call(F.linear, (x, w, bias), axes, inline=split)
    elif transposed and (len(x.axes) != 2 or len(columns) > 1 or not _is_view(w)):
        found = lo.call(F.linear, (x, w), axes, inline=split)
    else:
        w = lo.permuted(w, (_INNER, _COLUMNS))
        found = lo.call(torch.matmul, (x, w), axes, inline=split)
    if copied:
        return lo.split_all(found, ((_COLUMNS, columns, sizes), (_ROWS, rows, row_sizes)), inline=False)
    return lo.split(found, _COLUMNS, columns, sizes, inline=False)


def onto(lo: Lowering, left: Value, right: Value, summand: Value) -> Value:
    """A matrix product that begins with a summand. The sides stand as whoever uses the result likes them. (If they had
    to be copied for it, it is a sum of two; in a loop's step only where both sides have several axes.)"""
    result = lo.wanted()
    if result[0] not in left.axes:
        left, right = right, left
    rows = tuple(a for a in result if a in left.axes)
    columns = tuple(a for a in result if a in right.axes)
    sides = ((left, rows), (right, columns), (summand, rows), (summand, columns))
    flat = all(adjacent(one.axes, group) for one, group in sides)
    if not flat and (not lo.prologue.inner or min(len(rows), len(columns)) > 1):
        return elementwise(lo, operator.add, [product(lo, left, right, frozenset(result)), summand])
    inner = _inner_order(left, right, tuple(a for a in left.axes if a in right.axes))
    left = _matrix(lo, left, (), (rows, _ROWS), (inner, _INNER))
    right = _matrix(lo, right, (), (inner, _INNER), (columns, _COLUMNS))
    summand = _matrix(lo, summand, (), (rows, _ROWS), (columns, _COLUMNS))
    sizes = [[lo.size(lo.space(a)) for a in group] for group in (rows, columns)]
    found = lo.call(add_product, (summand, left, right), (_ROWS, _COLUMNS), inline=len(rows) + len(columns) > 2)
    return lo.split_all(found, ((_COLUMNS, columns, sizes[1]), (_ROWS, rows, sizes[0])), inline=False)


def _by_elements(lo: Lowering, left: Value, right: Value, inner: frozenset[int]) -> Value:
    """What lies otherwise than matrices that were multiplied, with their batch innermost, is copied: their slope would
    lie like it, and be taken apart matrix by matrix for the products that give theirs."""
    for one, other in ((left, right), (right, left)):
        if set(one.axes) == set(other.axes) and _is_of_matrices(one) and innermost(other) not in inner:
            other = lo.permuted(other, one.axes)
            other = lo.call("contiguous", (other,), other.axes, kind=other.kind, weak=other.weak, inline=True)
            left, right = one, other
            break
    both = elementwise(lo, operator.mul, [left, right])
    return total(lo, both, tuple(a for a in both.axes if a in inner))


def _batch_of_vectors(
    lo: Lowering, left: Value, right: Value, batch: tuple[int, ...], inner: frozenset[int]
) -> Value:  # fmt: skip
    """A product and a sum is what is fastest of vectors with vectors, and where the batch is innermost, too: matrix
    products would go through it one by one. (In a loop's step a product has to be one that can be told where to write:
    there the vector stands on the left, which takes half the time.)"""
    matrix, vector = (left, right) if len(left.axes) > len(right.axes) else (right, left)
    if len(matrix.axes) == len(vector.axes) or innermost(matrix) in batch:
        return _by_elements(lo, left, right, inner)
    if lo.prologue.inner:
        return matrices(lo, vector, matrix, frozenset(left.axes + right.axes) - inner)
    free = tuple(a for a in matrix.axes if a not in vector.axes)
    order = _inner_order(matrix, vector, tuple(a for a in matrix.axes if a in inner))
    sizes = [lo.size(lo.space(a)) for a in free]
    rows_first = innermost(matrix) in free
    groups = ((order, _INNER), (free, _COLUMNS)) if rows_first else ((free, _COLUMNS), (order, _INNER))
    matrix = _matrix(lo, matrix, batch, *groups)
    vector = lo.merged(lo.permuted(vector, (*batch, *order)), order, _INNER)
    multiply, sides = (vector_matrix, (vector, matrix)) if rows_first else (matrix_vector, (matrix, vector))
    found = lo.call(multiply, sides, (*batch, _COLUMNS), inline=len(free) != 1)
    return lo.split(found, _COLUMNS, free, sizes, inline=False)


def matrices(
    lo: Lowering, left: Value, right: Value, keep: frozenset[int], multiply: Callable[..., Any] | None = None,
    more: tuple = (),
) -> Value:  # fmt: skip
    """Two tensors as batches of matrices, multiplied by `multiply`, which takes `more` arguments besides."""
    batch = tuple(a for a in left.axes if a in right.axes and a in keep)
    rows = tuple(a for a in left.axes if a not in right.axes)
    columns = tuple(a for a in right.axes if a not in left.axes)
    inner = _inner_order(left, right, tuple(a for a in left.axes if a in right.axes and a not in batch))
    if multiply is None:  # of three dimensions, `matmul` comes to `bmm` by a detour
        multiply = torch.bmm if len(batch) == 1 else torch.matmul
    sizes = [[lo.size(lo.space(a)) for a in group] for group in (rows, columns)]
    left = _matrix(lo, left, batch, (rows, _ROWS), (inner, _INNER))
    right = _matrix(lo, right, batch, (inner, _INNER), (columns, _COLUMNS))
    split = len(rows) != 1 or len(columns) != 1
    found = lo.call(multiply, (left, right, *more), (*batch, _ROWS, _COLUMNS), inline=split)
    return lo.split_all(found, ((_COLUMNS, columns, sizes[1]), (_ROWS, rows, sizes[0])), inline=False)


def _vector(lo: Lowering, left: Value, right: Value, rows: tuple[int, ...], columns: tuple[int, ...]) -> Value:
    """At least one operand has nothing but contracted axes."""
    if columns:  # the vector stands on the right
        left, right, rows = right, left, columns
    inner = _inner_order(left, right, tuple(a for a in left.axes if a not in rows))
    right = lo.merged(lo.permuted(right, inner), inner, _INNER)
    if adjacent(left.axes, inner) and innermost(left) in rows and left.axes[0] in rows and not lo.prologue.inner:
        return _weighted_columns(lo, left, right, inner)
    if rows and len(rows) == 1 and not _trailing(left, frozenset(inner)):
        flat = lo.merged(_last(lo, left, rows), inner, _INNER)
        return lo.call(torch.matmul, (right, flat), rows)
    flat = lo.merged(_last(lo, left, inner), inner, _INNER)
    multiply = mv if len(flat.axes) == 2 else torch.matmul  # which finds out by a detour
    return lo.call(multiply, (flat, right), flat.axes[:-1])


def _weighted_columns(lo: Lowering, x: Value, weights: Value, inner: tuple[int, ...]) -> Value:
    """What is summed over lies in the midst of `x`: what lies before it is a batch."""
    before, after = x.axes[: x.dim(inner[0])], x.axes[x.dim(inner[-1]) + 1 :]
    sizes = [[lo.size(lo.space(a)) for a in group] for group in (before, after)]
    x = lo.grouped(x, [(before, _BATCH), (inner, _INNER), (after, _ROWS)])
    found = lo.call(weighted_rows, (weights, x), (_BATCH, _ROWS), inline=len(before) + len(after) > 2)
    return lo.split_all(found, ((_ROWS, after, sizes[1]), (_BATCH, before, sizes[0])), inline=False)


def _around(
    lo: Lowering, x: Value, w: Value, columns: tuple[int, ...], inner: frozenset[int], bias: Value | None = None
) -> Value | None:
    """The contracted axes lie in the midst of `x` (channels before space): the matrix stands on the left, and the axes
    of `x` before them are a batch, so that nothing of `x` is moved."""
    order = tuple(a for a in x.axes if a in inner)
    if _trailing(x, inner) or not adjacent(x.axes, order) or (lo.prologue.inner and bias is not None):
        return None
    before, after = x.axes[: x.dim(order[0])], x.axes[x.dim(order[-1]) + 1 :]
    order = _inner_order(x, w, order)
    if not adjacent(x.axes, order) or not _fits_around(lo, columns, after):
        return None
    sizes = [[lo.size(lo.space(a)) for a in group] for group in (columns, after, before)]
    w = lo.grouped(w, ((columns, _COLUMNS), (order, _INNER)))
    split = len(columns) != 1 or len(after) != 1
    if lo.prologue.inner or len(before) > 1 and bias is None:  # of which `matmul` knows
        x = lo.grouped(x, [*(((axis,), axis) for axis in before), (order, _INNER), (after, _ROWS)])
        found = lo.call(torch.matmul, (w, x), (*before, _COLUMNS, _ROWS), inline=split)
        return lo.split_all(found, ((_ROWS, after, sizes[1]), (_COLUMNS, columns, sizes[0])), inline=False)
    label = before[0] if len(before) == 1 else _BATCH
    batch = ((before, label),) if before else ()
    x = lo.grouped(x, [*batch, (order, _INNER), (after, _ROWS)])
    more = () if bias is None else (lo.merged(lo.permuted(bias, columns), columns, _COLUMNS),)
    axes = (*(label for _ in batch), _COLUMNS, _ROWS)
    found = lo.call(matrix_columns, (w, x, *more), axes, inline=split or len(before) > 1)
    parts = ((_ROWS, after, sizes[1]), (_COLUMNS, columns, sizes[0]), (label, before, sizes[2]))
    return lo.split_all(found, parts[: 2 + bool(batch)], inline=False)


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


# --- layouts ----------------------------------------------------------------------------------------------------------


def _matrix(
    lo: Lowering, value: Value, batch: tuple[int, ...], first: tuple[tuple[int, ...], int],
    second: tuple[tuple[int, ...], int],
) -> Value:  # fmt: skip
    """(batch…, first, second), each group flattened; transposed from (batch…, second, first) if that moves less."""
    (a, left), (b, right) = first, second
    if a and b and innermost(value) in batch:  # else it would be copied matrix by matrix
        value = lo.permuted(value, (*batch, *a, *b))
        value = lo.call("contiguous", (value,), value.axes, kind=value.kind, weak=value.weak, inline=True)
    alone = [((axis,), axis) for axis in batch]
    if (*batch, *a, *b) != value.axes and b and a and _before(value.axes, b, a):
        return lo.permuted(lo.grouped(value, [*alone, (b, right), (a, left)]), (*batch, left, right))
    if not a and b:
        value = lo.grouped(value, [*alone, (b, right)])
        return lo.call("unsqueeze", (value, -2), (*batch, left, right), kind=value.kind, weak=value.weak, inline=True)
    return lo.grouped(value, [*alone, (a, left), (b, right)])


def _last(lo: Lowering, value: Value, group: tuple[int, ...]) -> Value:
    """The same with `group` as its last axes, in this order."""
    return lo.permuted(value, [a for a in value.axes if a not in group] + list(group))


def _inner_order(left: Value, right: Value, inner: tuple[int, ...]) -> tuple[int, ...]:
    """The order in which the contracted axes are flattened: the one that costs no copy of the larger operand."""
    orders = [tuple(a for a in v.axes if a in inner) for v in sorted((left, right), key=lambda v: -len(v.axes))]
    return next((o for o in orders if adjacent(left.axes, o) and adjacent(right.axes, o)), orders[0])


def is_weight(lo: Lowering, value: Value) -> bool:
    """Whether this is a parameter, or made of parameters alone: however many axes it has, it is no data."""
    return isinstance(value.held, fx.Node) and _parameters_alone(lo, value.held)


def _parameters_alone(lo: Lowering, held: fx.Node) -> bool:
    waiting = [held]
    while waiting:
        node = waiting[-1]
        open_ = [one for one in node.all_input_nodes if "weight" not in one.meta]
        if node.op == "placeholder" or not open_:
            places = [given.role for given, one in zip(lo.program.inputs, lo.inputs, strict=True) if one is node]
            inputs = [one for one in node.all_input_nodes if "prologue" not in one.meta]
            node.meta["weight"] = (
                places[0] in ("parameter", "param") if places
                else bool(inputs) and all(one.meta["weight"] for one in inputs)
            )  # fmt: skip
            waiting.pop()
        else:
            waiting += open_
    return bool(held.meta["weight"])


def _trailing(value: Value, group: frozenset[int]) -> bool:
    return set(value.axes[len(value.axes) - len(group) :]) == group


def _before(axes: tuple[int, ...], first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    return max(axes.index(a) for a in first) < min(axes.index(a) for a in second)


def _is_of_matrices(value: Value) -> bool:
    """Whether this is a product of batches of matrices, as it is seen."""
    held = value.held
    while isinstance(held, fx.Node) and held.target in ("permute", "transpose"):
        held = held.args[0]  # type: ignore[assignment]
    return isinstance(held, fx.Node) and held.target is torch.bmm


def _is_view(value: Value) -> bool:
    return isinstance(value.held, fx.Node) and value.held.target != "flatten" and value.held.target != "reshape"


def sum_away(lo: Lowering, value: Value, keep: Iterable[int]) -> Value:
    keep = frozenset(keep)
    return total(lo, value, tuple(a for a in value.axes if a not in keep))
