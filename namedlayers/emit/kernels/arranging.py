"""What stands along a dimension, in another arrangement: with its ends held, each element several times, the whole
several times.

In: a tensor, a dimension, the place of the first element that is read, how many are. Out: these in the stead of the
dimension. What always holds: they are copied in pieces, with no number for each; what is out of range is refused as
`index_select` does. A compiler and an exporter, which make code for any sizes, get numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.compiler import is_compiling

FEW = 8
"""So many pieces are put together one by one."""


def held(x: Tensor, dim: int, first: int, count: int) -> Tensor:
    """The end where there is nothing.

    >>> held(torch.tensor([1, 2, 3]), 0, -1, 6)
    tensor([1, 1, 2, 3, 3, 3])
    """
    size = x.shape[dim]
    if is_compiling() or size == 0:
        return torch.index_select(x, dim, _places(x, first, count).clamp(0, size - 1))
    before = min(max(-first, 0), count)
    after = min(max(first + count - size, 0), count)
    parts = []
    if before:
        parts.append(_several(x.narrow(dim, 0, 1), dim, before))
    if before + after < count:
        parts.append(x.narrow(dim, first + before, count - before - after))
    if after:
        parts.append(_several(x.narrow(dim, size - 1, 1), dim, after))
    return torch.cat(parts, dim) if parts else x.narrow(dim, 0, 0)


def each(x: Tensor, dim: int, first: int, count: int, times: int) -> Tensor:
    """Each element so many `times` before the next one.

    >>> each(torch.tensor([1, 2, 3]), 0, 1, 5, 2)
    tensor([1, 2, 2, 3, 3])
    """
    last = (first + count - 1) // times if times > 0 else 0
    if is_compiling() or times < 1 or first < 0 or count < 1 or last >= x.shape[dim]:
        return torch.index_select(x, dim, _places(x, first, count) // times)
    start = first // times
    part = x if last - start + 1 == x.shape[dim] else x.narrow(dim, start, last - start + 1)
    wide = _several(part.unsqueeze(dim + 1), dim + 1, times).flatten(dim, dim + 1)
    return wide if wide.shape[dim] == count else wide.narrow(dim, first % times, count)


def around(x: Tensor, dim: int, first: int, count: int) -> Tensor:
    """The whole again and again.

    >>> around(torch.tensor([1, 2, 3]), 0, 1, 7)
    tensor([2, 3, 1, 2, 3, 1, 2])
    """
    size = x.shape[dim]
    if is_compiling() or size == 0 or count == 0:
        return torch.index_select(x, dim, _places(x, first, count) % size)
    start = first % size
    whole, rest = divmod(count, size)
    if start == rest == 0 and whole > 1:
        return _several(x.unsqueeze(dim), dim, whole).flatten(dim, dim + 1)
    if whole > FEW:
        turned = x if start == 0 else torch.roll(x, -start, dim)
        wide = _several(turned.unsqueeze(dim), dim, whole + (rest > 0)).flatten(dim, dim + 1)
        return wide.narrow(dim, 0, count)
    head = min(size - start, count)
    whole, rest = divmod(count - head, size)
    parts = [x.narrow(dim, start, head), *[x] * whole]
    return torch.cat([*parts, x.narrow(dim, 0, rest)] if rest else parts, dim)


def _several(x: Tensor, dim: int, times: int) -> Tensor:
    """What has size 1 there, several times."""
    return x if times == 1 else x.expand(*x.shape[:dim], times, *x.shape[dim + 1 :])


def _places(x: Tensor, first: int, count: int) -> Tensor:
    return torch.arange(first, first + count, device=x.device)
