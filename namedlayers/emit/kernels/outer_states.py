"""States that are outer products, carried from step to step, and read by queries: in blocks of steps.

In: factors a [..., step], keys [..., step, n], values [..., step, m], queries [..., step, n], a start [..., n, m]. Out:
the last state of h[t] = a[t] h[t - 1] + key[t] value[t]ᵀ, and at each step queryᵀ h: [..., step, m]. What always holds:
nothing is divided, so that factors may be 0 or negative; within a block products are a matrix, and only the states
between blocks are made. If all that goes in is finite, so is what the steps give to rounding; what is infinite makes
the last state, or what is read at its step, no finite number, by which a caller knows.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.eager import all_visible
from namedlayers.emit.kernels.prefix_product import added, times

BLOCK = 64
"""Steps of a block: a power of two, and enough to keep the processor busy."""

TOGETHER, EACH = 64, 64
"""So many steps, of states made of more numbers than so many, are quicker in blocks."""

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
    before, last = _Carried.apply(onward[..., -1:, None], sums, start.expand(*batch, *start.shape[-2:]), False)
    found = torch.matmul(times(torch.matmul(queries, keys.mT), within), values)
    found = added(found, queries * onward.unsqueeze(-1), before)
    found = found.flatten(-3, -2)
    return last, found if found.size(-2) == steps else found.narrow(-2, 0, steps)


def outer_sums(key: Tensor, value: Tensor, query: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same where all factors are 1; in blocks where that is quicker, and all is finite.

    >>> steps = torch.ones(3, 1)
    >>> outer_sums(steps, steps, steps, None)[1].flatten()
    tensor([1., 2., 3.])
    """
    steps, each = key.size(-2), key.size(-1) * value.size(-1)
    if steps >= TOGETHER and each > EACH and exactly_taken(key, value, query, *(() if start is None else (start,))):
        first = key.new_zeros(key.size(-1), value.size(-1)) if start is None else start
        found = outer_states(key.new_ones(steps), key, value, query, first, False)
        if all(math.isfinite(one.detach().sum().item()) for one in found):
            return found
    states = (key.unsqueeze(-1) * value.unsqueeze(-2)).cumsum(-3)
    if start is not None:
        states = start.unsqueeze(-3) + states
    batch = torch.broadcast_shapes(states.shape[:-3], query.shape[:-2])
    last = states.narrow(-3, steps - 1, 1) if steps else states.sum(-3, keepdim=True)
    read = torch.matmul(query.unsqueeze(-2), states).squeeze(-2)
    return last.squeeze(-3).expand(*batch, *last.shape[-2:]), read


def exactly_taken(*tensors: Tensor) -> bool:
    """Whether products have all digits, and their numbers can be looked at."""
    if not all_visible(*tensors) or torch.is_autocast_enabled(tensors[0].device.type):
        return False
    return all(one.dtype in (torch.float32, torch.float64) and one.numel() for one in tensors)


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
        after = factors.new_ones(length, length).tril_(-1)  # (a product and a sum take a third of the time of `where`)
        within = torch.addcmul(1 - after, factors.unsqueeze(-1), after).cumprod_(-2).tril_()
        ctx.save_for_backward(factors, within)
        return within, factors[..., :1] * within[..., 0], within[..., -1, :].clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        """What a factor is multiplied by is the product of those before it and of those behind it: no division. Those
        after a step are the last row; those up to each are the first factor times the first column."""
        factors, within = ctx.saved_tensors
        to_within, to_onward, to_rest = slopes
        to_within = to_within.clone()
        to_within[..., -1, :] += to_rest
        to_within[..., 0] += factors[..., :1] * to_onward
        before, behind = within[..., :-1, :], within[..., 1:].mT
        found = (torch.matmul(behind, to_within) * before).sum(-1)
        return torch.cat(((to_onward * within[..., 0]).sum(-1, keepdim=True), found), -1)


class _Carried(torch.autograd.Function):
    """The states before each block, [..., block, n, m], and the last one: h[k + 1] = factor[k] h[k] + sum[k]."""

    @staticmethod
    def forward(ctx: Any, factors: Tensor, sums: Tensor, start: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
        blocks = range(sums.size(-3))
        before, last = start.new_empty(*start.shape[:-2], len(blocks), *start.shape[-2:]), torch.empty_like(start)
        order, each, given = list(reversed(blocks) if reverse else blocks), before.unbind(-3), sums.unbind(-3)
        each[order[0]].copy_(start)
        for k, out in zip(order, (*(each[k] for k in order[1:]), last), strict=True):
            torch.addcmul(given[k], factors.select(-3, k), each[k], out=out)
        ctx.save_for_backward(factors, before)
        ctx.reverse, ctx.shape = reverse, sums.shape
        return before, last

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        """What comes back to the sums is carried the other way."""
        factors, before = ctx.saved_tensors
        to_sums, to_start = _Carried.apply(factors, *slopes, not ctx.reverse)
        to_factors = (to_sums * before).sum((-2, -1), keepdim=True) if ctx.needs_input_grad[0] else None
        return (
            None if to_factors is None else to_factors.sum_to_size(factors.shape),
            to_sums.sum_to_size(ctx.shape),
            to_start,
            None,
        )
