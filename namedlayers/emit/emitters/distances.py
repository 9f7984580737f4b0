"""Distances between all pairs of two sets of points, without the differences of all coordinates.

In: points as rows, points as columns. Out: a matrix of distances, of their squares, or of sums of magnitudes. What
always holds: differences are taken before anything is summed, so that no digits are lost; all derivatives are made of
the same functions.

In single and double precision they are had by a fast way, and their slopes too (`pairs.py`), which have slopes here.
Traced by torch, distances are written out, for compilers hold no differences either; of few coordinates one by one, as
the slopes' loops have no vector instructions along so short an axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.emitters.products import matrices, right_first
from namedlayers.emit.kernels import pairs
from namedlayers.emit.kernels.eager import visible
from namedlayers.emit.kernels.in_graphs import in_graph
from namedlayers.emit.kernels.magnitudes import magnitudes
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
    measure = {"square": square_distances, "norm": distances, "magnitude": absolute_distances}
    return matrices(lo, left, right, keep, measure[str(node.attr("measure"))], ())


def square_distances(x: Tensor, y: Tensor) -> Tensor:
    """The squared distances of the rows of x from the columns of y, for batches of both.

    >>> square_distances(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[25.],
            [13.]])
    """
    y = y.mT
    if _is_underived(x, y):
        return _Squares.forward(x, y)
    if _is_short(x):
        return _by_coordinates(x, y)
    return _bilinear(x, y, x, y) if _is_written_out(x, y) else _Squares.apply(x, y)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """The distances of the rows of x from the columns of y; the slope of one that is 0 is 0.

    >>> distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[5.]])
    """
    y = y.mT
    if _is_underived(x, y):
        return _Roots.forward(x, y)
    if _is_short(x):
        squares = _by_coordinates(x, y)
        none = squares == 0
        return torch.where(none, 0, torch.where(none, 1, squares).sqrt())
    if _is_written_out(x, y):
        return torch.linalg.vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), dim=-1)
    return _Roots.apply(x, y)


def absolute_distances(x: Tensor, y: Tensor) -> Tensor:
    """The sums of the magnitudes of the differences.

    >>> absolute_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0], [4.0]]))
    tensor([[7.]])
    """
    y = y.mT
    if _is_underived(x, y):
        return pairs.magnitudes(x, y)
    if _is_written_out(x, y):
        return (x.unsqueeze(-2) - y.unsqueeze(-3)).abs().sum(-1)
    return magnitudes(x, y)


# --- helpers ----------------------------------------------------------------------------------------------------------


FEW = 2**15
"""Of so few differences all may be held where slopes are wanted: torch's own operations begin sooner."""
SHORT = 16
"""Of up to so many coordinates, compiled slopes take twice as long or more if these are an axis of the loops."""


def _is_underived(x: Tensor, y: Tensor) -> bool:
    """Whether the fast way takes them, and nothing asks for slopes."""
    derived = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    return not derived and visible(x) and visible(y) and _is_known(x, y)


def _is_written_out(x: Tensor, y: Tensor) -> bool:
    return torch.compiler.is_compiling() or not _is_known(x, y) or x.numel() * y.size(-2) <= FEW


def _is_short(x: Tensor) -> bool:
    """Whether a compiler takes them with few coordinates. Of an exported program these may be of any number."""
    return is_dynamo_compiling() and not is_exporting() and 0 < x.shape[-1] <= SHORT


@in_graph  # it is traced from tensor to tensor, not line by line
def _by_coordinates(x: Tensor, y: Tensor) -> Tensor:
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return _WrittenOut.forward(x, y)
    found: Tensor = _WrittenOut.apply(x, y)
    return found


def _is_known(x: Tensor, y: Tensor) -> bool:
    return x.dtype is y.dtype and x.dtype in (torch.float32, torch.float64)


def _bilinear(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The sums of the products of differences: of x and y, and of a and b."""
    left = x.unsqueeze(-2) - y.unsqueeze(-3)
    return (left * (left if a is x and b is y else a.unsqueeze(-2) - b.unsqueeze(-3))).sum(-1)


class _Squares(torch.autograd.Function):
    """The squares of the distances of rows."""

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return pairs.squares(x, y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, y = ctx.saved_tensors
        return _pulls(x, y, slope, *ctx.needs_input_grad)

    @staticmethod
    def jvp(ctx: Any, x_slope: Tensor, y_slope: Tensor) -> Tensor:
        x, y = ctx.saved_tensors
        return 2 * _bilinear(x, y, x_slope, y_slope)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Tensor) -> tuple[Tensor, int]:
        return _Squares.apply(*_batches(info, dims, given)), 0


class _WrittenOut(_Squares):
    """They, as a compiler is given them: differences coordinate by coordinate, of which it holds none.

    Its slopes are sums of other differences for x than for y. What two sums that run along different axes had in
    common, a compiler would hold: as many numbers as there are differences.
    """

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        first, *others = ((a - b).square() for a, b in _coordinates(x, y))
        return sum(others, first)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, y = ctx.saved_tensors
        to_x, to_y = ctx.needs_input_grad
        of_x = ((slope * (a - b)).sum(-1) for a, b in _coordinates(x, y))
        of_y = ((slope * (b - a)).sum(-2) for a, b in _coordinates(x, y))
        return (
            2 * torch.stack(list(of_x), -1).sum_to_size(x.shape) if to_x else None,
            2 * torch.stack(list(of_y), -1).sum_to_size(y.shape) if to_y else None,
        )


def _coordinates(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Each coordinate of both, those of y side by side: along these the compiler's loops have vector instructions."""
    return zip(x.unsqueeze(-2).unbind(-1), y.mT.contiguous().unsqueeze(-2).unbind(-3), strict=True)


class _Roots(torch.autograd.Function):
    """The distances of rows."""

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return pairs.distances(x, y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        x, y, found = ctx.saved_tensors
        return _pulls(x, y, _over(slope, 2 * found), *ctx.needs_input_grad)

    @staticmethod
    def jvp(ctx: Any, x_slope: Tensor, y_slope: Tensor) -> Tensor:
        x, y, found = ctx.saved_tensors
        return _over(_bilinear(x, y, x_slope, y_slope), found)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Tensor) -> tuple[Tensor, int]:
        return _Roots.apply(*_batches(info, dims, given)), 0


def _over(slope: Tensor, distance: Tensor) -> Tensor:
    """The quotient; 0 at a distance of 0."""
    none = distance == 0
    return torch.where(none, 0, slope / torch.where(none, 1, distance))


class _Pulls(torch.autograd.Function):
    """Twice the sums of weighted differences of rows: for each x of those from all y, for each y of those from all x.
    Where a side is not wanted, it is 0."""

    @staticmethod
    def forward(x: Tensor, y: Tensor, weights: Tensor, to_x: bool, to_y: bool) -> tuple[Tensor, Tensor]:
        return pairs.pulls(x, y, weights, to_x, to_y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool, bool], output: Any) -> None:
        *tensors, ctx.to_x, ctx.to_y = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, x_slope: Tensor, y_slope: Tensor) -> Any:
        x, y, weights = ctx.saved_tensors
        x_slope, y_slope = _wanted(x_slope, ctx.to_x), _wanted(y_slope, ctx.to_y)
        to_x, to_y, to_weights, *_ = ctx.needs_input_grad
        return (
            *_Pulls.apply(x_slope, y_slope, weights, to_x, to_y),
            2 * _bilinear(x, y, x_slope, y_slope) if to_weights else None,
            None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, x_slope: Tensor, y_slope: Tensor, slope: Tensor, *_: None) -> tuple[Tensor, ...]:
        x, y, weights = ctx.saved_tensors
        moved = _Pulls.apply(x_slope, y_slope, weights, ctx.to_x, ctx.to_y)
        weighed = _Pulls.apply(x, y, slope, ctx.to_x, ctx.to_y)
        return tuple(one + other for one, other in zip(moved, weighed, strict=True))

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        *tensors, to_x, to_y = given
        return _Pulls.apply(*_batches(info, dims[:3], tuple(tensors)), to_x, to_y), (0, 0)


def _pulls(x: Tensor, y: Tensor, weights: Tensor, to_x: bool, to_y: bool) -> tuple[Tensor, Tensor]:
    """With slopes of their own, if these are wanted."""
    return (_Pulls.apply if torch.is_grad_enabled() else pairs.pulls)(x, y, weights, to_x, to_y)


def _wanted(slope: Tensor, wanted: bool) -> Tensor:
    return slope if wanted else torch.zeros_like(slope)


def _batches(info: Any, dims: tuple[int | None, ...], given: tuple[Tensor, ...]) -> list[Tensor]:
    """With the axis of a vmap in front of all."""
    return [
        one.expand(info.batch_size, *one.shape) if dim is None else one.movedim(dim, 0)
        for one, dim in zip(given, dims, strict=True)
    ]
