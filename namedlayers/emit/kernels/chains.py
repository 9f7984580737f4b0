"""A chain of matrices, multiplied in the order that is the cheapest for their sizes.

In: matrices [..., row, column], each with as many columns as the next has rows. Out: their product. What always holds:
the order is that of a search over all, made once for each combination of sizes; where sizes are no numbers, as torch
may trace them, it is the one that is given.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.plan.chains import Shape, Tree, cheapest

MOST_KNOWN = 4096

Product = Callable[[Tensor, Tensor], Tensor]
Sizes = tuple[int, ...] | tuple[Shape, ...]

_known: dict[Sizes, Tree] = {}


def chain_product(order: Tree, *matrices: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor:
    """The product of all. `sizes`, if there are no batches: the rows of the first and the columns of each.

    >>> chain_product((0, (1, 2)), torch.ones(1, 2), torch.ones(2, 3), torch.ones(3, 1))
    tensor([[6.]])
    """
    if is_dynamo_compiling() or is_exporting():
        return _multiplied(cheapest(_shapes(matrices)) if _are_numbers(matrices) else order, matrices)
    try:
        found = cheapest_order(sizes or _shapes(matrices))
    except (TypeError, IndexError):  # symbols have no hash; for `torch.jit.trace` a size is a tensor without axes
        return _multiplied(order, matrices)
    return _multiplied(found, matrices, torch.mm if sizes else torch.matmul)  # `mm` is less ado


def cheapest_order(sizes: Sizes) -> Tree:
    """The cheapest order, as pairs of pairs. Of matrices without batches the sizes suffice.

    >>> cheapest_order(((8, 2), (2, 8), (8, 1))), cheapest_order((8, 2, 8, 1))
    ((0, (1, 2)), (0, (1, 2)))
    """
    # A dictionary, not `lru_cache`: after a large kernel nothing is in the caches, and each step of the way counts.
    found = _known.get(sizes)
    if found is None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        shapes: Any = tuple(pairwise(sizes)) if isinstance(sizes[0], int) else sizes
        found = _known[sizes] = cheapest(shapes)
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


def _shapes(matrices: tuple[Tensor, ...]) -> tuple[Shape, ...]:
    return tuple([one.shape for one in matrices])


def _are_numbers(matrices: tuple[Tensor, ...]) -> bool:
    """Whether a graph is made for one combination of sizes alone."""
    from torch.fx.experimental.symbolic_shapes import has_static_value  # slow to import, and there while compiling

    return all(has_static_value(size) for one in matrices for size in one.shape)


def _multiplied(order: Tree, matrices: tuple[Tensor, ...], product: Product = torch.matmul) -> Tensor:
    if isinstance(order, int):
        return matrices[order]
    left, right = order
    return product(_multiplied(left, matrices, product), _multiplied(right, matrices, product))
