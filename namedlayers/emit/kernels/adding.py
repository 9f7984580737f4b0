"""Sums of values by number: where an index says, each is added.

In: values [*batch, n, *rest], and for each of the n the number of the sum that it counts in, [*batch, n]; or numbers
alone, of which those that are equal are counted. Out: sums [*batch, count, *rest]. What always holds: a number out of
range counts nowhere. The kernel refuses such numbers, so that only then, and where nobody may look, they are compared;
batches are one row of sums after the other. Counts are exact: they are added up as integers, or are so small that
reals hold them. Long sums are made of shorter ones, so that they keep their digits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import all_visible, refuses, visible
from namedlayers.emit.kernels.rows import as_index

LONG = 1 << 11
"""Of more values than twice this, those in stretches of at least so many are added up first."""

FEW = 128
"""There are as many values for each sum of a stretch, or stretches are longer: what they take is next to nothing."""

_EXACT = 1 << 24
"""So many ones are counted exactly in single precision."""

_FLOATS = (torch.float32, torch.float64)


def added(x: Tensor, index: Tensor, count: int) -> Tensor:
    """The sums of what has the same number.

    >>> added(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0, 2, 0, 7]), 3)
    tensor([5., 0., 2.])
    """
    if index.dtype is not torch.int64:
        index = as_index(index)
    batch = index.shape[:-1]
    seen = all_visible(x, index)
    # (After a large kernel a function takes microseconds to be called: none is that has nothing to say.)
    long = seen and not batch and x.shape[0] > 2 * LONG and x.shape[0] >= 2 * FEW * count
    if long and (stretches := _stretches(x, count)) > 1:
        each = x.shape[0] // stretches
        ends = [each * stretches, x.shape[0] - each * stretches]
        (x, rest), (index, last) = x.split(ends), index.split(ends)
        found = added(x.unflatten(0, (stretches, each)), index.unflatten(0, (stretches, each)), count).sum(0)
        return found + added(rest, last, count) if ends[1] else found
    if count and (seen or refuses(x)) and (not batch or x.dim() == index.dim()):
        try:
            return _in_place(x, index, count) if seen else _at_once(x, index, count)
        except (IndexError, RuntimeError):
            pass
    elif batch and _is_within(index, count):
        return _in_a_row(x, index, count)
    index = torch.where((index >= 0) & (index < count), index, count)
    return _in_a_row(x, index, count + 1).narrow(len(batch), 0, count)


def counted(index: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """How many have each number.

    >>> counted(torch.tensor([[0, 2, 0, 7], [1, 1, 1, 1]]), 3, torch.float32)
    tensor([[2., 0., 1.],
            [0., 4., 0.]])
    """
    kind = torch.int64
    if visible(index):
        if index.dim() == 1 and 0 < len(index) and index.max().item() < count:  # whatever is larger would be counted
            try:
                return torch.bincount(index, minlength=count).to(dtype)
            except RuntimeError:  # a number is negative
                pass
        elif dtype in _FLOATS and index.shape[-1] <= _EXACT:
            kind = dtype
    return added(torch.ones_like(index, dtype=kind), index, count).to(dtype)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _stretches(x: Tensor, count: int) -> int:
    if x.shape[0] <= 2 * LONG or not x.is_floating_point():
        return 1
    return max(1, min(x.shape[0] // LONG, x.shape[0] // (FEW * max(1, count))))


def _at_once(x: Tensor, index: Tensor, count: int) -> Tensor:
    if index.dim() == 1:
        return x.new_zeros(count, *x.shape[1:]).index_add(0, index, x)
    return x.new_zeros(*index.shape[:-1], count).scatter_add(-1, index.long(), x)


def _in_place(x: Tensor, index: Tensor, count: int) -> Tensor:
    """The same without a copy of the zeros, which a transform would not take."""
    if index.dim() == 1:
        return x.new_zeros(count, *x.shape[1:]).index_add_(0, index, x)
    return x.new_zeros(*index.shape[:-1], count).scatter_add_(-1, index.long(), x)


def _is_within(index: Tensor, count: int) -> bool:
    if not visible(index) or index.numel() == 0:
        return False
    low, high = torch.aminmax(index)
    return low.item() >= 0 and high.item() < count


def _in_a_row(x: Tensor, index: Tensor, count: int) -> Tensor:
    """All numbers are in range; those of each batch are moved behind those of the one before."""
    *batch, _ = index.shape
    rest = x.shape[index.dim() :]
    if not batch:
        return x.new_zeros(count, *rest).index_add(0, index, x)
    batches = torch.Size(batch).numel()
    starts = torch.arange(batches, device=index.device, dtype=index.dtype).mul(count).view(*batch, 1)
    index, x = (index + starts).flatten(), x.flatten(0, len(batch))
    return x.new_zeros(batches * count, *rest).index_add(0, index, x).view(*batch, count, *rest)
