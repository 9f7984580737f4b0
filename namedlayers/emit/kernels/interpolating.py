"""Readings on a grid whose points are those of torch's `interpolate`, which knows its neighbours without being told.

In: tensors [n, c, *sizes], and a vector of places along each of the last axes, in steps of that axis. Out: whether they
are that grid's, and what is read there. What always holds: places are compared as numbers, however they were computed;
those that are differ by less than they are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.eager import visible

LEAST = 1 << 14
"""So many numbers are read at least: to compare the places takes a few calls."""


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
    mode = ("linear", "bilinear", "trilinear")[len(places) - 1]
    return F.interpolate(x, [place.shape[0] for place in places], mode=mode, align_corners=ends)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _may_be_asked(x: Tensor, places: Sequence[Tensor]) -> bool:
    """Not what is traced or transformed; not what would have to be waited for; and nothing that needs slopes."""
    if not visible(x) or not all(map(visible, places)) or not x.is_cpu:
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


def _of_grid(points: int, size: int, ends: bool, like: Tensor) -> Tensor:
    if ends:
        return torch.linspace(0, size - 1, points, dtype=like.dtype)
    step = size / points
    return torch.linspace(0.5 * step - 0.5, size - 0.5 * step - 0.5, points, dtype=like.dtype).clamp_(0, size - 1)


def _are_those(place: Tensor, size: int, ends: bool) -> bool:
    """Up to some units in the last place of the largest one."""
    apart = torch.dist(place, _of_grid(place.shape[0], size, ends, place), math.inf)
    return float(apart) <= 4 * torch.finfo(place.dtype).eps * size
