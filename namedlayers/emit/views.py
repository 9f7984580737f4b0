"""How a view's dimensions come of those of the tensor that is viewed.

In: a node of the fx graph, a chain of views. Out: the first tensor of which its dimensions are dimensions or parts of
such, and which each is. What always holds: nothing is emitted here; where a part is split once more, what is viewed is
that part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import fx

SPLITS = "splits"
"""In the `meta` of a `reshape` that splits: of each dimension of its operand the sizes of the parts, () if it stays."""


class Dimension(NamedTuple):
    """Dimension `source` of what is viewed; of one that is split into `sizes`, the part of this number."""

    source: int
    part: int = 0
    sizes: tuple[Any, ...] = ()


def seen(held: Any, rank: int) -> tuple[Any, list[Dimension]]:
    """What is viewed, and the dimensions of the view, which has this rank."""
    views: list[fx.Node] = []
    root = held
    while (below := _rank_below(root, rank)) is not None:
        views.append(root)
        root, rank = root.args[0], below
    dimensions = [Dimension(k) for k in range(rank)]
    for view in reversed(views):
        found = _through(view, dimensions)
        if found is None:
            root, dimensions = view.args[0], [Dimension(k) for k in range(len(dimensions))]
            found = _through(view, dimensions)
        assert found is not None
        dimensions = found
    return root, dimensions


def is_whole(dimensions: Sequence[Dimension]) -> bool:
    """Whether these are all parts of one dimension, in their order."""
    first = dimensions[0]
    return len(first.sizes) == len(dimensions) and all(
        one == first._replace(part=k) for k, one in enumerate(dimensions)
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _rank_below(view: Any, rank: int) -> int | None:
    """The rank of what a node views; None if it is no such view."""
    if not isinstance(view, fx.Node) or view.op != "call_method":
        return None
    if view.target in ("t", "transpose", "permute"):
        return rank
    if view.target == "unflatten":
        return rank - len(view.args[2]) + 1  # type: ignore[arg-type]
    return len(view.meta[SPLITS]) if SPLITS in view.meta else None


def _through(view: fx.Node, dimensions: list[Dimension]) -> list[Dimension] | None:
    """The dimensions of a view of something that has these; None where a part is split once more."""
    if view.target in ("t", "transpose", "permute"):
        return [dimensions[k] for k in _order(view, len(dimensions))]
    splits: Sequence[tuple[Any, ...]] = view.meta.get(SPLITS, ())
    if view.target == "unflatten":
        _, place, sizes = view.args
        splits = [sizes if k == place else () for k in range(len(dimensions))]  # type: ignore[misc]
    if any(one.sizes and sizes for one, sizes in zip(dimensions, splits, strict=True)):
        return None
    return [
        Dimension(one.source, k, sizes) if sizes else one
        for one, sizes in zip(dimensions, splits, strict=True)
        for k in range(len(sizes) or 1)
    ]


def _order(view: fx.Node, rank: int) -> Sequence[int]:
    if view.target == "permute":
        return view.args[1:]  # type: ignore[return-value]
    places = list(range(rank))
    first, second = (0, 1) if view.target == "t" else view.args[1:]
    places[first], places[second] = places[second], places[first]  # type: ignore[index]
    return places
