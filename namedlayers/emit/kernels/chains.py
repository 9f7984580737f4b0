"""A chain of matrices, multiplied in the order that is the cheapest for their sizes.

In: matrices [..., row, column], each with as many columns as the next has rows. Out: their product. What always holds:
the order is that of a search over all, made once for each combination of sizes; where sizes are no numbers, as torch
may trace them, it is the one that is given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from namedlayers.plan.chains import Shape, Tree, cheapest

MOST_KNOWN = 4096
MOST_NESTED = 100
"""Of more matrices an order may have more parentheses within one another than Python reads (200)."""

Sizes = tuple[int, ...] | tuple[Shape, ...]
Product = Callable[[tuple[Tensor, ...]], Tensor]
"""Of all matrices of a chain."""

_known: dict[Sizes, Product] = {}


def chain_product(order: Tree, *matrices: Tensor, sizes: tuple[int, ...] | None = None) -> Tensor:
    """The product of all. `sizes`, if there are no batches: the rows of the first and the columns of each.

    >>> chain_product((0, (1, 2)), torch.ones(1, 2), torch.ones(2, 3), torch.ones(3, 1))
    tensor([[6.]])
    """
    if is_dynamo_compiling():
        return _multiplied(cheapest(_shapes(matrices)) if _are_numbers(matrices) else order, matrices)
    # A dictionary, not `lru_cache`: after a large kernel nothing is in the caches, and each step of the way counts.
    try:
        product = _known.get(sizes or _shapes(matrices))
    except (TypeError, IndexError):  # symbols have no hash; for `torch.jit.trace` a size is a tensor without axes
        return _multiplied(order, matrices)
    if product is None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        product = _known[sizes or _shapes(matrices)] = _written_out(sizes, matrices)
    return product(matrices)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _written_out(sizes: tuple[int, ...] | None, matrices: tuple[Tensor, ...]) -> Product:
    """The cheapest order as a function, which calls nothing but torch; without batches `mm`, which is less ado."""
    order = cheapest(tuple(pairwise(sizes)) if sizes else _shapes(matrices))
    if len(matrices) > MOST_NESTED:
        return partial(_multiplied, order)
    product: Product = eval(f"lambda m: {_text(order)}", {"product": torch.mm if sizes else torch.matmul})
    return product


def _text(order: Tree) -> str:
    """
    >>> _text((0, (1, 2)))
    'product(m[0], product(m[1], m[2]))'
    """
    return f"m[{order}]" if isinstance(order, int) else f"product({_text(order[0])}, {_text(order[1])})"


def _shapes(matrices: tuple[Tensor, ...]) -> tuple[Shape, ...]:
    return tuple([one.shape for one in matrices])


def _are_numbers(matrices: tuple[Tensor, ...]) -> bool:
    """Whether a graph is made for one combination of sizes alone."""
    from torch.fx.experimental.symbolic_shapes import has_static_value  # slow to import, and there while compiling

    return all(has_static_value(size) for one in matrices for size in one.shape)


def _multiplied(order: Tree, matrices: tuple[Tensor, ...]) -> Tensor:
    if isinstance(order, int):
        return matrices[order]
    return torch.matmul(_multiplied(order[0], matrices), _multiplied(order[1], matrices))
