"""Turned weights, packed once for all blocks of a gradient.

In: a turned matrix. Out: the same, as it is read. What always holds: outside of `once_for` each call makes one; inside,
only what is given there is kept, which nothing writes to meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor


def packed(turned: Tensor) -> Tensor:
    """What is turned, side by side in memory.

    >>> import torch
    >>> weights = torch.ones(2, 3)
    >>> with once_for([weights]):
    ...     packed(weights.t()) is packed(weights.t())
    True
    """
    kept: dict[tuple, Tensor] | None = getattr(_here, "kept", None)
    if kept is None or turned.data_ptr() not in _here.given:
        return turned.contiguous()
    key = (turned.data_ptr(), turned.shape, turned.stride(), turned.dtype)
    if key not in kept:
        kept[key] = turned.contiguous()
    return kept[key]


@contextmanager
def once_for(given: Iterable[Tensor]) -> Iterator[None]:
    """Within it, what lies where one of these tensors begins is packed once."""
    before = dict(_here.__dict__)
    _here.kept, _here.given = {}, frozenset(one.data_ptr() for one in given)
    try:
        yield
    finally:
        _here.__dict__.clear()
        _here.__dict__.update(before)


_here = threading.local()
