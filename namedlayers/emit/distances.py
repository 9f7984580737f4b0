"""Distances between all pairs of two sets of points, without the differences of all coordinates.

In: points as rows, points as columns. Out: a matrix of distances or of their squares. What always holds: each is the
root of a sum of squares of differences, so that no digits are lost; all derivatives are made of the same functions.

`cdist` is the fast way, of single and double precision. Its own slope has none, so squares have theirs from here: with
distances of 1, its slope is just the sum of weighted differences. Traced by torch, they are written out, for compilers
hold no differences either.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.contractions import matrices, right_first
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node


@emits("distance")
def emit_distance(lo: Lowering, node: Node) -> Value:
    left, right = lo.alike(lo.operands(node))
    left, right = lo.filled(left, node.args[0].axes), lo.filled(right, node.args[1].axes)
    keep = frozenset(range(node.rank))
    if right_first(lo, left, right, frozenset(left.axes) & frozenset(right.axes) - keep):
        left, right = right, left
    return matrices(lo, left, right, keep, distances if node.attr("root") else square_distances, ())


def square_distances(x: Tensor, y: Tensor) -> Tensor:
    """The squared distances of the rows of x from the columns of y, for batches of both.

    >>> square_distances(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[25.],
            [13.]])
    """
    if _is_written_out(x, y):
        return _bilinear(x, y.mT, x, y.mT)
    return _Squares.apply(x, y.mT)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """The distances of the rows of x from the columns of y; the slope of one that is 0 is 0.

    >>> distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[5.]])
    """
    if not _is_written_out(x, y) and not (torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)):
        return _distances(x, y.mT)
    return torch.linalg.vector_norm(x.unsqueeze(-2) - y.mT.unsqueeze(-3), dim=-1)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_written_out(x: Tensor, y: Tensor) -> bool:
    return torch.compiler.is_compiling() or x.dtype is not y.dtype or x.dtype not in (torch.float32, torch.float64)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _bilinear(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The sums of the products of differences: of x and y, and of a and b."""
    left = x.unsqueeze(-2) - y.unsqueeze(-3)
    return (left * (left if a is x and b is y else a.unsqueeze(-2) - b.unsqueeze(-3))).sum(-1)


class _Squares(torch.autograd.Function):
    """The squares of the distances of rows."""

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return _distances(x, y).square_()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, y = ctx.saved_tensors
        to_x, to_y = ctx.needs_input_grad
        return (
            _Weighted.apply(x, y, slope) if to_x else None,
            _Weighted.apply(y, x, slope.mT) if to_y else None,
        )  # fmt: skip

    @staticmethod
    def jvp(ctx: Any, x_slope: Tensor, y_slope: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        return 2 * _bilinear(x, y, x_slope, y_slope)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Tensor) -> tuple[Tensor, int]:
        return _Squares.apply(*_batches(info, dims, given)), 0


class _Weighted(torch.autograd.Function):
    """For each row of x twice the sum of its differences from the rows of y, each weighed."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        weights = (2 * weights).contiguous()
        return torch.ops.aten._cdist_backward(weights, x.contiguous(), y.contiguous(), 2.0, torch.ones_like(weights))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, y, weights = ctx.saved_tensors
        nothing = torch.zeros_like(y)
        to_x, to_y, to_weights = ctx.needs_input_grad
        return (
            2 * slope * weights.sum(-1, keepdim=True) if to_x else None,
            -2 * weights.mT @ slope if to_y else None,
            2 * _bilinear(x, y, slope, nothing) if to_weights else None,
        )  # fmt: skip

    @staticmethod
    def jvp(ctx: Any, x_slope: Tensor, y_slope: Tensor, slope: Tensor) -> Tensor:
        x, y, weights = ctx.saved_tensors
        return _Weighted.apply(x_slope, y_slope, weights) + _Weighted.apply(x, y, slope)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Tensor) -> tuple[Tensor, int]:
        return _Weighted.apply(*_batches(info, dims, given)), 0


def _batches(info: Any, dims: tuple[int | None, ...], given: tuple[Tensor, ...]) -> list[Tensor]:
    """With the axis of a vmap in front of all."""
    return [
        one.expand(info.batch_size, *one.shape) if dim is None else one.movedim(dim, 0)
        for one, dim in zip(given, dims, strict=True)
    ]
