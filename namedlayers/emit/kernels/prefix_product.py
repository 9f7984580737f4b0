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
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.blocks import Blocks, open_ended
from namedlayers.emit.kernels.carried_states import may_be_written_out, states_before
from namedlayers.emit.kernels.decays import Decays, Given, with_digits
from namedlayers.emit.kernels.eager import visible
from namedlayers.emit.kernels.triangular_sums import weighed_sum

LEAST_BLOCK = 64
"""So many places a block has at least: the products within are to keep the processor busy."""

WIDE, FEW = 1024, 8
"""Of so many numbers for each place (the states of blocks), few places make a block: their product is dear itself."""


def within_blocks(query: Tensor, key: Tensor, diagonal: int = 0, decays: Sequence[Given] = ()) -> Tensor:
    """The products within each block, 0 where the position lies beyond the place: [..., block, place, position].

    >>> within_blocks(torch.ones(2, 3), torch.ones(2, 3))
    tensor([[[3., 0.],
             [3., 3.]]])
    """
    if _is_short(query, key):
        products = torch.matmul(query, key.mT).tril_(diagonal)
        if decays:
            weights = Decays.of(decays, query).whole(query.size(-2), key.size(-2), diagonal)
            products = times(products, weights)
        return products.unsqueeze(-3)
    blocks = _blocks(query, key, diagonal)
    products = torch.matmul(blocks.places(query), blocks.positions(key).mT).tril_()
    if decays:
        products = times(products, Decays.of(decays, query).blocked(blocks).within(blocks.length))
    return products


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
        sums = torch.matmul(_to_the_end(keys, weights).mT, values)
        before = sums_before(sums.flatten(-2), weights.above(blocks.length)).unflatten(-1, sums.shape[-2:])
        del sums
        queries = _from_before(queries, weights)
    else:
        before = F.pad(torch.matmul(keys.mT, values)[..., :-1, :, :], (0, 0, 0, 0, 1, 0)).cumsum(-3)
    return blocks.joined(added(torch.matmul(within, values), queries, before))


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
        before = sums_before(_to_the_end(keys, weights).sum(-2), weights.above(blocks.length))
        queries = _from_before(queries, weights)
    else:
        before = F.pad(keys.sum(-2)[..., :-1, :], (0, 0, 1, 0)).cumsum(-2)
    return blocks.joined(added(within.sum(-1, keepdim=True), queries, before.unsqueeze(-1))).squeeze(-1)


def decayed_sum(x: Tensor, places: int, diagonal: int, decays: Sequence[Given]) -> Tensor:
    """The sums of [..., position, m] up to each of so many places: [..., place, m].

    >>> decayed_sum(torch.ones(3, 1), 3, 0, [("power", 0.5)]).squeeze(1)
    tensor([1.0000, 1.5000, 1.7500])
    """
    weights = Decays.of(decays, x)
    if _are_few(places, x.size(-2), LEAST_BLOCK):
        return weighed_sum(weights.whole(places, x.size(-2), diagonal), x, diagonal)
    return _by_blocks(x, weights, Blocks.of(places, diagonal, LEAST_BLOCK))


def sums_before(x: Tensor, weights: Decays) -> Tensor:
    """The sums of [..., n, m] before each of n, as they have decayed."""
    if may_be_written_out(x, weights):
        return states_before(x, weights)
    n, block = x.size(-2), FEW if x.size(-1) >= WIDE else LEAST_BLOCK
    if n > (4 if block == FEW else 2) * block:
        return _by_blocks(x, weights, Blocks.of(n, -1, block))
    return weighed_sum(with_digits(weights.whole(n, n, -1)), x, -1)


def added(found: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """With a @ b added, in its place if nobody else needs it. Under autocast they may be of two precisions."""
    alike = a.shape[:-2] == b.shape[:-2] == found.shape[:-2] and a.dtype == b.dtype == found.dtype
    if alike and visible(found) and visible(a):
        whole, left, right = (one.flatten(0, -3) for one in (found, a, b))
        added = torch.baddbmm(whole, left, right) if found.requires_grad else whole.baddbmm_(left, right)
        return added.view(found.shape)
    if alike and is_dynamo_compiling() and not is_exporting():
        return torch.baddbmm(*(one.flatten(0, -3) for one in (found, a, b))).view(found.shape)
    return found + torch.matmul(a, b)


def times(products: Tensor, weights: Tensor) -> Tensor:
    """Their product, in the place of the former if nobody else needs it."""
    here = visible(products) and visible(weights) and not weights.requires_grad
    fits = here and torch.broadcast_shapes(products.shape, weights.shape) == products.shape
    return products.mul_(weights) if fits else products * weights


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_short(query: Tensor, key: Tensor) -> bool:
    return _are_few(query.size(-2), key.size(-2), _block(key))


def _are_few(places: int, positions: int, block: int) -> bool:
    """Whether all products are no more than those within the blocks. What is traced has blocks at any length; what is
    exported for any length has none."""
    if open_ended(places, positions):
        return True
    return (torch.compiler.is_exporting() or not torch.compiler.is_compiling()) and min(places, positions) <= 2 * block


def _block(key: Tensor) -> int:
    """So long that the sums for all blocks take no more than about what keys and values do."""
    return max(LEAST_BLOCK, key.size(-1) // 2)


def _blocks(query: Tensor, key: Tensor, diagonal: int) -> Blocks:
    return Blocks.of(query.size(-2), diagonal, _block(key))


def _to_the_end(keys: Tensor, weights: Decays) -> Tensor:
    """Keys as they are seen from the end of their block."""
    return keys * weights.ends(keys.size(-2)).unsqueeze(-1)


def _from_before(queries: Tensor, weights: Decays) -> Tensor:
    """Queries as they see what lies before their block."""
    return queries * weights.starts(queries.size(-2)).unsqueeze(-1)


def _by_blocks(x: Tensor, weights: Decays, blocks: Blocks) -> Tensor:
    weights = weights.blocked(blocks)
    parts = blocks.positions(x)
    sums = torch.matmul(weights.ends(blocks.length).unsqueeze(-2), parts).squeeze(-2)
    before = sums_before(sums, weights.above(blocks.length)).unsqueeze(-2)
    found = weighed_sum(weights.within(blocks.length), parts, 0)
    starts = weights.starts(blocks.length).unsqueeze(-1)
    here = visible(found) and not found.requires_grad and found.dtype is starts.dtype is before.dtype
    fits = here and torch.broadcast_shapes(found.shape, starts.shape, before.shape) == found.shape
    return blocks.joined(found.addcmul_(starts, before) if fits else found + starts * before)
