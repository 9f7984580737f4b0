"""The pieces of a part that is cut along some axes.

In: a part with the sizes of a call, the axes along which it is cut. Out: its pieces, each with what it takes of the
arguments and what it gives of the results. What always holds: together they are the whole, in the order of the axes,
and each of them lies in one step of each axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from namedlayers.emit.budget.partial import PartFunction
from namedlayers.plan.joining import Join
from namedlayers.plan.tiling import Tile


@dataclass(frozen=True, slots=True)
class Cut:
    """An axis and how many of its coordinates a piece has. `dims`: where it lies in what the function takes."""

    tile: Tile
    dims: Mapping[int, int]
    size: int
    step: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A part with the sizes of a call, and the axes along which it is cut, if any."""

    made: PartFunction
    sizes: Mapping[str, int]
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Where it begins along each cut, and how long it is there."""

    starts: tuple[int, ...]
    lengths: tuple[int, ...]

    def of_taken(self, cuts: Sequence[Cut], place: int, one: Tensor) -> Tensor:
        """Its part of what the function takes at this place."""
        for cut, start, length in zip(cuts, self.starts, self.lengths, strict=True):
            if place in cut.dims:
                one = one.narrow(cut.dims[place], start, length)
        return one

    def of_result(self, cuts: Sequence[Cut], number: int, one: Tensor) -> Tensor:
        """Its part of a result: all of it along the axes that are consumed."""
        for cut, start, length in zip(cuts, self.starts, self.lengths, strict=True):
            dim = cut.tile.outputs[number]
            if isinstance(dim, int):
                one = one.narrow(dim, start, length)
        return one

    def start(self, cuts: Sequence[Cut], number: int) -> int | None:
        """Where it begins along the axes that this result consumes; None if no piece before has the same part of it."""
        both = zip(cuts, self.starts, strict=True)
        return sum(at for cut, at in both if isinstance(cut.tile.outputs[number], Join)) or None

    def share(self, cuts: Sequence[Cut], number: int) -> float:
        """How much it is of what is consumed on the way to this result."""
        both = zip(cuts, self.lengths, strict=True)
        return math.prod(n / cut.size for cut, n in both if isinstance(cut.tile.outputs[number], Join))

    def sizes(self, cuts: Sequence[Cut]) -> dict[str, int]:
        return {cut.tile.symbol: length for cut, length in zip(cuts, self.lengths, strict=True)}


def pieces_of(cuts: Sequence[Cut]) -> Iterator[Piece]:
    for starts in product(*(range(0, cut.size, cut.step) for cut in cuts)):
        yield Piece(starts, tuple(min(cut.step, cut.size - at) for cut, at in zip(cuts, starts, strict=True)))


def ways_of(cuts: Sequence[Cut], count: int) -> list[Join | None]:
    """How pieces of each result are put together: in one way, along whatever axes."""
    ways = ([one for cut in cuts if isinstance(one := cut.tile.outputs[k], Join)] for k in range(count))
    return [found[0] if found else None for found in ways]


def lengths_of(stage: Stage, lengths: Mapping[str, int]) -> list[int]:
    sizes = {**stage.sizes, **lengths}
    return [sizes[symbol] for symbol in stage.made.symbols]
