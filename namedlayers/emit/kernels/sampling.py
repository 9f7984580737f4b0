"""Readings between grid points: linear interpolation along one, two or three axes, 0 outside.

In: tensors [n, c, *sizes], and for each of the last axes places along it, in steps of that axis. Out: what is read.
What always holds: a place that is infinite reads 0, one that is NaN gives NaN; at a whole number, the slope along an
axis is that of the step behind it.

Torch's `grid_sample` takes places as shares of an axis, so that it rounds them as if all were at its end: where a unit
in the last place is more than `ROUNDING` of a step there, and for tangents, which it does not have, neighbours are read
and weighed. On a grid, whose places along each axis are a vector, the product with two matrices of weights is quicker
where axes are short, and its gradient longer; the grids of `interpolate` have its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_compiling, is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import forward_mode, visible
from namedlayers.emit.kernels.grids import read_grid
from namedlayers.emit.kernels.interpolating import ends_of_grid, interpolated

ROUNDING = 2.0**-13
"""How many steps a unit in the last place may be at the end of an axis: single precision has 1024 steps."""

MANY = 1 << 19
"""With so many numbers, read and written, it pays to read few channels at once; with a quarter of them, where several
threads read."""

Side = tuple[Tensor, Tensor]
"""Indices and weights."""

Costs = dict[int, tuple[int, int]]

_HALF = (torch.float16, torch.bfloat16)


def sampled(x: Tensor, *places: Tensor) -> Tensor:
    """x [n, c, *sizes] at places [n, points] along each of its last axes: [n, c, points].

    >>> image = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    >>> sampled(image, torch.tensor([[0.5, 1.0, -0.5]]), torch.tensor([[0.5, 0.25, 1.0]]))
    tensor([[[1.5000, 2.2500, 0.5000]]])
    """
    if x.dtype in _HALF:
        return sampled(x.float(), *(one.float() for one in places)).to(x.dtype)
    if not _has_kernel(x):
        return _read(x, places)
    if not visible(x) or not all(map(visible, places)):
        return _by_kernel(x, _shares(_inside(x, places), x.shape[2:]))
    grid = _shares(places, x.shape[2:])
    # At an infinite place the kernel gives NaN; at one that is NaN, in three dimensions, 0.
    return _by_kernel(x, grid) if math.isfinite(grid.detach().sum()) else _read(x, places)


def sampled_on_grid(x: Tensor, *places: Tensor) -> Tensor:
    """x [1, c, *sizes] at places [points] along each of its last axes: [1, c, *points].

    >>> sampled_on_grid(torch.tensor([[[0.0, 1.0, 4.0]]]), torch.tensor([0.5, 1.5, 2.5]))
    tensor([[[0.5000, 2.5000, 2.0000]]])
    """
    ends = ends_of_grid(x, places)
    if ends is not None:
        return _multiplied(x, places) if _is_short(x, places, _INTERPOLATED) else interpolated(x, places, ends)
    if len(places) == 1 and not _is_short(x, places):
        return sampled(x, places[0].unsqueeze(0))
    if _is_short(x, places) or not _has_kernel(x):
        return _multiplied(x, places)
    grid = torch.meshgrid(*places, indexing="ij")
    found = sampled(x, *(one.reshape(1, -1) for one in grid))
    return found.view(*x.shape[:2], *(one.shape[0] for one in places))


def sampled_up_to_ends(x: Tensor, *places: Tensor) -> Tensor:
    """As `sampled`, of x continued by its ends, where slopes are 0.

    >>> sampled_up_to_ends(torch.tensor([[[2.0, 4.0]]]), torch.tensor([[-3.0, 0.5, 1.5]]))
    tensor([[[2., 3., 4.]]])
    """
    ends = [float(size - 1) for size in x.shape[2:]]
    return sampled(x, *(F.hardtanh(place, 0.0, end) for place, end in zip(places, ends, strict=True)))


def sampled_inside(x: Tensor, *places: Tensor) -> Tensor:
    """As `sampled`, at places that have neighbours on both sides; others are refused.

    >>> sampled_inside(torch.tensor([[[2.0, 4.0]]]), torch.tensor([[0.0, 0.75]]))
    tensor([[[2.0000, 3.5000]]])
    """
    if visible(x) and all(map(visible, places)) and _are_inside(places, x.shape[2:]):
        return sampled(x, *places)
    return _weighed(x, [_both(place, size) for place, size in zip(places, x.shape[2:], strict=True)], checked=True)


def sampled_within(x: Tensor, *places: Tensor) -> Tensor:
    """As `sampled_up_to_ends`, at places from the first coordinate to the last one; others are refused.

    >>> sampled_within(torch.tensor([[[2.0, 4.0]]]), torch.tensor([[0.5, 1.0]]))
    tensor([[[3., 4.]]])
    """
    if visible(x) and all(map(visible, places)) and _are_inside(places, x.shape[2:], last=True):
        return sampled_up_to_ends(x, *places)
    return _weighed(x, [_around(place, size) for place, size in zip(places, x.shape[2:], strict=True)], checked=True)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _has_kernel(x: Tensor) -> bool:
    if forward_mode() and not is_dynamo_compiling() or is_exporting():
        return False
    return torch.finfo(x.dtype).eps * max(x.shape[2:]) <= ROUNDING


def _by_kernel(x: Tensor, grid: Tensor) -> Tensor:
    """`grid_sample` at shares from -1 to 1 of the axes, the last axis first: [n, points, axes]."""
    channels, points, axes = x.shape[1], *grid.shape[1:]
    grid = grid.unsqueeze(1)
    if x.dim() == 3:
        x = x.unsqueeze(-1)
    elif axes == 3:
        grid = grid.unsqueeze(1)
    each = channels
    traced = is_dynamo_compiling() and x.is_cpu
    if x.shape[0] == 1 and (traced or visible(x)) and x.numel() + channels * points >= _many(traced):
        each = _few(channels)
    if each < channels:
        grid = grid.expand(channels // each, *grid.shape[1:])
        x = x.reshape(-1, each, *x.shape[2:])
        return read_grid(x, grid).flatten(2).view(1, channels, -1)
    return read_grid(x, grid).flatten(2)


def _many(traced: bool) -> int:
    return MANY if not traced and torch.get_num_threads() == 1 else MANY // 4


def _few(channels: int) -> int:
    """How many channels are read at once: those of one batch are read one after the other at each place, and what many
    of them take is not in the caches. Batches are read by several threads, too."""
    return next((each for each in (8, 16, 12, 10, 14, 9, 15) if channels % each == 0), channels)


def _shares(places: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """A place u of n is (2 u + 1) / n - 1; what has no place is in the middle."""
    first, count = places[0], max(2, len(places))
    if _is_plain(places):
        grid = first.new_zeros(*first.shape, count) if count > len(places) else first.new_empty(*first.shape, count)
        for k, (place, size) in enumerate(zip(places, sizes, strict=True)):
            torch.add(_start(place, size), place, alpha=2 / size, out=grid.select(-1, count - 1 - k))
        return grid
    shares = [torch.add(_start(place, size), place, alpha=2 / size) for place, size in zip(places, sizes, strict=True)]
    return torch.stack([*(torch.zeros_like(first) for _ in range(count - len(shares))), *reversed(shares)], -1)


def _start(place: Tensor, size: int) -> Tensor:
    return torch.full((), 1 / size - 1, dtype=place.dtype, device=place.device)


def _is_plain(places: Sequence[Tensor]) -> bool:
    if not all(map(visible, places)):
        return False
    return not (torch.is_grad_enabled() and any(one.requires_grad for one in places))


def _inside(x: Tensor, places: Sequence[Tensor]) -> list[Tensor]:
    """Places that are far outside are just outside."""
    return [place.clamp(-1, size) for place, size in zip(places, x.shape[2:], strict=True)]


def _read(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    """The neighbours, each with its weight."""
    sizes = x.shape[2:]
    if visible(x) and all(map(visible, places)) and _are_inside(places, sizes):
        return _weighed(x, [_between(one) for one in places])
    return _weighed(x, [_neighbours(one, size) for one, size in zip(_inside(x, places), sizes, strict=True)])


def _weighed(x: Tensor, sides: Sequence[tuple[Side, Side]], checked: bool = False) -> Tensor:
    """The sum of what lies at the corners; if `checked`, a negative index is refused."""
    sizes, flat, found = x.shape[2:], x.flatten(2), None
    for corner in product(*sides):
        index, weight = corner[0]
        for (more, share), size in zip(corner[1:], sizes[1:], strict=True):
            whole = index * size + more
            index = torch.where((index < 0) | (more < 0), -1, whole) if checked else whole
            weight = weight * share
        index = index.unsqueeze(1).expand(-1, x.shape[1], -1)
        part = flat.gather(2, index) * weight.unsqueeze(1)
        found = part if found is None else found + part
    assert found is not None
    return found


def _between(place: Tensor) -> tuple[Side, Side]:
    """The two next to each place, where both are there."""
    below = place.detach().floor()
    share, index = place - below, below.long()
    return (index, 1 - share), (index + 1, share)


def _are_inside(places: Sequence[Tensor], sizes: Sequence[int], last: bool = False) -> bool:
    """Whether all have neighbours on both sides; or, if `last`, are from the first coordinate to the last one."""
    for place, size in zip(places, sizes, strict=True):
        if not place.numel():
            continue
        least, most = (float(one) for one in place.detach().aminmax())
        if not (least >= 0 and (most < size - 1 or last and most == size - 1)):
            return False
    return True


def _both(place: Tensor, size: int) -> tuple[Side, Side]:
    """The same; -1 for those that are none."""
    (first, left), (second, right) = _between(place)
    first, second = (torch.where((one >= 0) & (one < size), one, -1) for one in (first, second))
    return (first, left), (second, right)


def _around(place: Tensor, size: int) -> tuple[Side, Side]:
    """What is below each place and above it; -1 for those that are outside."""
    (first, left), (_, right) = _between(place)
    second = place.detach().ceil().long()
    first, second = (torch.where((one >= 0) & (one < size), one, -1) for one in (first, second))
    return (first, left), (second, right)


def _neighbours(place: Tensor, size: int) -> tuple[Side, Side]:
    """The two next to each place, and their weights: 0 for those that are none."""
    below = place.detach().floor()
    share, index = place - below, below.nan_to_num(0).long()
    first = torch.where((below < 0) | (below >= size), 0, 1 - share)
    second = torch.where((below < -1) | (below >= size - 1), 0, share)
    return (index.clamp(0, size - 1), first), ((index + 1).clamp(0, size - 1), second)


_SPEED = 140
"""Operations a nanosecond in a product of matrices."""
_READ: Costs = {1: (11, 60), 2: (12, 65), 3: (120, 400)}
_TRACED: Costs = {1: (35, 95), 2: (45, 150), 3: (120, 400)}
_INTERPOLATED: Costs = {1: (10, 42), 2: (12, 45), 3: (40, 95)}
"""What the kernel takes for one number, in tenths of a nanosecond, without a gradient and with one, along so many axes;
where torch.compile writes it out; and that of `interpolate`."""
_WEIGHT = (20, 50)
"""What a weight takes."""


def _is_short(x: Tensor, places: Sequence[Tensor], costs: Costs | None = None) -> bool:
    """Whether it is quicker to multiply by the weights of all than to read at these costs. (In whole numbers, which a
    compiler may compare where sizes are symbols.)"""
    if is_exporting() or is_compiling() and not is_dynamo_compiling():
        return False  # sizes may be symbols of which nothing may be asked
    derived = torch.is_grad_enabled() and any(one.requires_grad for one in (x, *places))
    channels, sizes, counts = x.shape[1], list(x.shape[2:]), [one.shape[0] for one in places]
    operations = weights = 0
    for k in reversed(range(len(sizes))):
        weights += sizes[k] * counts[k]
        outer = channels
        for size in sizes[:k]:
            outer *= size
        for count in counts[k:]:
            outer *= count
        operations += 2 * outer * sizes[k]
    numbers = channels
    for count in counts:
        numbers *= count
    placed = derived and any(one.requires_grad for one in places)
    read = (costs or (_TRACED if is_dynamo_compiling() else _READ))[len(sizes)][derived]
    return bool(operations * (1 + derived + placed) * 10 < (numbers * read - weights * _WEIGHT[derived]) * _SPEED)


def _multiplied(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    """Axis by axis, the last one first, by matrices of weights."""
    for k in reversed(range(len(places))):
        weights = _weights(places[k], x.shape[2 + k])
        if k == len(places) - 1:
            x = torch.matmul(x, weights.t())
        else:
            behind = x.shape[3 + k :]
            x = torch.matmul(weights, x.flatten(3 + k)).unflatten(-1, behind)
    return x


def _weights(place: Tensor, size: int) -> Tensor:
    """The hats at places, with the slopes that the kernel gives them."""
    apart = place.unsqueeze(1) - torch.arange(size, device=place.device, dtype=place.dtype)
    if not place.requires_grad:
        return torch.relu(1 - apart.abs())
    sides = torch.where(apart < 0, 1 + apart, 1 - apart)
    return sides.masked_fill((apart < -1) | (apart >= 1), 0)
