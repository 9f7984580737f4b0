"""Along which axis a tensor lies in one piece.

In: a value of the graph that is being emitted. Out: an axis. What always holds: it is read off the views that were made
of the tensor; what makes a tensor is taken to lay it as its dimensions are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from namedlayers.emit.value import Value


def innermost(value: Value) -> int | None:
    """The axis along which a tensor lies in one piece, as far as the views that were made of it tell.

    None for a number, and for what has no axes."""
    held, source = value.held, list(range(len(value.axes)))
    if not source or not isinstance(held, fx.Node):
        return None
    while isinstance(held, fx.Node) and held.target in _MOVES:
        order = _MOVES[held.target](held, len(source))
        source = [order[d] for d in source]
        held = held.args[0]  # type: ignore[assignment]
    return value.axes[source.index(len(source) - 1)]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _swapped(first: int, second: int, rank: int) -> list[int]:
    order = list(range(rank))
    order[first], order[second] = order[second], order[first]
    return order


_MOVES: dict[object, Callable[[Any, int], list[int]]] = {
    "t": lambda held, rank: _swapped(0, 1, rank),
    "transpose": lambda held, rank: _swapped(held.args[1] % rank, held.args[2] % rank, rank),
    "permute": lambda held, rank: list(held.args[1:]),
}
"""For each dimension of such a view, which dimension it is of what is viewed."""
