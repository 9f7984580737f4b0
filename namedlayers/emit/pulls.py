"""Sums of weighted differences between all pairs of two sets of points: what comes back through squared distances.

In: two sets of points as rows, a weight of each pair. Out: for each point twice the weighted sum of its differences
from those of the other set. What always holds: differences are taken before anything is added up, so that no digits are
lost far from 0; those of all coordinates are never held at once.

With few coordinates, on a CPU, the weights are read once, in blocks of rows that stay in a processor's cache, for each
coordinate and for both sets. Elsewhere torch's kernel is taken: the slope of `cdist`, which is that sum if all
distances are 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from namedlayers.emit.eager import visible

FEW = 16
"""Up to so many coordinates are taken one by one."""

BLOCK = 2**17
"""So many pairs are a block, about."""


def pulls(x: Tensor, y: Tensor, weights: Tensor, to_x: bool = True, to_y: bool = True) -> tuple[Tensor, Tensor]:
    """For the rows of x and of y, which are of one precision, and weights of (x, y), for batches of all three. What is
    not asked for is 0.

    >>> pulls(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]]), torch.tensor([[1.0], [2.0]]))
    (tensor([[-6.],
            [-8.]]), tensor([[14.]]))
    """
    if x.size(-1) <= FEW and visible(weights) and not is_legacy_batchedtensor(weights):  # of `is_grads_batched`
        return _by_coordinates(x, y, weights, to_x, to_y)
    return (
        _of_one(x, y, weights) if to_x else torch.zeros_like(x),
        _of_one(y, x, weights.mT) if to_y else torch.zeros_like(y),
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _by_coordinates(x: Tensor, y: Tensor, weights: Tensor, to_x: bool, to_y: bool) -> tuple[Tensor, Tensor]:
    xs, ys = x.movedim(-1, 0).contiguous(), y.movedim(-1, 0).contiguous()
    of_x, of_y = torch.zeros_like(xs), torch.zeros_like(ys)
    rows = max(1, min(x.size(-2), BLOCK * y.size(-1) // max(1, y.numel())))
    block = x.new_empty((*x.shape[:-2], rows, y.size(-2)))
    for start in range(0, x.size(-2), rows):
        count = min(rows, x.size(-2) - start)
        weighed = weights.narrow(-2, start, count)
        differences = block.narrow(-2, 0, count)
        here, there = xs.narrow(-1, start, count).unsqueeze(-1), of_x.narrow(-1, start, count)
        for x_k, y_k, of_x_k, of_y_k in zip(here, ys.unsqueeze(-2), there, of_y, strict=True):
            torch.sub(x_k, y_k, out=differences)
            differences.mul_(weighed)
            if to_x:
                torch.sum(differences, -1, out=of_x_k)
            if to_y:
                of_y_k.sub_(differences.sum(-2))
    return of_x.mul_(2).movedim(0, -1), of_y.mul_(2).movedim(0, -1)


def _of_one(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    weights = (2 * weights).contiguous()
    return torch.ops.aten._cdist_backward(weights, x.contiguous(), y.contiguous(), 2.0, torch.ones_like(weights))
