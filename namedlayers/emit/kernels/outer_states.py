"""States that are outer products, carried from step to step, and read by queries: in blocks of steps.

In: factors a [..., step], keys [..., step, n], values [..., step, m], queries [..., step, n], a start [..., n, m]. Out:
the last state of h[t] = a[t] h[t - 1] + key[t] value[t]ᵀ, and at each step queryᵀ h: [..., step, m]. What always holds:
nothing is divided, so that factors may be 0 or negative; within a block products are a matrix, and only the states
between blocks are made. If all that goes in is finite, so is what the steps give to rounding; what is infinite makes
the last state, or what is read at its step, no finite number, by which a caller knows.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.prefix_product import added, times

BLOCK = 64
"""Steps of a block: a power of two, and enough to keep the processor busy."""

SHORT = 16
"""The same where that is too long."""


def outer_states(
    a: Tensor, key: Tensor, value: Tensor, query: Tensor, start: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    """
    >>> one, steps = torch.ones(1, 1), torch.ones(3, 1)
    >>> last, read = outer_states(torch.tensor([1.0, 0.5, 0.0]), steps, steps, steps, one, False)
    >>> last.item(), read.flatten().tolist()
    (1.0, [2.0, 2.0, 1.0])
    """
    if reverse:
        last, read = outer_states(a.flip(-1), key.flip(-2), value.flip(-2), query.flip(-2), start, False)
        return last, read.flip(-2)
    steps = a.size(-1)
    length = BLOCK if steps > SHORT else SHORT
    factors = _blocks(a, -1, length, 1.0)
    keys, values, queries = (_blocks(one, -2, length, 0.0) for one in (key, value, query))
    within, onward, rest = _Products.apply(factors)
    sums = torch.matmul((keys * rest.unsqueeze(-1)).mT, values)
    batch = torch.broadcast_shapes(sums.shape[:-3], query.shape[:-2], start.shape[:-2])
    before, last = _carried(onward[..., -1:, None], sums, start.expand(*batch, *start.shape[-2:]))
    found = torch.matmul(times(torch.matmul(queries, keys.mT), within), values)
    found = added(found, queries * onward.unsqueeze(-1), before)
    return last, found.flatten(-3, -2).narrow(-2, 0, steps)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _blocks(x: Tensor, dim: int, length: int, beyond: float) -> Tensor:
    """The steps, which are along `dim`, in blocks, the last of which is filled up."""
    more = -x.size(dim) % length
    if more:
        x = F.pad(x, (*(0 for _ in range(-1 - dim) for _ in range(2)), 0, more), value=beyond)
    return x.unflatten(dim, (-1, length))


class _Products(torch.autograd.Function):
    """Of the factors of a block, [..., step]: the products of those after a step up to another, 0 where that lies
    before it, [..., step, step]; of those up to each step; of those after it."""

    @staticmethod
    def forward(ctx: Any, factors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        length = factors.size(-1)
        after = torch.ones(length, length, dtype=torch.bool, device=factors.device).tril_(-1)
        within = torch.where(after, factors.unsqueeze(-1), 1.0).cumprod_(-2).tril_()
        ctx.save_for_backward(factors, within)
        return within, factors[..., :1] * within[..., 0], within[..., -1, :].clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        """What a factor is multiplied by is the product of those before it and of those behind it: no division."""
        factors, within = ctx.saved_tensors
        to_within, to_onward, to_rest = slopes
        before, behind = within[..., :-1, :], within[..., 1:].mT
        found = (torch.matmul(behind, to_within) * before).sum(-1)
        found = found + within[..., -1, 1:] * torch.matmul(before, to_rest.unsqueeze(-1)).squeeze(-1)
        of_onward = torch.matmul(behind, to_onward.unsqueeze(-1)).squeeze(-1)
        found = found + factors[..., :1] * before[..., 0] * of_onward
        return torch.cat(((to_onward * within[..., 0]).sum(-1, keepdim=True), found), -1)


def _carried(factors: Tensor, sums: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The states before each block, and the last one."""
    states = [start]
    for factor, summand in zip(factors.unbind(-3), sums.unbind(-3), strict=True):
        states.append(torch.addcmul(summand, factor, states[-1]))
    return torch.stack(states[:-1], -3), states[-1]
