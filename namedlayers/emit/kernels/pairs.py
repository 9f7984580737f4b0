"""What is done with all pairs of two sets of points: distances, and what comes back through them.

In: two sets of points as rows, for batches of both. Out: a number for each pair; or, of weights of the pairs, for each
point twice the weighted sum of its differences from those of the other set, or that of their signs. What always holds:
differences are taken before anything is added up, so that no digits are lost far from 0; those of all coordinates are
never held at once.

With few coordinates, on a CPU, all of this is done coordinate by coordinate, in blocks of rows that stay in a
processor's cache. Elsewhere torch's kernels are taken: `cdist`, and its slope, which is that sum if all distances are
1.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Literal

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from namedlayers.emit.kernels.eager import visible

FEW = 16
"""Up to so many coordinates are taken one by one."""

VERY_FEW = 4
"""Up to so many are, where magnitudes are summed: torch's kernel has one operation for each."""

BLOCK = 2**17
"""So many pairs are a block, about."""

MANY = 2**14
"""Of fewer pairs, torch's kernel is done before a few operations begin."""


def squares(x: Tensor, y: Tensor) -> Tensor:
    """The squared distances of the rows of x and y, which are of one precision.

    >>> squares(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[25.],
            [13.]])
    """
    if _pays(x, y):
        return _of_pairs(x, y, "square")
    return _cdist(x, y).square_()


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Their roots."""
    if _pays(x, y):
        return _of_pairs(x, y, "norm")
    return _cdist(x, y)


def magnitudes(x: Tensor, y: Tensor) -> Tensor:
    """The sums of the magnitudes of their differences.

    >>> magnitudes(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[7.],
            [5.]])
    """
    if _pays(x, y) and x.size(-1) <= VERY_FEW:
        return _of_pairs(x, y, "magnitude")
    return torch.cdist(x, y, p=1.0)


def pulls(x: Tensor, y: Tensor, weights: Tensor, to_x: bool = True, to_y: bool = True) -> tuple[Tensor, Tensor]:
    """Twice the weighted sums of differences: for the rows of x from those of y, for the rows of y from those of x, of
    which all are of one precision. What is not asked for is 0.

    >>> pulls(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]]), torch.tensor([[1.0], [2.0]]))
    (tensor([[-6.],
            [-8.]]), tensor([[14.]]))
    """
    if _takes(x, y, weights):
        return _of_points(x, y, weights, to_x, to_y)
    return (
        _of_one(x, y, weights) if to_x else torch.zeros_like(x),
        _of_one(y, x, weights.mT) if to_y else torch.zeros_like(y),
    )


def signed_pulls(x: Tensor, y: Tensor, weights: Tensor, to_x: bool = True, to_y: bool = True) -> tuple[Tensor, Tensor]:
    """The weighted sums of the signs of differences, likewise. What is no number has the sign 0.

    >>> signed_pulls(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]]), torch.tensor([[1.0], [2.0]]))
    (tensor([[-1.],
            [-2.]]), tensor([[3.]]))
    """
    if any(not visible(one) or is_legacy_batchedtensor(one) for one in (x, y, weights)):
        return _unseen_signs(x, y, weights)
    if x.size(-1) > VERY_FEW:
        of_x = _signs_of_one(x, y, weights) if to_x else torch.zeros_like(x)
        of_y = _signs_of_one(y, x, weights.mT) if to_y else torch.zeros_like(y)
        if isfinite(of_x.sum()) and isfinite(of_y.sum()):  # to torch's kernel, the sign of NaN is NaN
            return of_x, of_y
    return _of_points(x, y, weights, to_x, to_y, signs=True)


# --- coordinate by coordinate -----------------------------------------------------------------------------------------


def _pays(x: Tensor, y: Tensor) -> bool:
    return x.size(-2) * y.size(-2) >= MANY and _takes(x, y)


def _takes(x: Tensor, *others: Tensor) -> bool:
    """Whether there are few coordinates, of plain tensors: no batches of slopes, as `is_grads_batched` makes them."""
    return 0 < x.size(-1) <= FEW and all(visible(one) and not is_legacy_batchedtensor(one) for one in (x, *others))


def _of_pairs(x: Tensor, y: Tensor, measure: Literal["square", "norm", "magnitude"]) -> Tensor:
    found = x.new_empty((*x.shape[:-1], y.size(-2)))
    xs, ys = _rows(x).unsqueeze(-1), _rows(y).unsqueeze(-2)
    for start, count, room in _blocks(x, y):
        total = found.narrow(-2, start, count)
        (x_0, *others_x), (y_0, *others_y) = xs.narrow(-2, start, count), ys
        torch.sub(x_0, y_0, out=total)
        if measure == "magnitude":
            total.abs_()
        else:
            total.mul_(total)
        for x_k, y_k in zip(others_x, others_y, strict=True):
            torch.sub(x_k, y_k, out=room)
            if measure == "magnitude":
                total.add_(room.abs_())
            else:
                total.addcmul_(room, room)
        if measure == "norm":
            total.sqrt_()
    return found


def _of_points(
    x: Tensor, y: Tensor, weights: Tensor, to_x: bool, to_y: bool, *, signs: bool = False
) -> tuple[Tensor, Tensor]:
    xs, ys = _rows(x), _rows(y)
    of_x, of_y = torch.zeros_like(xs), torch.zeros_like(ys)
    for start, count, room in _blocks(x, y):
        weighed = weights.narrow(-2, start, count)
        here, there = xs.narrow(-1, start, count).unsqueeze(-1), of_x.narrow(-1, start, count)
        for x_k, y_k, of_x_k, of_y_k in zip(here, ys.unsqueeze(-2), there, of_y, strict=True):
            torch.sub(x_k, y_k, out=room)
            if signs:
                room.sign_()
            room.mul_(weighed)
            if to_x:
                torch.sum(room, -1, out=of_x_k)
            if to_y:
                of_y_k.sub_(room.sum(-2))
    if not signs:
        of_x, of_y = of_x.mul_(2), of_y.mul_(2)
    return of_x.movedim(0, -1), of_y.movedim(0, -1)


def _unseen_signs(x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted sums of signs, of what may be neither looked at nor written to."""
    of_x, of_y = [weights.new_zeros(x.shape[:-1])], [weights.new_zeros(y.shape[:-1])]
    for x_k, y_k in zip(x.unsqueeze(-2).unbind(-1), y.unsqueeze(-3).unbind(-1), strict=True):
        signed = (x_k - y_k).sign() * weights
        of_x.append(signed.sum(-1))
        of_y.append(-signed.sum(-2))
    return torch.stack(of_x, -1)[..., 1:], torch.stack(of_y, -1)[..., 1:]


def _rows(x: Tensor) -> Tensor:
    """Each coordinate's numbers side by side."""
    return x.movedim(-1, 0).contiguous()


def _blocks(x: Tensor, y: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Where a block of rows of x begins, how many they are, and room for a number of each of their pairs."""
    rows = max(1, min(x.size(-2), BLOCK * y.size(-1) // max(1, y.numel())))
    room = x.new_empty((*x.shape[:-2], rows, y.size(-2)))
    for start in range(0, x.size(-2), rows):
        count = min(rows, x.size(-2) - start)
        yield start, count, room.narrow(-2, 0, count)


# --- torch's kernels --------------------------------------------------------------------------------------------------


def _cdist(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _of_one(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    weights = (2 * weights).contiguous()
    return torch.ops.aten._cdist_backward(weights, x.contiguous(), y.contiguous(), 2.0, torch.ones_like(weights))


def _signs_of_one(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    weights = weights.contiguous()
    return torch.ops.aten._cdist_backward(weights, x.contiguous(), y.contiguous(), 1.0, weights)  # asks for no distance
