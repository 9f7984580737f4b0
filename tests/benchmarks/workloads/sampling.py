"""Readings between grid points, written with hat functions: by hand, `grid_sample` and `interpolate`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import Formula, Input, Sizes, Workload, normal, shape

GROUP = "Sampling"

WARP = """
def warp(X[b, c, i, j], u[b, y, x], v[b, y, x]) -> [b, c, y, x]:
    return sum[i, j](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)))
"""
TABLE = """
def look_up(X[c, i], u[p]) -> [c, p] = sum[i](X * relu(1 - abs(u - i)))
"""
LARGER = """
def larger(X[b, c, i, j]) -> [b, c, y, x]:
    |y| = 2 * |i|
    |x| = 2 * |j|
    u = clip((index[y] + 0.5) / 2 - 0.5, 0, |i| - 1)
    v = clip((index[x] + 0.5) / 2 - 0.5, 0, |j| - 1)
    return sum[i, j](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)))
"""
CORNERS = """
def corners(X[b, c, i, j], u[b, y, x], v[b, y, x]) -> [b, c, y, x]:
    k = int(floor(u))
    l = int(floor(v))
    s = u - k
    t = v - l
    above = X[i = k, j = l; fill = 0] * (1 - t) + X[i = k, j = l + 1; fill = 0] * t
    below = X[i = k + 1, j = l; fill = 0] * (1 - t) + X[i = k + 1, j = l + 1; fill = 0] * t
    return (1 - s) * above + s * below
"""


def places(axes: str, along: str) -> Input:
    """Numbers from a step before an axis to a step behind it, none so near a whole one that it rounds to that."""

    def make(sizes: Sizes) -> Tensor:
        whole = torch.randint(-1, sizes[along], shape(axes, sizes))
        return whole + 0.01 + 0.98 * torch.rand(whole.shape)

    return make


def hats(place: Tensor, size: int) -> Tensor:
    return torch.relu(1 - (place.unsqueeze(-1) - torch.arange(size, device=place.device)).abs())


def warp_by_weights(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("bcij,byxi,byxj->bcyx", x, hats(u, x.shape[2]), hats(v, x.shape[3]))


def corners_by_index(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Zeros stand around the image."""
    wide, rows, columns = F.pad(x, (1, 1, 1, 1)), u.floor(), v.floor()
    s, t = (u - rows).unsqueeze(1), (v - columns).unsqueeze(1)
    batch, k, m = torch.arange(x.shape[0])[:, None, None], rows.long() + 1, columns.long() + 1
    above, above_right, below, below_right = (
        wide[batch, :, k + i, m + j].movedim(-1, 1) for i in (0, 1) for j in (0, 1)
    )
    return (1 - s) * ((1 - t) * above + t * above_right) + s * ((1 - t) * below + t * below_right)


def warp_by_grid(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    height, width = x.shape[2:]
    grid = torch.stack([(2 * v + 1) / width - 1, (2 * u + 1) / height - 1], -1)
    return F.grid_sample(x, grid, align_corners=False)


def table_by_weights(x: Tensor, u: Tensor) -> Tensor:
    return x @ hats(u, x.shape[1]).t()


def table_by_grid(x: Tensor, u: Tensor) -> Tensor:
    share = (2 * u + 1) / x.shape[1] - 1
    grid = torch.stack([torch.zeros_like(share), share], -1)
    return F.grid_sample(x[None, :, :, None], grid[None, None], align_corners=False)[0, :, 0]


def twice(x: Tensor, size: int) -> Tensor:
    """The weights of an axis of so many places at twice as many."""
    places = (torch.arange(2 * size, device=x.device) + 0.5) / 2 - 0.5
    return hats(places.clamp(0, size - 1), size)


def larger_by_weights(x: Tensor) -> Tensor:
    return torch.einsum("bcij,yi,xj->bcyx", x, *(twice(x, n) for n in x.shape[2:]))


def larger_by_interpolate(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def larger_by_products(x: Tensor) -> Tensor:
    rows, columns = (twice(x, n) for n in x.shape[2:])
    return rows @ (x @ columns.t())


WORKLOADS = (
    Workload(
        name="bilinear sampling by hat functions",
        group=GROUP,
        ours=Formula(WARP),
        by_hand={"grid_sample": warp_by_grid},
        naive=warp_by_weights,
        inputs=(normal("b c i j"), places("b y x", "i"), places("b y x", "j")),
        full={"b": 8, "c": 32, "i": 64, "j": 64, "y": 64, "x": 64},
        quick={"b": 2, "c": 3, "i": 6, "j": 5, "y": 4, "x": 7},
        tolerance=1e-3,
    ),
    Workload(
        name="bilinear sampling by four neighbours",
        group=GROUP,
        ours=Formula(CORNERS),
        by_hand={"grid_sample": warp_by_grid},
        naive=corners_by_index,
        inputs=(normal("b c i j"), places("b y x", "i"), places("b y x", "j")),
        full={"b": 8, "c": 32, "i": 64, "j": 64, "y": 64, "x": 64},
        quick={"b": 2, "c": 3, "i": 6, "j": 5, "y": 4, "x": 7},
        tolerance=1e-3,
    ),
    Workload(
        name="linear interpolation in tables by hat functions",
        group=GROUP,
        ours=Formula(TABLE),
        by_hand={"grid_sample": table_by_grid},
        naive=table_by_weights,
        inputs=(normal("c i"), places("p", "i")),
        full={"c": 64, "i": 1024, "p": 4096},
        quick={"c": 3, "i": 6, "p": 9},
        tolerance=1e-3,
    ),
    Workload(
        name="twice as many pixels by hat functions",
        group=GROUP,
        ours=Formula(LARGER),
        by_hand={"interpolate": larger_by_interpolate, "two products": larger_by_products},
        naive=larger_by_weights,
        inputs=(normal("b c i j"),),
        full={"b": 8, "c": 32, "i": 64, "j": 64},
        quick={"b": 2, "c": 3, "i": 6, "j": 5},
    ),
)
