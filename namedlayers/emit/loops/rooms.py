"""What a loop that runs in place calls: room for all steps of a value, and whether values may lie where others do.

In: tensors of the first step. Out: room, places in it, answers. What always holds: room has one place for each step,
and the first one's is filled.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def begun(first: Tensor, steps: int, dim: int, reverse: bool) -> Tensor:
    """Room for a value of all steps, stacked along `dim`; the first step's is there.

    >>> import torch
    >>> begun(torch.ones(2), 3, 0, False)[0]
    tensor([1., 1.])
    """
    shape = list(first.shape)
    shape.insert(dim, steps)
    found = first.new_empty(shape)
    found.select(dim, -1 if reverse else 0).copy_(first)
    return found


def rest(whole: Tensor, dim: int, reverse: bool) -> Sequence[Tensor]:
    """The places of all steps but the first."""
    return whole.unbind(dim)[-2::-1] if reverse else whole.unbind(dim)[1:]


def steady(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
    """Whether a step leaves what is carried as it was, so that all further steps are like it."""
    return all(one.dtype is other.dtype for one, other in zip(before, after, strict=True))


def alike(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether values can lie in one memory, one after the other.

    >>> import torch
    >>> alike([torch.ones(2)], [torch.ones(2)]), alike([torch.ones(2)], [torch.ones(3)])
    (True, False)
    """
    return all(one.shape == other.shape and one.dtype is other.dtype for one, other in zip(ones, others, strict=True))
