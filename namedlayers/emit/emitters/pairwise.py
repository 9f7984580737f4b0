"""In which order the axes of what a contraction makes on its way should lie.

In: the operands' layouts, the order of pairwise steps, what is wanted of the result. Out: for each step the order that
suits the step that takes its result. What always holds: a left side is liked as (batch, rows, contracted), a right one
as (batch, contracted, columns), so that the matrix products between are views of what was made before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import fx

from namedlayers.emit.value import Value

Order = tuple[int, ...]


def orders_of_steps(
    layouts: Sequence[Order], path: Sequence[Sequence[int]], result: frozenset[int], wanted: Order
) -> list[Order]:
    """For each step the order in which the axes of its result are liked; the last one's is `wanted`.

    >>> orders_of_steps([(0, 1), (1, 2), (2, 3)], [(1, 2), (0, 1)], frozenset({0, 3}), (0, 3))
    [(1, 3), (0, 3)]
    """
    axes = [frozenset(layout) for layout in layouts]
    here = list(range(len(layouts)))
    taken: list[tuple[int, ...]] = []
    for pair in path:
        taken.append(tuple(here[k] for k in pair))
        here = [one for k, one in enumerate(here) if k not in pair]
        left = result.union(*(axes[one] for one in here))
        axes.append(frozenset().union(*(axes[one] for one in taken[-1])) & left)
        here.append(len(axes) - 1)
    found: dict[int, Order] = {len(axes) - 1: wanted}
    for number in range(len(axes) - 1, len(layouts) - 1, -1):
        sides = taken[number - len(layouts)]
        for one, order in _of_sides(sides, axes, layouts, axes[number], found[number]).items():
            found[one] = order
    return [found[number] for number in range(len(layouts), len(axes))]


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


def _of_sides(
    sides: tuple[int, ...], axes: Sequence[frozenset[int]], layouts: Sequence[Order], made: frozenset[int], order: Order
) -> dict[int, Order]:
    """What is liked of the operands of a step whose result is liked in `order`."""
    place = {axis: k for k, axis in enumerate(order)}

    def sort(group: frozenset[int]) -> Order:
        return tuple(sorted(group, key=lambda axis: (place.get(axis, len(place)), axis)))

    if len(sides) != 2:
        return {one: sort(axes[one]) for one in sides}
    a, b = (axes[one] for one in sides)
    batch, inner = a & b & made, (a & b) - made
    if not inner:
        return {one: sort(axes[one]) for one in sides}
    given = next((layouts[one] for one in sides if one < len(layouts)), ())
    contracted = tuple(axis for axis in given if axis in inner) or sort(inner)
    first = [place.get(axis, len(place)) for axis in sort(a - b)[:1] + sort(b - a)[:1]]
    left, right = sides if not (a - b and b - a) or first[0] <= first[1] else sides[::-1]
    return {
        left: sort(batch) + sort(axes[left] - axes[right]) + contracted,
        right: sort(batch) + contracted + sort(axes[right] - axes[left]),
    }


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
