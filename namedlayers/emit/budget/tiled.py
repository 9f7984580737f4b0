"""Calls that stay within a budget of memory: what is too large in between is computed in pieces.

In: a compiled program and a number of bytes. Out: a function that takes and gives the same. What always holds: the
values that are too large, and what is computed of them, are a part of the graph that is run piece by piece, along one
axis or several; the rest is run as it is. In the backward pass each piece is computed once more, so that its
intermediate values are there one piece at a time, too; but not under the transforms of `torch.func`, which have no
checkpoints. A call that cannot be cut is an error. For what torch traces see `tiled_operator`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from namedlayers.emit.budget.joined import joined
from namedlayers.emit.budget.partial import PartFunction, function_of
from namedlayers.emit.build import Compiled
from namedlayers.emit.diagnosis import shape_of
from namedlayers.emit.loops.scanning import at_top_level
from namedlayers.errors import FormulaError, Label, SizeError
from namedlayers.plan.cost import REAL
from namedlayers.plan.joining import Join, with_totals
from namedlayers.plan.parts import Group, Part, groups, parts, taken_apart
from namedlayers.plan.scans.stretches import stretched
from namedlayers.plan.tiling import Tile, nbytes, peak, tiles
from namedlayers.program.graph import Graph
from namedlayers.program.program import Kind
from namedlayers.program.sizes_at_call import solve_sizes

MOST_KNOWN = 256


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
class Schedule:
    """The stages of a call, none where it is run as it is; which of the program's inputs each input of the graph is."""

    stages: tuple[Stage, ...] = ()
    inputs: tuple[tuple[int, int], ...] = ()


class Tiled:
    """The function of `compiled`, whose intermediate values take at most `budget` bytes. `make` makes the functions of
    parts."""

    def __init__(self, compiled: Compiled, budget: int, make: Callable[..., PartFunction] = function_of) -> None:
        from namedlayers.emit.budget import tiled_operator  # which takes torch a while to register

        self.function: Callable[..., Any] = compiled.function
        self.compiled, self.budget, self.make = compiled, budget, make
        self.key = tiled_operator.known(self)
        self._traced = tiled_operator.traced
        self.known: dict[tuple, Schedule] = {}
        self._options = frozenset(one.name for one in compiled.program.inputs if one.role == "option")
        self._states = frozenset(k for k, one in enumerate(compiled.program.inputs) if one.role == "state")
        self._functions: dict[tuple[int, tuple[Group, ...], tuple[int, ...]], tuple[PartFunction, ...]] = {}

    def __call__(self, *args: Any) -> Any:
        if torch.compiler.is_compiling():
            return self._traced(self.function, self.key, args)
        return self.run(args)

    def run(self, args: tuple[Any, ...]) -> Any:
        """The call itself."""
        slopes = torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in args)
        key = (slopes, *[(tuple(a.shape), a.dtype, a.device.type) if isinstance(a, Tensor) else None for a in args])
        found = self.known.get(key)
        if found is None:
            found = self._decided(slopes, args)
            while len(self.known) >= MOST_KNOWN:
                self.known.pop(next(iter(self.known)))
            self.known[key] = found
        if not found.stages:
            return self.function(*args)
        if slopes and self._states:  # the backward pass reads what they are now, and they are written before
            args = tuple(a.clone() if k in self._states else a for k, a in enumerate(args))
        return _run(found, slopes, args)

    def _decided(self, slopes: bool, args: tuple[Any, ...]) -> Schedule:
        program = self.compiled.program
        shapes = {given.name: shape_of(arg) for given, arg in zip(program.inputs, args, strict=True)}
        try:
            sizes = solve_sizes(program, shapes)
        except FormulaError:
            return Schedule()  # the call itself says what is wrong
        number = self.compiled.select_for(sizes)
        graph = self.compiled.variants[number].graph
        reals = [a for g, a in zip(program.inputs, args, strict=True) if g.kind is Kind.REAL and isinstance(a, Tensor)]
        real = max([a.element_size() for a in reals], default=4)
        needed = peak(graph, sizes, real, kept=slopes)
        if not slopes and real >= REAL and at_top_level(*(a for a in args if isinstance(a, Tensor))):
            needed = min(needed, peak(stretched(graph), sizes, real))  # long recurrences hold a stretch of steps
        if needed <= self.budget:
            return Schedule()
        graph = taken_apart(graph)
        names = [one.name for one in program.inputs]
        inputs = tuple((node.number, names.index(str(node.attr("name")))) for node in graph if node.op == "input")
        on = next((a.device.type for a in args if isinstance(a, Tensor)), "cpu")
        for large in _large(graph, sizes, real, self.budget):
            room = _Room(sizes, real, slopes, self.budget, PIECE.get(on, LARGEST), len(names))
            found = self._stages(graph, number, large, room)
            if found:
                return Schedule(found, inputs)
        raise SizeError(
            "NL0431", f"this call needs about {_shown(needed)} for its intermediate values, more than the "
            f"{_shown(self.budget)} that it may take, and no axis can be cut so that it needs less",
            Label(program.span), hint="allow more, or leave `max_memory` out",
        )  # fmt: skip

    def _stages(self, graph: Graph, number: int, large: tuple[Group, ...], room: _Room) -> tuple[Stage, ...]:
        split = list(parts(graph, large, self._options))
        left = room.left(graph, large, split)
        cuts = [room.cuts(part, left) if part.large else () for part in split]
        for k, part in enumerate(split):
            more = with_totals(part) if _is_fine(cuts[k]) else None
            others = room.cuts(more, left) if more is not None else None
            if more is not None and others is not None and not (cuts[k] and _is_fine(others)):
                split[k], cuts[k] = more, others
        if any(one is None for one in cuts):
            return ()
        key = (number, large, tuple(part.more for part in split))
        if key not in self._functions:
            plan, program = self.compiled.plan, self.compiled.program
            self._functions[key] = tuple(self.make(part, program, plan, k) for k, part in enumerate(split))
        return tuple(
            Stage(made, room.of(made.part), cut or ()) for made, cut in zip(self._functions[key], cuts, strict=True)
        )


# --- what to cut ------------------------------------------------------------------------------------------------------

PIECE = {"cpu": 4 << 20}
LARGEST = 64 << 20
"""Pieces whose intermediate values take about so many bytes are the fastest: they stay near the processor."""

FEWEST = 128
"""An axis is rather cut into pieces of so many coordinates than into smaller ones, if there is another to cut."""


@dataclass(frozen=True, slots=True)
class _Room:
    """What a call may take: `kept` with the slopes of a backward pass. `inputs`: how many the program has."""

    sizes: Mapping[str, int]
    real: int
    kept: bool
    budget: int
    piece: int
    inputs: int

    def of(self, part: Part) -> dict[str, int]:
        """The sizes of a part."""
        return {**self.sizes, **{name: size.evaluate(self.sizes) for name, size in part.sizes}}

    def left(self, graph: Graph, large: Sequence[Group], split: Sequence[Part]) -> int:
        """What the rest leaves of the budget for the pieces of a part."""
        given = {number for part in split for number in part.given}
        apart = {number for group in large for number in group}
        return self.budget - peak(graph, self.sizes, self.real, kept=self.kept, apart=apart, given=given)

    def cuts(self, part: Part, left: int) -> tuple[Cut, ...] | None:
        """Along which axes to cut a part, and how fine; None where nothing makes it small enough."""
        at = self.of(part)

        def needed(**other: int) -> int:
            return peak(part.graph, {**at, **other}, self.real, kept=self.kept)

        found: dict[str, Cut] = {}
        free = sorted(tiles(part.graph), key=lambda tile: (tile.joined, -at[tile.symbol]))
        for fewest in (FEWEST, 1):
            for tile in free:
                size = at[tile.symbol]
                wanted = min(left, max(self.piece, 2 * needed(**{tile.symbol: 0})))
                if size <= fewest or needed() <= wanted:
                    continue
                step = max(fewest, _most(lambda step: needed(**{tile.symbol: step}) <= wanted, size))  # noqa: B023
                whole = found[tile.symbol].size if tile.symbol in found else size
                found[tile.symbol] = Cut(tile, self._dims(part, tile), whole, step)
                at[tile.symbol] = step
            if needed() <= left:
                return tuple(found.values())
        return None

    def _dims(self, part: Part, tile: Tile) -> dict[int, int]:
        values = [node for node in part.graph if node.op == "input"]
        return {self.inputs + part.place(values[k]): dim for k, dim in tile.inputs}


def _is_fine(cuts: tuple[Cut, ...] | None) -> bool:
    """Whether pieces are smaller than they should be, or cannot be small enough."""
    return cuts is None or any(cut.step < min(FEWEST, cut.size) for cut in cuts)


def _most(fits: Callable[[int], bool], size: int) -> int:
    """The largest number of coordinates that fits; 1 if none does."""
    least, most = 1, size
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if fits(middle) else (least, middle - 1)
    return least


def _large(graph: Graph, sizes: Mapping[str, int], real: int, budget: int) -> Iterator[tuple[Group, ...]]:
    """Which values may be run in pieces: those that are much of the budget, then smaller ones, too."""
    taken = {
        node.number: nbytes(node, sizes, real)
        for node in graph.live() if node.op not in _NOT_LARGE
    }  # fmt: skip
    seen: set[frozenset[int]] = set()
    for share in (4, 16, 64, 256, budget):
        large = frozenset(number for number, size in taken.items() if size > budget // share)
        if large and large not in seen:
            seen.add(large)
            yield groups(graph, large)


_NOT_LARGE = frozenset({"input", "const", "size", "call", "scan", "part", "final", "cell", "running"})


# --- running ----------------------------------------------------------------------------------------------------------


def _run(found: Schedule, slopes: bool, args: tuple[Any, ...]) -> Any:
    values = {number: args[k] for number, k in found.inputs}
    for stage in found.stages:
        part = stage.made.part
        taken = [*args, *[values[number] for number in part.taken]]
        result = _in_pieces(stage.made, stage.cuts, taken, dict(stage.sizes), slopes)
        if part.last:
            return result
        values |= zip(part.given, _as_tuple(result)[: len(part.given)], strict=True)
    raise AssertionError("the last part gives the results")


def _in_pieces(
    made: PartFunction, cuts: tuple[Cut, ...], taken: list[Any], sizes: dict[str, int], slopes: bool
) -> Any:  # fmt: skip
    if not cuts:
        lengths = [sizes[symbol] for symbol in made.symbols]
        if slopes and _may(made):
            return _once_more(made, made.function, *taken, *lengths)
        return (made.function if slopes else made.quick)(*taken, *lengths)
    if slopes and any(isinstance(one, Join) and one.way == "softmax" for one in cuts[0].tile.outputs) and _may(made):
        # What is weighed is kept for the backward pass: of one piece of the other axes at a time.
        return _once_more(made, _one_by_one, made, cuts, taken, sizes, slopes)
    return _one_by_one(made, cuts, taken, sizes, slopes)


def _may(made: PartFunction) -> bool:
    """Whether what a part computes may be computed once more in the backward pass."""
    return made.part.large and torch._C._functorch.peek_interpreter_stack() is None


def _once_more(made: PartFunction, function: Callable[..., Any], *args: Any) -> Any:
    """A call that the backward pass repeats. A generator's state, kept for each, may take more than a piece does."""
    return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=made.draws)


def _one_by_one(
    made: PartFunction, cuts: tuple[Cut, ...], taken: list[Any], sizes: dict[str, int], slopes: bool
) -> Any:  # fmt: skip
    cut, *inner = cuts
    joins = [one if isinstance(one, Join) else None for one in cut.tile.outputs]
    pieces: list[list[Tensor]] = []
    so_far: list[Tensor] | None = None
    # All at once: the slope of a single slice would be as large as what it is of.
    split = {k: taken[k].split(cut.step, dim) for k, dim in cut.dims.items()}
    for number, start in enumerate(range(0, cut.size, cut.step)):
        length = min(cut.step, cut.size - start)
        piece = [split[k][number] if k in split else a for k, a in enumerate(taken)]
        found = _as_tuple(_in_pieces(made, tuple(inner), piece, {**sizes, cut.tile.symbol: length}, slopes))
        so_far = joined(joins, so_far, found, length / cut.size)
        # A view would keep all that its piece has made.
        parts_of = [one for one, how in zip(found, joins, strict=True) if how is None]
        pieces.append([one.clone() if one._is_view() else one for one in parts_of])
    assert so_far is not None
    whole = iter(zip(*pieces, strict=True))
    results = tuple(
        so_far[k] if isinstance(dim, Join) else torch.cat(next(whole), dim) for k, dim in enumerate(cut.tile.outputs)
    )
    return results if len(results) > 1 else results[0]


def _as_tuple(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _shown(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
