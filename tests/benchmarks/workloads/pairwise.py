"""Sums over pairs of points: by hand, by KeOps, and within a budget of memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tests.benchmarks.workload import EDGE, Formula, Function, Other, Workload, normal

GROUP = "Pairs of points"

KERNEL = """
def smooth(X[i, d], Y[j, d]; b[j]) -> [i] = sum[j](exp(-sum[d]((X - Y) ^ 2)) * b)
"""
ROWS = 256
"""Of the pieces by hand: with 50,000 points on the other side, 51 MB."""


def broadcast(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
    return (torch.exp(-(x[:, None] - y).square().sum(-1)) * b).sum(1)


def by_distances(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
    distances = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.exp(-distances.square()) @ b


def by_product(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.t()
    return torch.exp(-squares) @ b


def in_pieces(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return torch.cat([by_axes(piece, y, b) for piece in x.split(ROWS)])
    return torch.cat([checkpoint(by_axes, piece, y, b, use_reentrant=False) for piece in x.split(ROWS)])


def by_axes(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
    """Coordinate by coordinate: the difference of all coordinates is never held."""
    squares = (x[:, 0, None] - y[:, 0]).square()
    for k in range(1, x.shape[1]):
        squares = squares + (x[:, k, None] - y[:, k]).square()
    return torch.exp(-squares) @ b


def keops() -> Function:
    from pykeops.torch import LazyTensor

    def run(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
        squares = ((LazyTensor(x[:, None]) - LazyTensor(y[None])) ** 2).sum(-1)
        return ((-squares).exp() @ b[:, None]).squeeze(1)

    return run


POINTS = (normal("i 3"), normal("j 3"), normal("j"))
TINY = {"i": 7, "j": 9}

WORKLOADS = (
    Workload(
        name="pairwise kernel, 2,000 x 2,000 points",
        group=GROUP,
        ours=Formula(KERNEL),
        by_hand={"cdist": by_distances, "by coordinates": by_axes},
        naive=broadcast,
        others={"KeOps": Other(keops), "as a product, which loses digits": Other(lambda: by_product)},
        edges={"naive": EDGE},
        inputs=POINTS,
        full={"i": 2000, "j": 2000},
        quick=TINY,
        tolerance=1e-3,
    ),
    Workload(
        name="pairwise kernel, 50,000 x 50,000 points in 512 MiB",
        group=GROUP,
        ours=Formula(KERNEL, {"max_memory": "512MiB"}),
        by_hand={"in pieces, checkpointed": in_pieces},
        naive=None,
        others={"KeOps": Other(keops)},
        inputs=POINTS,
        full={"i": 50_000, "j": 50_000},
        quick=TINY,
        tolerance=1e-3,
        once=True,
        left_out={
            "ours, inductor": "a call that is traced is not cut",
            "in pieces, checkpointed, compiled": "torch.compile unrolls the loop: minutes",
        },
    ),
)
