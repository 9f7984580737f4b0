"""A sequence one step behind another.

In: what it begins with, the other sequence. Out: the sequence. What always holds: where what it begins with lies in
memory right before the other, so that both are parts of one sequence, nothing is copied.
"""

from __future__ import annotations

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import visible


def behind(first: Tensor, every: Tensor, dim: int, reverse: bool) -> Tensor:
    """`first`, then `every` along `dim` but for its end; reverse: `every` but for its beginning, then `first`.

    >>> x = torch.arange(4)
    >>> behind(torch.tensor(7), x, 0, False), behind(torch.tensor(7), x, 0, True)
    (tensor([7, 0, 1, 2]), tensor([1, 2, 3, 7]))
    >>> behind(x[0], x[1:], 0, False).data_ptr() == x.data_ptr()
    True
    """
    at = _place(first, every, dim, reverse)
    if at is not None:
        return every.as_strided(every.shape, every.stride(), at)
    rest, first = every.narrow(dim, int(reverse), every.shape[dim] - 1), first.unsqueeze(dim)
    return torch.cat((rest, first) if reverse else (first, rest), dim)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _place(first: Tensor, every: Tensor, dim: int, reverse: bool) -> int | None:
    """Where in memory the whole begins, if it is there."""
    recorded = torch.is_grad_enabled() and (first.requires_grad or every.requires_grad)
    if recorded or not (visible(first) and visible(every)):
        return None
    strides, step, offset = list(every.stride()), every.stride(dim), int(every.storage_offset())
    del strides[dim]
    begin = offset + (step if reverse else -step)
    own = offset + step * every.shape[dim] if reverse else begin
    same = first.dtype is every.dtype and first.untyped_storage().data_ptr() == every.untyped_storage().data_ptr()
    return begin if same and first.storage_offset() == own and list(first.stride()) == strides else None
