"""Products of queries with keys of which each feature counts less in its own way, summed up to each place.

In: queries [..., place, feature], keys [..., position, feature], values [..., position, value] or none; decays
(`decays.py`) with the features as their last batch axis. Out: [..., place, value], or [..., place]. What always holds:
time and memory are linear in the length; nothing that a place does not see takes part in what it gets.

Places go in blocks. What lies before a block is a sum for each feature. Within a block, decays of data are shared out
between queries and keys, from the block's largest weight on, where the numbers show that this loses no digits;
elsewhere, and where there are no numbers, weights are made for one place after the other, by compilers in one loop.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.blocks import Blocks, open_ended
from namedlayers.emit.kernels.decays import Decays, Given
from namedlayers.emit.kernels.eager import visible
from namedlayers.emit.kernels.prefix_product import sums_before

BLOCK = 64
"""Its places: the weights of a block are as large as so many queries, and there is one sum a feature for each block."""

APART = {torch.float32: 60.0, torch.float64: 500.0}
"""Up to which power of e weights are shared out: their products with what is not huge are finite."""


def prefix_product_by_feature(
    query: Tensor, key: Tensor, value: Tensor | None, diagonal: int, decays: Sequence[Given]
) -> Tensor:  # fmt: skip
    """For each place the values of the positions up to it (ones, if there are none), times their products, added up.

    >>> q, decay = torch.ones(3, 2), ("power", torch.tensor([1.0, 0.5]))
    >>> prefix_product_by_feature(q, q, None, 0, [decay])
    tensor([2.0000, 3.5000, 4.7500])
    """
    if value is None:
        ones = key.new_ones(()).expand(*key.shape[:-1], 1)
        return prefix_product_by_feature(query, key, ones, diagonal, decays).squeeze(-1)
    lengths = query.size(-2), key.size(-2)
    if open_ended(*lengths) or not all(lengths):
        every = Decays.of(decays, query).whole(*lengths, diagonal)
        seen = torch.where(_along(every) != 0, query.unsqueeze(-2) * key.unsqueeze(-3), 0)
        return torch.matmul((_along(every) * seen).sum(-1), value)
    blocks = Blocks.of(query.size(-2), diagonal, BLOCK)
    queries, keys, values = blocks.places(query), blocks.positions(key), blocks.positions(value)
    weights = Decays.of(decays, query).blocked(blocks)
    sums = torch.matmul((keys * _along(weights.ends(BLOCK))).mT, values)
    before = sums_before(sums.movedim(-3, -2), weights.above(BLOCK)).movedim(-2, -3)
    within = torch.matmul(_within(queries, keys, weights), values)
    return blocks.joined(within + torch.matmul(queries * _along(weights.starts(BLOCK)), before))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _along(weights: Tensor) -> Tensor:
    """The features, which are in front of two others, behind them."""
    return weights.movedim(-3, -1)


def _within(queries: Tensor, keys: Tensor, weights: Decays) -> Tensor:
    """The products within each block, 0 where the position lies beyond the place."""
    shared = _shared_out(weights, queries.dtype) if visible(queries) and visible(keys) else None
    if shared is not None:
        left, right = shared
        return torch.matmul(queries * left, (keys * right).mT).tril()
    if is_dynamo_compiling() and not is_exporting():  # one loop, which holds no product of three
        every = weights.within(BLOCK).movedim(-4, -1)
        pairs = queries.unsqueeze(-2) * keys.unsqueeze(-3)
        seen = torch.ones(BLOCK, BLOCK, dtype=torch.bool, device=keys.device).tril().unsqueeze(-1)
        return torch.where(seen, pairs * every, 0).sum(-1)
    rows = []
    for place in range(BLOCK):
        seen = keys[..., : place + 1, :] * _along(weights.row(place))
        products = torch.matmul(seen, queries[..., place, :].unsqueeze(-1)).squeeze(-1)
        rows.append(F.pad(products, (0, BLOCK - 1 - place)))
    return torch.stack(rows, -2)


def _shared_out(weights: Decays, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
    """What queries and keys are multiplied by; None if that would lose digits."""
    sides = weights.sides()
    most = APART.get(dtype)
    if sides is None or most is None or _multiplies_halves(sides[0].device.type):
        return None
    a, b = sides
    least = b.detach().amin(-1, keepdim=True)
    least = torch.where(least == torch.inf, 0, least)
    left, right = a - least, least - b
    for one in (left, right):
        kept = one.detach().abs() <= most
        if not kept.logical_or_(one == -torch.inf).all():
            return None
    return _along(left.exp()).to(dtype), _along(right.exp()).to(dtype)


def _multiplies_halves(device: str) -> bool:
    """Whether autocast makes halves of what enters a product, whose range is short."""
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) is torch.float16
