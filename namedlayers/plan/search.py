"""The cheapest order of a contraction's pairwise steps, for many sizes at once.

In: a contraction and the sizes of its axes in several samples. Out: the orders that are the best of all for some of
them, and what an order costs in each. What always holds: up to `EXACT` operands every order is considered, outer
products included; ties go to the order that is found first, so that plans do not vary.

A step costs what its kernel does for each element that it touches, `HELD` for each that it writes and another will
read, and `CALL` for being there. So does an operand that is copied before a product can take it (`layouts.py`).

The unit is one addition or multiplication of a product of matrices: ten picoseconds on the processor on which the
others were measured, on one thread. Where gradients are taken, all are three to five times as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from opt_einsum import paths as opt_einsum_paths

from namedlayers.plan.layouts import Layout, fixed, is_moved, laid
from namedlayers.program.graph import Node

Path = tuple[tuple[int, ...], ...]
Sizes = np.ndarray
"""Sizes as they are assumed: a row for each axis of the index space, a column for each sample."""
Costs = np.ndarray
"""One number for each sample."""

EXACT = 8
HELD = 32
"""Writing and reading one element of a value takes as long as so many operations of a product of matrices."""
COPIED = 8
"""So does copying one, which is as often a view in the end."""
CALL = 1 << 17
"""So does a call of torch, whatever it computes."""
MATRICES, OTHERS = 2, 16
"""What each element costs that a product of matrices touches; and another: of elements, of a batch of vectors."""
TRIED = 16
"""Of more than `EXACT` operands, for about how many samples an order is searched, spread over all there are."""


class Step(NamedTuple):
    """The positions that a pairwise step touches, those that its result keeps, and those of what is written: all that
    are touched by a batch of vectors with vectors, which are multiplied and then summed. `each`: what the kernel costs
    for each element that is touched. `calls`: how many there are. `moved`: the positions of each operand that is copied
    first."""

    touched: tuple[int, ...]
    kept: tuple[int, ...]
    made: tuple[int, ...]
    each: int
    calls: int = 1
    moved: tuple[tuple[int, ...], ...] = ()

    @property
    def operations(self) -> int:
        """How many there are for each element that is touched."""
        return 1 if self.touched == self.kept else 2


def steps(node: Node, path: Path) -> Iterator[Step]:
    """The pairwise steps of a contraction."""
    operands = [frozenset(arg.axes) for arg in node.args]
    result, waves = frozenset(range(node.rank)), _waves(node)
    for pair, moved in zip(path, _moved(node, path), strict=True):
        taken = [operands[k] for k in pair]
        operands = [o for k, o in enumerate(operands) if k not in pair]
        touched = frozenset().union(*taken)
        kept = touched & result.union(*operands)
        operands.append(kept)
        each, made = _work(taken[0], taken[1], kept) if len(taken) == 2 else (OTHERS, kept)
        calls = _calls(taken, waves)
        yield Step(tuple(sorted(touched)), tuple(sorted(kept)), tuple(sorted(made)), each, calls, moved)


def costs(node: Node, path: Path, sizes: Sizes) -> Costs:
    """What an order costs."""
    total = np.zeros(sizes.shape[1])
    for step in steps(node, path):
        total += _elements(sizes, step.touched) * step.each + _elements(sizes, step.made) * HELD + CALL * step.calls
        for axes in step.moved:
            total += _elements(sizes, axes) * COPIED + CALL
    return total


def best_paths(node: Node, sizes: Sizes) -> tuple[Path, ...]:
    """The orders that are the cheapest in some sample."""
    if len(node.args) <= EXACT:
        return _Search(node, sizes).paths()
    inputs = [frozenset(arg.axes) for arg in node.args]
    result = frozenset(range(node.rank))
    found: dict[Path, None] = {}
    for column in sizes.T[:: max(1, sizes.shape[1] // TRIED)]:
        path = opt_einsum_paths.auto(inputs, result, dict(enumerate(map(int, column))))
        found[tuple(tuple(sorted(pair)) for pair in path)] = None
    return tuple(found)


# --- helpers ----------------------------------------------------------------------------------------------------------

Axes = frozenset[int]


def _waves(node: Node) -> frozenset[Axes]:
    """What axes cosines and sines have that a contraction goes through part by part."""
    waves = [frozenset(arg.axes) for arg in node.args if arg.node.op == "wave"]
    summed = range(node.rank, len(node.space))
    return frozenset(one for one in waves if any(a in one and sum(a in other for other in waves) == 2 for a in summed))


def _calls(taken: Sequence[Axes], waves: frozenset[Axes]) -> int:
    """How many calls a step takes: one for each part of waves, but for the product of two waves, which has both."""
    if not waves or all(one in waves for one in taken):
        return 1
    parts = frozenset.intersection(*waves)
    return 2 if any(parts & one for one in taken) else 1


def _work(left: Axes, right: Axes, kept: Axes) -> tuple[int, Axes]:
    """What a product of two costs for each element that it touches, and what it writes, by the kernel that it is."""
    touched = left | right
    alone = left & right & kept and not (left - right and right - left)  # a batch with nothing for a matrix on one side
    made = touched if kept and kept < left == right else kept
    return OTHERS if touched == kept or alone else MATRICES, made


def _moved(node: Node, path: Path) -> Sequence[tuple[Layout, ...]]:
    """For each step the axes of the operands that are copied. What comes from outside and is computed there may lie as
    it is liked."""
    if len(node.args) < 2:
        return [()] * len(path)
    layouts = tuple(tuple(dict.fromkeys(arg.axes)) for arg in node.args)
    free = {layout for layout, arg in zip(layouts, node.args, strict=True) if fixed(arg) is None}
    wanted = tuple(range(node.rank))
    found = laid(layouts, path, frozenset(wanted), wanted, None).moved
    return [tuple(one for one in moved if one not in free) for moved in found]


def _elements(sizes: Sizes, axes: Sequence[int]) -> Costs:
    return np.multiply.reduce(sizes[list(axes)], axis=0)


@dataclass(frozen=True, slots=True)
class _Split:
    """Two groups of operands, as bits of numbers, and what putting their results together costs."""

    left: int
    right: int
    costs: Costs


class _Search:
    """Dynamic programming over groups of operands."""

    def __init__(self, node: Node, sizes: Sizes) -> None:
        self.count = len(node.args)
        self.sizes = sizes
        self.axes = [frozenset(arg.axes) for arg in node.args]
        self.layouts = {1 << k: fixed(arg) for k, arg in enumerate(node.args)}
        self.result = frozenset(range(node.rank))
        self.waves = _waves(node)
        self.kept = {group: self._kept(group) for group in range(1, 1 << self.count)}

    def paths(self) -> tuple[Path, ...]:
        if self.count < 2:
            return ((),)
        samples = self.sizes.shape[1]
        cheapest = {1 << k: np.zeros(samples) for k in range(self.count)}
        chosen: dict[int, tuple[list[_Split], np.ndarray]] = {}
        for group in sorted(range(1, 1 << self.count), key=int.bit_count):
            if group.bit_count() > 1:
                splits = list(self._splits(group))
                totals = np.stack([one.costs + cheapest[one.left] + cheapest[one.right] for one in splits])
                best = totals.argmin(axis=0)
                cheapest[group] = totals[best, np.arange(samples)]
                chosen[group] = splits, best
        whole = (1 << self.count) - 1
        trees = dict.fromkeys(tuple(self._pairs(whole, chosen, k)) for k in range(samples))
        return tuple(_as_path(pairs, self.count) for pairs in trees)

    def _kept(self, group: int) -> frozenset[int]:
        """The axes of a group's result: of a single operand all of them."""
        inside = [axes for k, axes in enumerate(self.axes) if group >> k & 1]
        if len(inside) == 1:
            return inside[0]
        outside = self.result.union(*(axes for k, axes in enumerate(self.axes) if not group >> k & 1))
        return frozenset().union(*inside) & outside

    def _splits(self, group: int) -> Iterator[_Split]:
        lowest = group & -group
        left = (group - 1) & group
        while left:
            if left & lowest:
                yield _Split(left, group ^ left, self._costs(left, group ^ left))
            left = (left - 1) & group

    def _costs(self, left: int, right: int) -> Costs:
        a, b = self.kept[left], self.kept[right]
        kept = self.kept[left | right]
        each, made = _work(a, b, kept)
        total = _elements(self.sizes, sorted(a | b)) * each + _elements(self.sizes, sorted(made)) * HELD
        total = total + CALL * _calls((a, b), self.waves)
        for one, other in ((left, b), (right, a)):
            layout = self.layouts.get(one)
            if layout is not None and self._is_moved(layout, other, kept):
                total = total + _elements(self.sizes, sorted(self.kept[one] & (kept | other))) * COPIED + CALL
        return total

    def _is_moved(self, layout: Layout, other: frozenset[int], kept: frozenset[int]) -> bool:
        """Whether an operand from outside is copied for a product with one that has the axes `other`."""
        shown = tuple(axis for axis in layout if axis in kept or axis in other)
        batch = tuple(axis for axis in shown if axis in other and axis in kept)
        inner = tuple(axis for axis in shown if axis in other and axis not in kept)
        of_vectors = bool(batch) and (set(shown) <= other or other <= set(shown))
        return bool(inner) and is_moved(shown, batch, inner) and not (of_vectors and shown[-1] in batch)

    def _pairs(
        self, group: int, chosen: dict[int, tuple[list[_Split], np.ndarray]], sample: int
    ) -> Iterator[tuple[int, int]]:
        """The groups that are put together, first things first."""
        if group.bit_count() > 1:
            splits, best = chosen[group]
            split = splits[best[sample]]
            yield from self._pairs(split.left, chosen, sample)
            yield from self._pairs(split.right, chosen, sample)
            yield split.left, split.right


def _as_path(pairs: tuple[tuple[int, int], ...], count: int) -> Path:
    """As opt_einsum writes it: the two are taken out of the list, their result is appended."""
    here = [1 << k for k in range(count)]
    found = []
    for left, right in pairs:
        places = sorted((here.index(left), here.index(right)))
        here = [one for k, one in enumerate(here) if k not in places]
        here.append(left | right)
        found.append((places[0], places[1]))
    return tuple(found)
