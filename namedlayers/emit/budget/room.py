"""What a call may take, and how a part of it is cut so that it takes no more.

In: a part with the sizes of a call, and how many bytes there are for it. Out: along which axes it is cut, and how fine.
What always holds: pieces need no more than there is, as far as can be told; among the axes that do are those that make
the fewest pieces, each of many coordinates rather than of few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from namedlayers.emit.budget.pieces import Cut
from namedlayers.plan.holding import nbytes, peak
from namedlayers.plan.joining import Join
from namedlayers.plan.parts import VALUE, Group, Part
from namedlayers.plan.tiling import Tile, tiles
from namedlayers.program.graph import Graph, Node
from namedlayers.program.program import Kind

PIECE = {"cpu": 4 << 20}
LARGEST = 64 << 20
"""Pieces whose intermediate values take about so many bytes are the fastest: they stay near the processor."""

FEWEST = 128
"""An axis is rather cut into pieces of so many coordinates than into smaller ones, if there is another to cut."""

GAIN = 0.95
"""An axis is cut only if its pieces need at most so much of what is needed without."""

_TO_JOIN = {"sum": 1, "mean": 2, "max": 3, "min": 3, "logsumexp": 5, "softmax": 5, "argmax": 4, "argmin": 4}
"""How many values of the size of a piece's result there are while it is put together with those before."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a call may take: `kept` with the slopes of a backward pass. `inputs`: how many the program has; `sloped`:
    the numbers of those that have slopes."""

    sizes: Mapping[str, int]
    real: int
    kept: bool
    budget: int
    piece: int
    inputs: int
    sloped: frozenset[int]

    def of(self, part: Part) -> dict[str, int]:
        """The sizes of a part."""
        return {**self.sizes, **{name: size.evaluate(self.sizes) for name, size in part.sizes}}

    def left(self, graph: Graph, large: Sequence[Group], split: Sequence[Part]) -> int:
        """What the rest leaves of the budget for the pieces of a part."""
        given = {number for part in split for number in part.given}
        apart = {number for group in large for number in group}
        taken = Counter(number for part in split for number in part.taken if number in self.sloped)
        # Of what several parts take, what there is of its slope is there while the next part of it is.
        of_inputs = sum(min(uses, 2) * nbytes(graph.nodes[n], self.sizes, self.real) for n, uses in taken.items())
        threads = torch.get_num_threads()
        rest = peak(graph, self.sizes, self.real, kept=self.kept, apart=apart, given=given, threads=threads)
        return self.budget - rest - of_inputs

    def cuts(self, part: Part, left: int) -> tuple[Cut, ...] | None:
        """Along which axes to cut a part, and how fine; None where nothing makes it small enough."""
        sloped = tuple(
            node for node in part.graph.live()
            if node.op == "input" and self.kept and self._has_slope(part, node)
        )  # fmt: skip
        several = _Cutting(self, part, left, sloped, self.of(part))
        if not several.is_large():
            return ()
        for fewest in (FEWEST, 1):
            one = _Cutting(self, part, left, sloped, self.of(part))
            if one.along_one(fewest) or several.along_several(fewest):
                return tuple((one if one.found else several).found.values())
        return None

    def _has_slope(self, part: Part, node: Node) -> bool:
        """Whether what a part takes has a slope."""
        if not str(node.attr("name")).startswith(VALUE) or node.kind not in (Kind.REAL, Kind.COMPLEX):
            return False
        place = part.place(node)
        return part.inputs[place] == "" or part.taken[place] in self.sloped


def is_fine(cuts: tuple[Cut, ...] | None) -> bool:
    """Whether pieces are smaller than they should be, or cannot be small enough."""
    return cuts is None or any(cut.step < min(FEWEST, cut.size) for cut in cuts)


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Cutting:
    """A part on its way into pieces: how many coordinates a piece has of each axis (`at`), and what was `found`."""

    room: Room
    part: Part
    left: int
    sloped: tuple[Node, ...]
    at: dict[str, int]
    found: dict[str, Cut] = field(default_factory=dict)
    free: list[Tile] = field(init=False)

    def __post_init__(self) -> None:
        self.free = sorted(tiles(self.part.graph), key=lambda tile: (tile.joined, -self.at[tile.symbol]))

    def is_large(self) -> bool:
        """Whether it needs more than it may, or than is fast."""
        return self.needed() > self.left or any(self.needed() > self._wanted(tile) for tile in self.free)

    def along_one(self, fewest: int) -> bool:
        """Cuts it along the one axis that makes the fewest pieces, of so many coordinates at least, if any does."""
        whole, best = self.needed(), None
        for tile in self.free:
            size = self.at[tile.symbol]
            step = self._step(tile)
            pieces = -(-size // step) * (5 if tile.joined else 4)  # which takes time, too
            fits = step >= fewest and self._with(tile, step) <= min(self._wanted(tile), GAIN * whole)
            if fits and (best is None or pieces < best[0]):
                best = pieces, tile, step
        if best is None:
            return False
        self._take(*best[1:])
        return True

    def along_several(self, fewest: int) -> bool:
        """Cuts it along one axis after the other, into pieces of so many coordinates at least; True if it fits then."""
        for tile in self.free:
            whole = self.needed()
            if self.at[tile.symbol] <= fewest or whole <= self._wanted(tile):
                continue
            step = max(fewest, self._step(tile))
            if self._with(tile, step) <= GAIN * whole:  # else what is large has not this axis
                self._take(tile, step)
        if self.needed() > self.left:
            return False
        for cut in list(self.found.values()):  # the first ones may be finer than they need to be with those after
            self._take(cut.tile, max(cut.step, self._step(cut.tile, cut.size)))
        return True

    def needed(self, *more: Tile, **other: int) -> int:
        """What a piece needs, cut along `more` axes, too, with `other` numbers of coordinates."""
        room, graph, sizes = self.room, self.part.graph, {**self.at, **other}
        cut = (*(one.tile for one in self.found.values()), *more)
        made = peak(graph, sizes, room.real, kept=room.kept, threads=torch.get_num_threads())
        for k, arg in enumerate(graph.outputs):
            ways = {how.way for tile in cut for how in [tile.outputs[k]] if isinstance(how, Join)}
            made += max((_TO_JOIN[way] for way in ways), default=0) * nbytes(arg.node, sizes, room.real)
        return made + sum(nbytes(node, sizes, room.real) for node in self.sloped)

    def _with(self, tile: Tile, step: int) -> int:
        return self.needed(tile, **{tile.symbol: step})

    def _wanted(self, tile: Tile) -> int:
        return min(self.left, max(self.room.piece, 2 * self.needed(**{tile.symbol: 0})))

    def _step(self, tile: Tile, most: int | None = None) -> int:
        """The most coordinates with which a piece needs what is wanted; 1 if there are none."""
        wanted = self._wanted(tile)
        return _most(lambda step: self._with(tile, step) <= wanted, most or self.at[tile.symbol])

    def _take(self, tile: Tile, step: int) -> None:
        before = self.found.get(tile.symbol)
        size = before.size if before else self.at[tile.symbol]
        values = [node for node in self.part.graph if node.op == "input"]
        dims = {self.room.inputs + self.part.place(values[k]): dim for k, dim in tile.inputs}
        self.found[tile.symbol] = Cut(tile, dims, size, step)
        self.at[tile.symbol] = step


def _most(fits: Callable[[int], bool], size: int) -> int:
    """The largest number of coordinates that fits; 1 if none does."""
    least, most = 1, size
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return least
