"""Products of queries with keys, times values, summed over all positions up to each place: in linear time.

In: queries [..., place, feature], keys [..., position, feature] and values [..., position, value]. Out: what the matrix
of all products would give, of which only the positions up to `place + diagonal` count. What always holds: places go in
blocks; within a block products are a matrix, what lies before the block is one sum of keys times values, so that time
and memory, those of all derivatives too, are linear in the length. Nothing that a place does not see takes part in what
it gets, be it infinite.

The products within the blocks are a value of their own: several sums may share them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_BLOCK = 64
"""So many places a block has at least: the products within are to keep the processor busy."""


def within_blocks(query: Tensor, key: Tensor, diagonal: int = 0) -> Tensor:
    """The products within each block, 0 where the position lies beyond the place: [..., block, place, position].

    >>> within_blocks(torch.ones(2, 3), torch.ones(2, 3))
    tensor([[[3., 0.],
             [3., 3.]]])
    """
    if _is_short(query, key):
        return torch.matmul(query, key.mT).tril(diagonal).unsqueeze(-3)
    queries, keys = _queries(query, key, diagonal), _keys(key, query, key, diagonal)
    return torch.matmul(queries, keys.mT).tril()


def prefix_product(within: Tensor, query: Tensor, key: Tensor, value: Tensor, diagonal: int = 0) -> Tensor:
    """For each place the values of the positions up to it, times their products, added up: [..., place, value].

    >>> q, v = torch.ones(3, 1), torch.tensor([[1.0], [2.0], [3.0]])
    >>> prefix_product(within_blocks(q, q), q, q, v).squeeze(1)
    tensor([1., 3., 6.])
    """
    if _is_short(query, key):
        return torch.matmul(within.squeeze(-3), value)
    queries = _queries(query, key, diagonal)
    keys, values = (_keys(one, query, key, diagonal) for one in (key, value))
    before = F.pad(torch.matmul(keys.mT, values)[..., :-1, :, :], (0, 0, 0, 0, 1, 0)).cumsum(-3)
    found = torch.matmul(within, values)
    found += torch.matmul(queries, before)
    return _places(found.flatten(-3, -2), query, diagonal)


def prefix_total(within: Tensor, query: Tensor, key: Tensor, diagonal: int = 0) -> Tensor:
    """For each place the products with the positions up to it, added up: [..., place].

    >>> q = torch.ones(3, 1)
    >>> prefix_total(within_blocks(q, q), q, q)
    tensor([1., 2., 3.])
    """
    if _is_short(query, key):
        return within.squeeze(-3).sum(-1)
    keys = _keys(key, query, key, diagonal).sum(-2)
    before = F.pad(keys[..., :-1, :], (0, 0, 1, 0)).cumsum(-2)
    found = within.sum(-1)
    found += torch.matmul(_queries(query, key, diagonal), before.unsqueeze(-1)).squeeze(-1)
    return _places(found.flatten(-2).unsqueeze(-1), query, diagonal).squeeze(-1)


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


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_short(query: Tensor, key: Tensor) -> bool:
    """Whether all products are no more than those within the blocks. What is traced has blocks at any length; what is
    exported for any length has none, for torch cannot prove that blocks cover it."""
    lengths = query.size(-2), key.size(-2)
    if torch.compiler.is_exporting() and any(isinstance(one, torch.SymInt) for one in lengths):
        return True
    return (torch.compiler.is_exporting() or not torch.compiler.is_compiling()) and min(lengths) <= 2 * _block(key)


def _block(key: Tensor) -> int:
    """So long that the sums for all blocks take no more than about what keys and values do."""
    return max(LEAST_BLOCK, key.size(-1) // 2)


def _queries(query: Tensor, key: Tensor, diagonal: int) -> Tensor:
    """Rows of no place before the first one, as many as it sees positions beyond itself; then in blocks."""
    return _in_blocks(query, max(diagonal, 0), *_blocks(query, key, diagonal))


def _keys(x: Tensor, query: Tensor, key: Tensor, diagonal: int) -> Tensor:
    """Keys or values, moved so that each place sees the positions up to its own."""
    return _in_blocks(x, max(-diagonal, 0), *_blocks(query, key, diagonal))


def _blocks(query: Tensor, key: Tensor, diagonal: int) -> tuple[int, int]:
    """How many blocks there are, and how long they are."""
    block = _block(key)
    return (query.size(-2) + max(diagonal, 0) + block - 1) // block, block


def _in_blocks(x: Tensor, front: int, count: int, block: int) -> Tensor:
    """With so many zeros in front, and as many behind, or so much less, as make whole blocks."""
    length = count * block
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting():  # one graph for all lengths
        return F.pad(x, (0, 0, front, length)).narrow(-2, 0, length).unflatten(-2, (count, block))
    front = min(front, length)
    back = length - front - x.size(-2)
    if back < 0:
        x = x.narrow(-2, 0, length - front)
    if front or back > 0:
        x = F.pad(x, (0, 0, front, max(back, 0)))
    return x.unflatten(-2, (count, block))


def _places(x: Tensor, query: Tensor, diagonal: int) -> Tensor:
    """Without the rows that are no places."""
    return x.narrow(-2, max(diagonal, 0), query.size(-2))
