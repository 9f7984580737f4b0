"""In which order the axes of what a contraction makes on its way should lie, and what is copied all the same.

In: how the operands lie, the order of pairwise steps, how the result is wanted. Out: a layout for each step's result,
and which operands of a step are copied first. What always holds: of the layouts that the products can give, those are
taken with which the largest copies are the fewest, and then those that lie most like the result.

A matrix product takes each of three groups of axes as one: those of the batch, those that are summed over, and those
that only one operand has. An operand in which a group lies in two pieces is copied; and so is a matrix whose batch lies
innermost. What comes out is the batch, then what one side alone has, then what the other has: either may come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from namedlayers.program.graph import Arg

Layout = tuple[int, ...]
Path = tuple[tuple[int, ...], ...]

MOST = 8
"""So many layouts of a value are followed."""
AXIS = 8
"""A value is taken to be so many times as large as one with an axis less."""
COPY = 64
"""What one element that is copied costs, where two axes in an order that is not liked cost 1."""


@dataclass(frozen=True, slots=True)
class Laid:
    """`orders`: the layout of each step's result; `moved`: of each step, the axes of the operands that are copied."""

    orders: tuple[Layout, ...]
    moved: tuple[tuple[Layout, ...], ...]


@lru_cache(4096)
def laid(
    layouts: tuple[Layout, ...], path: Path, result: frozenset[int], wanted: Layout,
    small: frozenset[int] | None = frozenset(),
) -> Laid:  # fmt: skip
    """How the results of the steps of a contraction lie. `small`: the numbers of operands which it is better to copy
    than to go around, as what is made on the way is, too (None: all of them).

    >>> laid(((0, 1), (1, 2, 3), (3, 4)), ((1, 2), (0, 1)), frozenset({0, 2, 4}), (0, 2, 4)).orders
    ((1, 2, 4), (0, 2, 4))
    >>> laid(((0, 1, 2), (1, 3)), ((0, 1),), frozenset({0, 2, 3}), (0, 2, 3), None).moved
    (((0, 1, 2),),)
    """
    liked = {axis: place for place, axis in enumerate(wanted)}
    found: list[dict[Layout, _Way]] = [{layout: _Way(0)} for layout in layouts]
    here = list(range(len(layouts)))
    taken: list[tuple[int, ...]] = []
    for pair in path:
        sides = tuple(here[k] for k in pair)
        here = [one for k, one in enumerate(here) if k not in pair]
        kept = result.union(*(next(iter(found[one])) for one in here))
        around = [small is not None and one < len(layouts) and one not in small for one in sides]
        found.append(_results([found[one] for one in sides], frozenset(kept), around, liked))
        here.append(len(found) - 1)
        taken.append(sides)
    last = len(found) - 1
    orders: dict[int, Layout] = {}
    moved: dict[int, tuple[Layout, ...]] = {}
    chosen = {last: min(found[last], key=lambda one: found[last][one].cost + _unlike(one, wanted))}
    for number in range(last, len(layouts) - 1, -1):
        orders[number] = chosen[number]
        way = found[number][chosen[number]]
        moved[number] = way.moved
        chosen |= dict(zip(taken[number - len(layouts)], way.sides, strict=True))
    orders[last] = wanted
    numbers = range(len(layouts), len(found))
    return Laid(tuple(orders[n] for n in numbers), tuple(moved[n] for n in numbers))


def fixed(arg: Arg) -> Layout | None:
    """How an operand's axes lie, if that is not ours to choose; an axis that occurs twice is read along the diagonal,
    which nobody copies."""
    if arg.node.op != "input" or len(set(arg.axes)) < len(arg.axes) or any(axis < 0 for axis in arg.axes):
        return None
    return arg.axes


def is_moved(layout: Layout, batch: Layout, inner: Layout) -> bool:
    """Whether an operand is copied for a product with these axes as its batch and these summed over.

    >>> is_moved((0, 1, 2), (), (1,)), is_moved((0, 1, 2), (0,), (1,)), is_moved((0, 1, 2), (2,), (1,))
    (True, False, True)
    """
    free = tuple(axis for axis in layout if axis not in batch and axis not in inner)
    return bool(batch and layout[-1] in batch) or not all(_in_one_piece(layout, one) for one in (batch, inner, free))


# --- one step ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    """How a layout comes about: `sides`, the layouts of the operands, and which of them are copied. `cost`: with all
    that was copied before."""

    cost: int
    sides: tuple[Layout, ...] = ()
    moved: tuple[Layout, ...] = ()


def _results(
    sides: Sequence[dict[Layout, _Way]], kept: frozenset[int], around: Sequence[bool], liked: Mapping[int, int]
) -> dict[Layout, _Way]:  # fmt: skip
    """The layouts that a step can give, the best first."""
    found: dict[Layout, _Way] = {}
    for layouts, before in _together(sides):
        shown = [
            tuple(axis for axis in one if axis in kept or any(axis in o for o in layouts if o is not one))
            for one in layouts
        ]
        for layout, moved, more in _products(shown, kept, around):
            cost = before + more + sum(map(_size, moved)) + _turned(layout, liked)
            if layout not in found or cost < found[layout].cost:
                found[layout] = _Way(cost, layouts, moved)
    return dict(sorted(found.items(), key=lambda item: item[1].cost)[:MOST])


def _together(sides: Sequence[dict[Layout, _Way]]) -> Iterator[tuple[tuple[Layout, ...], int]]:
    if len(sides) == 2:
        for one, a in sides[0].items():
            yield from (((one, other), a.cost + b.cost) for other, b in sides[1].items())
    else:  # a single one, or several at once: as they are found first
        yield tuple(next(iter(one)) for one in sides), 0


Product = tuple[Layout, tuple[Layout, ...], int]
"""What comes out, what is copied for it, and what it costs beside."""


def _products(layouts: Sequence[Layout], kept: frozenset[int], around: Sequence[bool]) -> Iterator[Product]:
    if len(layouts) != 2:
        yield tuple(dict.fromkeys(axis for one in layouts for axis in one if axis in kept)), (), 0
        return
    a, b = layouts
    inner = tuple(axis for axis in a if axis in b and axis not in kept)
    if not inner:
        yield from ((layout, (), 0) for layout in _of_elements(a, b))
        return
    batch = tuple(axis for axis in a if axis in b and axis in kept)
    free = [tuple(axis for axis in one if axis not in other) for one, other in ((a, b), (b, a))]
    if batch and not all(free):
        yield _of_vectors(a, b, batch, inner)
        return
    moved = tuple(one for one in layouts if is_moved(one, batch, inner))
    if not moved and _order(a, inner) != _order(b, inner):
        moved = (min(a, b, key=len),)
    yield (*batch, *free[0], *free[1]), moved, 0
    if all(free):
        yield (*batch, *free[1], *free[0]), moved, 0
        for (x, w), allowed in zip(((a, b), (b, a)), around, strict=True):
            if allowed and not batch:
                yield from _around(x, w, inner)


def _of_elements(a: Layout, b: Layout) -> Iterator[Layout]:
    """A product element by element: what one operand alone has comes before or behind."""
    for one, other in ((a, b), (b, a)):
        more = tuple(axis for axis in other if axis not in one)
        yield (*one, *more)
        if more:
            yield (*more, *one)


def _of_vectors(a: Layout, b: Layout, batch: Layout, inner: Layout) -> Product:
    """A batch of vectors with matrices, or with vectors, which are multiplied and summed as they lie."""
    matrix, vector = (a, b) if len(a) >= len(b) else (b, a)
    free = tuple(axis for axis in matrix if axis not in vector)
    turned = _size(vector) // 2 if vector[-1] in batch else 0
    if not free or matrix[-1] in batch:
        return tuple(axis for axis in matrix if axis not in inner), (), turned + (_size(matrix) // 2 if free else 0)
    sums_columns = 1 if matrix[-1] in inner else 0  # sums of rows are faster
    return (*batch, *free), (matrix,) if is_moved(matrix, batch, inner) else (), turned + sums_columns


def _around(x: Layout, w: Layout, inner: Layout) -> Iterator[Product]:
    """The summed axes lie in the midst of `x`, and what `w` has takes their place: a product for each of what lies
    before them, whose slopes at `w` are summed."""
    places = [x.index(axis) for axis in inner]
    start, stop = min(places), max(places) + 1
    if 0 < start and stop < len(x) and _in_one_piece(x, inner) and _order(x, inner) == _order(w, inner):
        own = tuple(axis for axis in w if axis not in inner)
        yield (*x[:start], *own, *x[stop:]), (), _size(x) // 2


def _in_one_piece(layout: Layout, group: Layout) -> bool:
    places = [layout.index(axis) for axis in group]
    return not places or max(places) - min(places) < len(places)


def _order(layout: Layout, group: Layout) -> Layout:
    return tuple(axis for axis in layout if axis in group)


def _size(layout: Layout) -> int:
    return int(COPY * AXIS ** len(layout))


def _unlike(layout: Layout, wanted: Layout) -> int:
    return 0 if layout == wanted else _size(layout) // 4


def _turned(layout: Layout, liked: Mapping[int, int]) -> int:
    """How many pairs of axes lie otherwise than in the result, in which those come first that stay."""
    places = [liked.get(axis, len(liked)) for axis in layout]
    return sum(one > other for one, other in combinations(places, 2))
