"""Readings on a grid whose points are those of torch's `interpolate`, which knows its neighbours without being told.

In: tensors [n, c, *sizes], and a vector of places along each of the last axes, in steps of that axis. Out: whether they
are that grid's, and what is read there. What always holds: places are compared as numbers, however they were computed;
those that are differ by less than they are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import all_visible
from namedlayers.emit.kernels.kept import notes

LEAST = 1 << 14
"""So many numbers are read at least: to compare the places takes a few calls."""

MOST_POINTS = 1 << 14
"""Grids of so many points are kept, since a call takes 15 microseconds after a kernel of megabytes."""

# Those of `F.interpolate`, without its wrapper.
_kernels = torch._C._nn
_KERNELS = _kernels.upsample_linear1d, _kernels.upsample_bilinear2d, _kernels.upsample_trilinear3d


def ends_of_grid(x: Tensor, places: Sequence[Tensor]) -> bool | None:
    """Whether the first and the last place are the ends of the axes; None if the places are not those of a grid.

    >>> image = torch.rand(1, 4, 64, 64)
    >>> ends_of_grid(image, [torch.linspace(0, 63, 100)] * 2)
    True
    >>> ends_of_grid(image, [((torch.arange(128) + 0.5) / 2 - 0.5).clamp(0, 63)] * 2)
    False
    >>> ends_of_grid(image, [torch.rand(100)] * 2)
    """
    if not _may_be_asked(x, places):
        return None
    sizes = x.shape[2:]
    for ends in (False, True):
        if all(_are_those(place, size, ends) for place, size in zip(places, sizes, strict=True)):
            return ends
    return None


def interpolated(x: Tensor, places: Sequence[Tensor], ends: bool) -> Tensor:
    """What is read: [n, c, *points].

    >>> interpolated(torch.tensor([[[0.0, 1.0, 4.0]]]), [torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0])], True)
    tensor([[[0.0000, 0.5000, 1.0000, 2.5000, 4.0000]]])
    """
    return _KERNELS[len(places) - 1](x, [place.shape[0] for place in places], ends, None)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _may_be_asked(x: Tensor, places: Sequence[Tensor]) -> bool:
    """Not what is traced or transformed; not what would have to be waited for; and nothing that needs slopes."""
    if not all_visible(x, *places):
        return False
    if (
        x.dtype not in (torch.float32, torch.float64)
        or torch.is_grad_enabled()
        and any(p.requires_grad for p in places)
    ):
        return False
    points = x.shape[0] * x.shape[1]
    for place in places:
        points *= place.shape[0]
    return points >= LEAST and x.numel() > 0


def _of_grid(points: int, size: int, ends: bool, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # what is made in inference mode could not be kept for other calls
        if ends:
            return torch.linspace(0, size - 1, points, dtype=dtype, device="cpu")
        step = size / points
        found = torch.linspace(0.5 * step - 0.5, size - 0.5 * step - 0.5, points, dtype=dtype, device="cpu")
        return found.clamp_(0, size - 1)


_kept = lru_cache(32)(_of_grid)


def _are_those(place: Tensor, size: int, ends: bool) -> bool:
    """Up to some units in the last place of the largest one."""
    noted = notes(place)
    if noted is not None and (size, ends) in noted:
        return bool(noted[size, ends])
    points = place.shape[0]
    grid = (_kept if points <= MOST_POINTS else _of_grid)(points, size, ends, place.dtype)
    apart = torch.dist(place, grid, math.inf)
    found = float(apart) <= 4 * torch.finfo(place.dtype).eps * size
    if noted is not None:
        noted[size, ends] = found
    return found
