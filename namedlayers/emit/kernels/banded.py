"""Attention within a band: a query at t sees the positions from t - before to t + after.

In: queries, keys and values in four dimensions, numbers. Out: what `scaled_dot_product_attention` gives under that
mask. What always holds: where the band is short beside the sequence, the cost is linear in the sequence: queries go in
blocks, each beside the keys that any of its queries sees. What is traced or transformed, or on a device, has the mask.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.attending import scaled_dot_product_attention
from namedlayers.emit.kernels.eager import visible

LEAST_BLOCK = 64
"""Queries of a block, at least: what is done for each block should not show."""


def banded_attention(
    query: Tensor, key: Tensor, value: Tensor, before: int, after: int, scale: float | None = None
) -> Tensor:
    """Each query with the positions from `before` places before its own to `after` places behind.

    >>> x = torch.eye(3)[None, None]
    >>> banded_attention(x, x, x, 0, 0)[0, 0]
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]])
    """
    if visible(query) and before >= 0 and after >= 0:
        block = max(before + after, LEAST_BLOCK)
        if 2 * (block + before + after) <= min(query.size(2), key.size(2)):
            return _in_blocks(query, key, value, before, after, block, scale)
    position = torch.arange(key.size(2), device=query.device)
    place = torch.arange(query.size(2), device=query.device).unsqueeze(1)
    allow = (place <= position + before) & (position <= place + after)
    return scaled_dot_product_attention(query, key, value, allow, scale=scale)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _in_blocks(
    query: Tensor, key: Tensor, value: Tensor, before: int, after: int, block: int, scale: float | None
) -> Tensor:
    """Blocks of queries, each with the block of keys that begins `before` places earlier and the start of the next."""
    batch, (length, keys), band = query.shape[:2], (query.size(2), key.size(2)), before + after
    count = -(-length // block)
    queries = _padded(query.flatten(0, 1), 0, count * block).unflatten(1, (count, block))
    beside, values = (_beside(one.flatten(0, 1), before, count, block, band) for one in (key, value))
    allow = _allowed(count, block, before, band, keys, query.device)
    found = scaled_dot_product_attention(queries, beside, values, allow, scale=scale)
    return found.flatten(1, 2)[:, :length].unflatten(0, batch)


def _beside(x: Tensor, before: int, count: int, block: int, band: int) -> Tensor:
    """For each block the `block + band` elements that begin `before` places before it."""
    x = _padded(x, before, (count + 1) * block)
    first, second = (x[:, start : start + count * block].unflatten(1, (count, block)) for start in (0, block))
    return torch.cat((first, second[:, :, :band]), 2)


def _padded(x: Tensor, front: int, length: int) -> Tensor:
    """With zeros in front, and as many behind (or so much less) as make it so long."""
    back = length - front - x.size(1)
    return F.pad(x, (0, 0, front, back)) if front or back else x


def _allowed(count: int, block: int, before: int, band: int, keys: int, device: torch.device) -> Tensor:
    """[block, query, key]: whether the key is in the query's band, and one at all."""
    ahead = torch.arange(block + band, device=device) - torch.arange(block, device=device).unsqueeze(1)
    place = torch.arange(count, device=device)[:, None, None] * block
    position = place - before + torch.arange(block + band, device=device)
    return (ahead >= 0) & (ahead <= band) & (position >= 0) & (position < keys)
