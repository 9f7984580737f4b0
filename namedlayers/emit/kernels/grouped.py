"""Rows, each times the matrix whose number it has: of experts, of relations, of classes.

In: rows [n, k], matrices [e, k, m], a number for each row [n]. Out: [n, m]. What always holds: numbers out of range are
refused, or give 0. Where numbers are at hand, rows of one number go through one product, and no matrix is copied: in
time and memory that is a product of n rows. For torch.compile, operators do it. What is exported or transformed, and
other devices, read a matrix for each row; so do a few rows of small matrices, which are had sooner that way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import all_visible, batched_backward
from namedlayers.emit.kernels.in_graphs import in_graph
from namedlayers.emit.kernels.rows import as_index
from namedlayers.emit.kernels.vectors import vector_matrix

FEW = 1 << 18
"""Up to how many numbers of matrices are read for the rows."""

EACH = 3 << 14
"""A product of its own takes as long as so many of them are read."""


def grouped_product(rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    """Each row times its matrix.

    >>> grouped_product(torch.ones(2, 1), torch.tensor([[[1.0]], [[2.0]], [[3.0]]]), torch.tensor([2, 0])).tolist()
    [[3.0], [1.0]]
    """
    index = as_index(index)
    if not _pays(rows, matrices):
        return _read(rows, matrices, index)
    if is_dynamo_compiling() and not is_exporting():
        return _traced(rows, matrices, index)
    if all_visible(rows, matrices, index):
        return _here(rows, matrices, index)
    return _read(rows, matrices, index)


def filled_grouped_product(rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    """The same, but 0 where a number is out of range.

    >>> filled_grouped_product(torch.ones(2, 1), torch.tensor([[[1.0]], [[2.0]]]), torch.tensor([1, -1])).tolist()
    [[2.0], [0.0]]
    """
    if all_visible(rows, matrices, index):
        try:
            return grouped_product(rows, matrices, index)
        except IndexError:
            pass
    count = matrices.size(0)
    if not count:
        return torch.matmul(rows[:, :0], matrices.sum(0)[:0])
    inside = (index >= 0) & (index < count)
    return torch.where(inside.unsqueeze(-1), grouped_product(rows, matrices, index.clamp(0, count - 1)), 0.0)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _pays(rows: Tensor, matrices: Tensor) -> bool:
    (n, k), (count, _, m) = rows.shape, matrices.shape
    return n * k * m > FEW + EACH * count


def _read(rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    return vector_matrix(rows, torch.index_select(matrices, 0, index))


def _here(rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    if torch.is_autocast_enabled("cpu"):  # which would not see what is inside
        rows, matrices = (_narrowed(one, torch.get_autocast_dtype("cpu")) for one in (rows, matrices))
    if rows.dtype is not matrices.dtype:
        return _read(rows, matrices, index)
    if torch.is_grad_enabled() and (rows.requires_grad or matrices.requires_grad):
        found: Tensor = _Grouped.apply(rows, matrices, index)
        return found
    return _products(rows, matrices, index)


def _narrowed(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x if x.dtype is torch.float64 else x.to(dtype)


@in_graph  # it is traced from tensor to tensor, not line by line
def _traced(rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    plain = torch._C._functorch.peek_interpreter_stack() is not None or not rows.is_cpu
    if plain or rows.dtype is not matrices.dtype or torch.is_autocast_enabled("cpu"):
        return _read(rows, matrices, index)
    found: Tensor = _Operator.apply(rows, matrices, index)
    return found


class _Grouped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(rows, matrices, index)
        return _products(rows, matrices, index)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        rows, matrices, index = ctx.saved_tensors
        to_rows, to_matrices, _ = ctx.needs_input_grad
        if torch.is_grad_enabled() or batched_backward(slope) or not all_visible(slope):
            outer = rows.unsqueeze(-1) * slope.unsqueeze(-2)
            return (
                _read(slope, matrices.mT, index) if to_rows else None,
                torch.zeros_like(matrices).index_add(0, index, outer) if to_matrices else None,
                None,
            )
        return (
            _products(slope, matrices.mT, index) if to_rows else None,
            _slopes(slope, rows, matrices, index) if to_matrices else None,
            None,
        )


class _Operator(_Grouped):
    """The same by operators, which a compiler does not look into."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(rows, matrices, index)
        found: Tensor = torch.ops.namedlayers.grouped_product(rows, matrices, index)
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        rows, matrices, index = ctx.saved_tensors
        to_rows, to_matrices, _ = ctx.needs_input_grad
        return (
            torch.ops.namedlayers.grouped_product(slope, matrices.mT, index) if to_rows else None,
            torch.ops.namedlayers.grouped_slopes(slope, rows, matrices, index) if to_matrices else None,
            None,
        )


def _products(rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    order, counts = _groups(index, matrices.size(0))
    found = rows.new_empty(rows.size(0), matrices.size(2))
    parts = rows.index_select(0, order).split(counts)
    for part, number, room in zip(parts, range(len(counts)), found.split(counts), strict=True):
        if part.size(0):
            torch.mm(part, matrices[number], out=room)
    return torch.empty_like(found).index_copy_(0, order, found)


def _slopes(slope: Tensor, rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    """Those of matrices."""
    order, counts = _groups(index, matrices.size(0))
    found = torch.empty_like(matrices)
    sides = (one.index_select(0, order).split(counts) for one in (rows, slope))
    for left, right, room in zip(*sides, found.unbind(0), strict=True):
        if left.size(0):
            torch.mm(left.mT, right, out=room)
        else:
            room.zero_()
    return found


def _groups(index: Tensor, count: int) -> tuple[Tensor, list[int]]:
    """In which order rows of one number lie together, and how many there are of each."""
    numbers, order = index.sort()
    if numbers.numel() and (numbers[0].item() < 0 or numbers[-1].item() >= count):
        raise IndexError("index out of range in self")  # what torch says where rows are read
    return order, torch.bincount(numbers, minlength=count).tolist()


def _like_products(rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0], matrices.shape[2])


def _like_slopes(slope: Tensor, rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    return torch.empty_like(matrices)


_OPERATORS: tuple[tuple[str, Callable[..., Tensor], Callable[..., Tensor]], ...] = (
    ("grouped_product(Tensor rows, Tensor matrices, Tensor index) -> Tensor", _products, _like_products),
    ("grouped_slopes(Tensor slope, Tensor rows, Tensor matrices, Tensor index) -> Tensor", _slopes, _like_slopes),
)
_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
for _text, _run, _fake in _OPERATORS:
    _name = _text.partition("(")[0]
    _operators.define(_text)
    _operators.impl(_name, _run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"namedlayers::{_name}", _fake, lib=_operators)
