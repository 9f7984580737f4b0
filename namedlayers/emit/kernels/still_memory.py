"""Attention again and again to one memory, as in the steps of a loop.

In: keys and values, once; then queries. Out: what `scaled_dot_product_attention` gives. What always holds: what depends
on keys and values alone is asked once; nothing here is differentiated.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.attending import scaled_dot_product_attention


class StillMemory:
    """Keys and values as torch's kernel wants them; `plain`: they are as wide as each other."""

    def __init__(self, key: Tensor, value: Tensor) -> None:
        self.key, self.value = (one if one.stride(-1) == 1 else one.contiguous() for one in (key, value))
        self.plain = key.size(-1) == value.size(-1)


def still_memory(key: Tensor, value: Tensor) -> StillMemory:
    """What `attend` takes.

    >>> import torch
    >>> still_memory(torch.ones(1, 1, 5, 3), torch.ones(1, 1, 5, 3)).plain
    True
    """
    return StillMemory(key, value)


def attend(query: Tensor, memory: StillMemory, **options: Any) -> Tensor:
    """What a query gets of a memory.

    >>> import torch
    >>> memory = still_memory(torch.zeros(1, 1, 2, 1), torch.tensor([[[[1.0], [3.0]]]]))
    >>> attend(torch.ones(1, 1, 1, 1), memory).item()
    2.0
    """
    if memory.plain and query.stride(-1) == 1:
        return F.scaled_dot_product_attention(query, memory.key, memory.value, **options)
    return scaled_dot_product_attention(query, memory.key, memory.value, **options)


def scaled_keys(key: Tensor, scale: float | None) -> Tensor:
    """Keys turned round, by which a product gives scores; `scale` is torch's unless it is given.

    >>> import torch
    >>> scaled_keys(torch.ones(3, 4), None)[0]
    tensor([0.5000, 0.5000, 0.5000])
    """
    return key.t().contiguous() if scale == 1 else key.t() * (key.size(1) ** -0.5 if scale is None else scale)
