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

from namedlayers.emit.emitters.around import from_the_left
from namedlayers.emit.emitters.elementwise import elementwise
from namedlayers.emit.emitters.pairwise import innermost
from namedlayers.emit.emitters.reductions import total
from namedlayers.emit.emitters.sides import (
    BATCH,
    COLUMNS,
    INNER,
    ROWS,
    as_matrix,
    inner_order,
    is_of_matrices,
    is_view,
    is_weight,
    last,
    trailing,
)
from namedlayers.emit.kernels.vectors import matrix_vector, mv, vector_matrix, weighted_rows
from namedlayers.emit.lowering import Lowering
from namedlayers.emit.narrowing import add_onto, add_product
from namedlayers.emit.value import Value, adjacent
from namedlayers.program.program import Kind


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
            around = from_the_left(lo, x, w, own, inner)
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
    inner = inner_order(x, w, tuple(a for a in x.axes if a not in rows))
    columns = tuple(a for a in w.axes if a not in inner)
    around = from_the_left(lo, x, w, columns, frozenset(inner), bias) if bias is not None and rows and columns else None
    if around is not None:
        return around
    copied = len(rows) > 1 < len(inner) and not adjacent(x.axes, inner) and not lo.prologue.inner
    row_sizes = [lo.size(lo.space(a)) for a in rows] if copied else []
    x = lo.grouped(x, [(rows, ROWS), (inner, INNER)]) if copied else lo.merged(last(lo, x, inner), inner, INNER)
    transposed = w.axes.index(inner[0]) > w.axes.index(columns[0]) if columns else True
    groups = ((columns, COLUMNS), (inner, INNER)) if transposed else ((inner, INNER), (columns, COLUMNS))
    w = lo.grouped(w, groups)
    axes = (*x.axes[:-1], COLUMNS)
    sizes = [lo.size(lo.space(a)) for a in columns]
    split = len(columns) != 1 or copied
    if bias is not None:
        bias = lo.merged(lo.permuted(bias, columns), columns, COLUMNS)
        w = w if transposed else lo.permuted(w, (COLUMNS, INNER))
        found = lo.call(F.linear, (x, w, bias), axes, inline=split)
    elif transposed and (len(x.axes) != 2 or len(columns) > 1 or not is_view(w)):
        found = lo.call(F.linear, (x, w), axes, inline=split)
    else:
        w = lo.permuted(w, (INNER, COLUMNS))
        found = lo.call(torch.matmul, (x, w), axes, inline=split)
    if copied:
        return lo.split_all(found, ((COLUMNS, columns, sizes), (ROWS, rows, row_sizes)), inline=False)
    return lo.split(found, COLUMNS, columns, sizes, inline=False)


def onto(lo: Lowering, left: Value, right: Value, summand: Value, spare: bool = False) -> Value:
    """A matrix product that begins with a summand, which may be `spare`: nobody else needs it. The sides stand as
    whoever uses the result likes them. (If they had to be copied for it, it is a sum of two; in a loop's step only
    where both sides have several axes.)"""
    result = lo.wanted()
    if result[0] not in left.axes:
        left, right = right, left
    rows = tuple(a for a in result if a in left.axes)
    columns = tuple(a for a in result if a in right.axes)
    sides = ((left, rows), (right, columns), (summand, rows), (summand, columns))
    flat = all(adjacent(one.axes, group) for one, group in sides)
    if not flat and (not lo.prologue.inner or min(len(rows), len(columns)) > 1):
        return elementwise(lo, operator.add, [product(lo, left, right, frozenset(result)), summand])
    inner = inner_order(left, right, tuple(a for a in left.axes if a in right.axes))
    left = as_matrix(lo, left, (), (rows, ROWS), (inner, INNER))
    right = as_matrix(lo, right, (), (inner, INNER), (columns, COLUMNS))
    summand = as_matrix(lo, summand, (), (rows, ROWS), (columns, COLUMNS))
    sizes = [[lo.size(lo.space(a)) for a in group] for group in (rows, columns)]
    add = add_onto if spare and not lo.prologue.inner else add_product
    found = lo.call(add, (summand, left, right), (ROWS, COLUMNS), inline=len(rows) + len(columns) > 2)
    return lo.split_all(found, ((COLUMNS, columns, sizes[1]), (ROWS, rows, sizes[0])), inline=False)


def added(lo: Lowering, left: Value, right: Value, summand: Value) -> Value:
    """A product of two, summed over what the summand has not, and a summand that nobody else needs."""
    keep = frozenset(summand.axes)
    left = sum_away(lo, left, keep | set(right.axes))
    right = sum_away(lo, right, keep | set(left.axes))
    inner = (set(left.axes) | set(right.axes)) - keep
    if inner and not set(left.axes) & set(right.axes) & keep and set(lo.wanted()) == keep:
        if left.kind is not Kind.INT and keep & set(left.axes) and keep & set(right.axes):
            return onto(lo, left, right, summand, spare=True)
    if not inner and lo.node.kind is Kind.REAL and not lo.prologue.inner and summand.axes:
        sides = [lo.aligned(one, summand.axes) for one in (left, right)]
        return lo.call(torch.addcmul, (summand, *sides), summand.axes)
    return elementwise(lo, operator.add, [product(lo, left, right, keep), summand])


def _by_elements(lo: Lowering, left: Value, right: Value, inner: frozenset[int]) -> Value:
    """What lies otherwise than matrices that were multiplied, with their batch innermost, is copied: their slope would
    lie like it, and be taken apart matrix by matrix for the products that give theirs."""
    for one, other in ((left, right), (right, left)):
        if set(one.axes) == set(other.axes) and is_of_matrices(one) and innermost(other) not in inner:
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
    order = inner_order(matrix, vector, tuple(a for a in matrix.axes if a in inner))
    sizes = [lo.size(lo.space(a)) for a in free]
    rows_first = innermost(matrix) in free
    groups = ((order, INNER), (free, COLUMNS)) if rows_first else ((free, COLUMNS), (order, INNER))
    matrix = as_matrix(lo, matrix, batch, *groups)
    vector = lo.merged(lo.permuted(vector, (*batch, *order)), order, INNER)
    multiply, sides = (vector_matrix, (vector, matrix)) if rows_first else (matrix_vector, (matrix, vector))
    found = lo.call(multiply, sides, (*batch, COLUMNS), inline=len(free) != 1)
    return lo.split(found, COLUMNS, free, sizes, inline=False)


def matrices(
    lo: Lowering, left: Value, right: Value, keep: frozenset[int], multiply: Callable[..., Any] | None = None,
    more: tuple = (),
) -> Value:  # fmt: skip
    """Two tensors as batches of matrices, multiplied by `multiply`, which takes `more` arguments besides."""
    batch = tuple(a for a in left.axes if a in right.axes and a in keep)
    rows = tuple(a for a in left.axes if a not in right.axes)
    columns = tuple(a for a in right.axes if a not in left.axes)
    inner = inner_order(left, right, tuple(a for a in left.axes if a in right.axes and a not in batch))
    if multiply is None:  # of three dimensions, `matmul` comes to `bmm` by a detour
        multiply = torch.bmm if len(batch) == 1 else torch.matmul
    sizes = [[lo.size(lo.space(a)) for a in group] for group in (rows, columns)]
    left = as_matrix(lo, left, batch, (rows, ROWS), (inner, INNER))
    right = as_matrix(lo, right, batch, (inner, INNER), (columns, COLUMNS))
    split = len(rows) != 1 or len(columns) != 1
    found = lo.call(multiply, (left, right, *more), (*batch, ROWS, COLUMNS), inline=split)
    return lo.split_all(found, ((COLUMNS, columns, sizes[1]), (ROWS, rows, sizes[0])), inline=False)


def _vector(lo: Lowering, left: Value, right: Value, rows: tuple[int, ...], columns: tuple[int, ...]) -> Value:
    """At least one operand has nothing but contracted axes."""
    if columns:  # the vector stands on the right
        left, right, rows = right, left, columns
    inner = inner_order(left, right, tuple(a for a in left.axes if a not in rows))
    right = lo.merged(lo.permuted(right, inner), inner, INNER)
    if adjacent(left.axes, inner) and innermost(left) in rows and left.axes[0] in rows and not lo.prologue.inner:
        return _weighted_columns(lo, left, right, inner)
    if rows and len(rows) == 1 and not trailing(left, frozenset(inner)):
        flat = lo.merged(last(lo, left, rows), inner, INNER)
        if lo.prologue.inner:  # a step is told where to write
            return lo.call(mv, (lo.permuted(flat, (*rows, INNER)), right), rows)
        return lo.call(torch.matmul, (right, flat), rows)
    flat = lo.merged(last(lo, left, inner), inner, INNER)
    # What is looked at here in Python takes longer than `matmul`'s detour; a step is told where to write.
    multiply = mv if len(flat.axes) == 2 and lo.prologue.inner else torch.matmul
    return lo.call(multiply, (flat, right), flat.axes[:-1])


def _weighted_columns(lo: Lowering, x: Value, weights: Value, inner: tuple[int, ...]) -> Value:
    """What is summed over lies in the midst of `x`: what lies before it is a batch."""
    before, after = x.axes[: x.dim(inner[0])], x.axes[x.dim(inner[-1]) + 1 :]
    sizes = [[lo.size(lo.space(a)) for a in group] for group in (before, after)]
    x = lo.grouped(x, [(before, BATCH), (inner, INNER), (after, ROWS)])
    found = lo.call(weighted_rows, (weights, x), (BATCH, ROWS), inline=len(before) + len(after) > 2)
    return lo.split_all(found, ((ROWS, after, sizes[1]), (BATCH, before, sizes[0])), inline=False)


# --- helpers ----------------------------------------------------------------------------------------------------------


def sum_away(lo: Lowering, value: Value, keep: Iterable[int]) -> Value:
    keep = frozenset(keep)
    return total(lo, value, tuple(a for a in value.axes if a not in keep))
