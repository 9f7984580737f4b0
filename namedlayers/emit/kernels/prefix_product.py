"""Products of queries with keys, times values, summed over all positions up to each place: in linear time.

In: queries [..., place, feature], keys [..., position, feature] and values [..., position, value]; decays, by which
what lies far back counts less (`decays.py`). Out: what the matrix of all products gives, of which only the positions up
to `place + diagonal` count. What always holds: places go in blocks; within a block products are a matrix, what lies
before the block is one sum of keys times values, so that time and memory, those of all derivatives too, are linear in
the length. Nothing that a place does not see takes part in what it gets, be it infinite.

The products within the blocks are a value of their own: several sums may share them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.blocks import Blocks
from namedlayers.emit.kernels.decays import Decays, Given

LEAST_BLOCK = 64
"""So many places a block has at least: the products within are to keep the processor busy."""


def within_blocks(query: Tensor, key: Tensor, diagonal: int = 0, decays: Sequence[Given] = ()) -> Tensor:
    """The products within each block, 0 where the position lies beyond the place: [..., block, place, position].

    >>> within_blocks(torch.ones(2, 3), torch.ones(2, 3))
    tensor([[[3., 0.],
             [3., 3.]]])
    """
    if _is_short(query, key):
        products = torch.matmul(query, key.mT).tril(diagonal).unsqueeze(-3)
        if not decays:
            return products
        return products * Decays.of(decays, query).whole(query.size(-2), key.size(-2), diagonal).unsqueeze(-3)
    blocks = _blocks(query, key, diagonal)
    products = torch.matmul(blocks.places(query), blocks.positions(key).mT).tril()
    return products * Decays.of(decays, query).blocked(blocks).within(blocks.length) if decays else products


def prefix_product(
    within: Tensor, query: Tensor, key: Tensor, value: Tensor, diagonal: int = 0, decays: Sequence[Given] = ()
) -> Tensor:
    """For each place the values of the positions up to it, times their products, added up: [..., place, value].

    >>> q, v = torch.ones(3, 1), torch.tensor([[1.0], [2.0], [3.0]])
    >>> prefix_product(within_blocks(q, q), q, q, v).squeeze(1)
    tensor([1., 3., 6.])
    """
    if _is_short(query, key):
        return torch.matmul(within.squeeze(-3), value)
    blocks = _blocks(query, key, diagonal)
    queries, keys, values = blocks.places(query), blocks.positions(key), blocks.positions(value)
    if decays:
        weights = Decays.of(decays, query).blocked(blocks)
        queries, keys = _weighed(queries, keys, weights)
        sums = torch.matmul(keys.mT, values)[..., :-1, :, :]
        before = _running(sums.flatten(-2), weights.above(blocks.length)).unflatten(-1, sums.shape[-2:])
        before = F.pad(before, (0, 0, 0, 0, 1, 0))
    else:
        before = F.pad(torch.matmul(keys.mT, values)[..., :-1, :, :], (0, 0, 0, 0, 1, 0)).cumsum(-3)
    found = torch.matmul(within, values)
    found += torch.matmul(queries, before)
    return blocks.joined(found)


def prefix_total(
    within: Tensor, query: Tensor, key: Tensor, diagonal: int = 0, decays: Sequence[Given] = ()
) -> Tensor:  # fmt: skip
    """For each place the products with the positions up to it, added up: [..., place].

    >>> q = torch.ones(3, 1)
    >>> prefix_total(within_blocks(q, q), q, q)
    tensor([1., 2., 3.])
    """
    if _is_short(query, key):
        return within.squeeze(-3).sum(-1)
    blocks = _blocks(query, key, diagonal)
    queries, keys = blocks.places(query), blocks.positions(key)
    if decays:
        weights = Decays.of(decays, query).blocked(blocks)
        queries, keys = _weighed(queries, keys, weights)
        before = F.pad(_running(keys.sum(-2)[..., :-1, :], weights.above(blocks.length)), (0, 0, 1, 0))
    else:
        before = F.pad(keys.sum(-2)[..., :-1, :], (0, 0, 1, 0)).cumsum(-2)
    found = within.sum(-1)
    found += torch.matmul(queries, before.unsqueeze(-1)).squeeze(-1)
    return blocks.joined(found.unsqueeze(-1)).squeeze(-1)


def prefix_sum(x: Tensor, dim: int, places: int, diagonal: int = 0) -> Tensor:
    """The sums along `dim` up to each of so many places, in its stead.

    >>> prefix_sum(torch.tensor([1, 2, 3]), 0, 4)
    tensor([1, 3, 6, 6])
    """
    total, size = x.cumsum(dim), x.size(dim)
    if not torch.compiler.is_compiling() and places == size and diagonal == 0:
        return total
    total = torch.cat((torch.zeros_like(total.narrow(dim, 0, 0).sum(dim, keepdim=True)), total), dim)
    return total.index_select(dim, (torch.arange(places, device=x.device) + (diagonal + 1)).clamp(0, size))


def decayed_sum(x: Tensor, places: int, diagonal: int, decays: Sequence[Given]) -> Tensor:
    """The sums of [..., position, m] up to each of so many places: [..., place, m].

    >>> decayed_sum(torch.ones(3, 1), 3, 0, [("power", 0.5)]).squeeze(1)
    tensor([1.0000, 1.5000, 1.7500])
    """
    weights = Decays.of(decays, x)
    if _are_few(places, x.size(-2), LEAST_BLOCK):
        return torch.matmul(weights.whole(places, x.size(-2), diagonal), x)
    return _by_blocks(x, weights, Blocks.of(places, diagonal, LEAST_BLOCK))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_short(query: Tensor, key: Tensor) -> bool:
    return _are_few(query.size(-2), key.size(-2), _block(key))


def _are_few(places: int, positions: int, block: int) -> bool:
    """Whether all products are no more than those within the blocks. What is traced has blocks at any length; what is
    exported for any length has none, for torch cannot prove that blocks cover it."""
    lengths = places, positions
    if torch.compiler.is_exporting() and any(isinstance(one, torch.SymInt) for one in lengths):
        return True
    return (torch.compiler.is_exporting() or not torch.compiler.is_compiling()) and min(lengths) <= 2 * block


def _block(key: Tensor) -> int:
    """So long that the sums for all blocks take no more than about what keys and values do."""
    return max(LEAST_BLOCK, key.size(-1) // 2)


def _blocks(query: Tensor, key: Tensor, diagonal: int) -> Blocks:
    return Blocks.of(query.size(-2), diagonal, _block(key))


def _weighed(queries: Tensor, keys: Tensor, weights: Decays) -> tuple[Tensor, Tensor]:
    """Queries as they see what lies before their block, keys as it is seen from the end of theirs."""
    length = queries.size(-2)
    return queries * weights.starts(length).unsqueeze(-1), keys * weights.ends(length).unsqueeze(-1)


def _running(x: Tensor, weights: Decays) -> Tensor:
    """The sums of [..., n, m] up to each of n, itself included."""
    n = x.size(-2)
    if n <= 2 * LEAST_BLOCK:
        return torch.matmul(weights.whole(n, n, 0), x)
    return _by_blocks(x, weights, Blocks.of(n, 0, LEAST_BLOCK))


def _by_blocks(x: Tensor, weights: Decays, blocks: Blocks) -> Tensor:
    weights = weights.blocked(blocks)
    parts = blocks.positions(x)
    sums = torch.matmul(weights.ends(blocks.length).unsqueeze(-2), parts).squeeze(-2)[..., :-1, :]
    before = F.pad(_running(sums, weights.above(blocks.length)), (0, 0, 1, 0)).unsqueeze(-2)
    found = torch.matmul(weights.within(blocks.length), parts)
    return blocks.joined(found + weights.starts(blocks.length).unsqueeze(-1) * before)
