"""Linear algebra on a pair of axes, and the machine epsilon.

In: tensors in any layouts. Out: tensors whose last axes are the rows and columns. What always holds: the other axes are
a batch; integers are computed in the working precision, half precision in float32.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import torch

from namedlayers.emit.attributes import position
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node


@emits("inv", "cholesky")
def emit_square(lo: Lowering, node: Node) -> Value:
    x, _, lowered = _matrix(lo, node)
    return lowered(lo.call(torch.linalg.inv if node.op == "inv" else torch.linalg.cholesky, (x,), x.axes))


@emits("det")
def emit_det(lo: Lowering, node: Node) -> Value:
    x, _, lowered = _matrix(lo, node)
    return lowered(lo.call(torch.linalg.det, (x,), x.axes[:-2]))


@emits("eigenvalues")
def emit_eigenvalues(lo: Lowering, node: Node) -> Value:
    x, _, lowered = _matrix(lo, node)
    return lowered(lo.call(torch.linalg.eigvalsh, (x,), (*x.axes[:-2], position(node, "into"))))


@emits("eigenvectors")
def emit_eigenvectors(lo: Lowering, node: Node) -> Value:
    x, (row, _), lowered = _matrix(lo, node)
    axes = (*x.axes[:-2], row, position(node, "into"))
    pair = lo.call(torch.linalg.eigh, (x,), axes)
    return lowered(lo.call(operator.getitem, (pair, 1), axes))


@emits("solve")
def emit_solve(lo: Lowering, node: Node) -> Value:
    a, b = lo.operands(node)
    row, column = position(node, "row"), position(node, "column")
    (a, lowered), (b, _) = (lo.raised(lo.working(v)) for v in lo.alike([a, b]))
    a, b = lo.filled(a, (row, column)), lo.filled(b, (row,))
    batch = tuple(axis for axis in a.axes if axis not in (row, column))
    sides = tuple(axis for axis in b.axes if axis != row and axis not in batch)
    a = lo.permuted(a, (*batch, row, column))
    b = lo.filled(b, batch)
    b = lo.merged(lo.permuted(b, (*batch, row, *sides)), sides, _SIDES)
    sizes = [lo.size(lo.space(axis)) for axis in sides]
    found = lo.call(torch.linalg.solve, (a, b), (*batch, column, _SIDES), inline=len(sides) != 1)
    return lowered(lo.split(found, _SIDES, sides, sizes, inline=False))


@emits("finfo")
def emit_finfo(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    dtype = lo.dtype() if x.weak or x.number else lo.dtype_of(x)
    limits = lo.inline(torch.finfo, dtype)
    return Value(lo.inline(getattr, limits, str(node.attr("which"))), (), node.kind, True, True)


_SIDES = -101


def _matrix(lo: Lowering, node: Node) -> tuple[Value, tuple[int, int], Callable[[Value], Value]]:
    """The operand with rows and columns last, these two axes, and what gives a result the operand's precision again."""
    (x,) = lo.operands(node)
    pair = position(node, "row"), position(node, "column")
    x, lowered = lo.raised(lo.filled(lo.working(lo.tensor(x)), pair))
    return lo.permuted(x, _behind(x.axes, pair)), pair, lowered


def _behind(axes: Sequence[int], pair: tuple[int, int]) -> tuple[int, ...]:
    return (*(axis for axis in axes if axis not in pair), *pair)
