"""A chain of matrices, multiplied in the order that is the cheapest for their sizes.

In: matrices [..., row, column], each with as many columns as the next has rows. Out: their product. What always holds:
the order is that of a search over all, made once for each combination of sizes; where sizes are no numbers, as torch
may trace them, it is the one that is given.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from namedlayers.plan.chains import Shape, Tree, cheapest

MOST_KNOWN = 4096


def chain_product(order: Tree, *matrices: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor:
    """The product of all. `sizes`, if there are no batches: the rows of the first and the columns of each.

    >>> chain_product((0, (1, 2)), torch.ones(1, 2), torch.ones(2, 3), torch.ones(3, 1))
    tensor([[6.]])
    """
    if is_compiling():
        return _multiplied(cheapest(tuple([one.shape for one in matrices])) if _known(matrices) else order, matrices)
    try:
        steps = cheapest_steps(sizes or tuple([one.shape for one in matrices]))
    except (TypeError, IndexError):  # symbols have no hash; for `torch.jit.trace` a size is a tensor without axes
        return _multiplied(order, matrices)
    values: list[Any] = list(matrices)
    for left, right in steps:
        values.append(torch.matmul(values[left], values[right]))
        values[left] = values[right] = None
    return values[-1]


@lru_cache(MOST_KNOWN)
def cheapest_steps(sizes: tuple[int, ...] | tuple[Shape, ...]) -> tuple[tuple[int, int], ...]:
    """The cheapest order as pairs of numbers: the matrices', then those of the products. Of matrices without batches
    the sizes suffice.

    >>> cheapest_steps(((8, 2), (2, 8), (8, 1))), cheapest_steps((8, 2, 8, 1))
    (((1, 2), (0, 3)), ((1, 2), (0, 3)))
    """
    shapes: Any = tuple(pairwise(sizes)) if isinstance(sizes[0], int) else sizes
    found: list[tuple[int, int]] = []

    def number(tree: Tree) -> int:
        if isinstance(tree, int):
            return tree
        found.append((number(tree[0]), number(tree[1])))
        return len(shapes) + len(found) - 1

    number(cheapest(shapes))
    return tuple(found)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _known(matrices: tuple[Tensor, ...]) -> bool:
    """Whether a graph is made for one combination of sizes alone."""
    from torch.fx.experimental.symbolic_shapes import has_static_value  # slow to import, and there while compiling

    return all(has_static_value(size) for one in matrices for size in one.shape)


def _multiplied(order: Tree, matrices: tuple[Tensor, ...]) -> Tensor:
    if isinstance(order, int):
        return matrices[order]
    return torch.matmul(_multiplied(order[0], matrices), _multiplied(order[1], matrices))
