"""Calls that stay within a budget of memory: what is too large in between is computed in pieces.

In: a compiled program and a number of bytes. Out: a function that takes and gives the same. What always holds: the
values that are too large, and what is computed of them, are a part of the graph that is run piece by piece, along one
axis or several; the rest is run as it is. In the backward pass each piece is computed once more, so that its
intermediate values are there one piece at a time, too; but not under the transforms of `torch.func`, which have no
checkpoints. A call that cannot be cut is an error. For what torch traces see `tiled_operator`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.budget.partial import PartFunction, function_of
from namedlayers.emit.budget.pieces import Cut, Stage
from namedlayers.emit.budget.running import Schedule, run
from namedlayers.emit.build import Compiled
from namedlayers.emit.diagnosis import shape_of
from namedlayers.emit.loops.scanning import at_top_level
from namedlayers.errors import FormulaError, Label, SizeError
from namedlayers.plan.cost import REAL
from namedlayers.plan.joining import Join, with_totals
from namedlayers.plan.parts import VALUE, Group, Part, groups, parts, taken_apart
from namedlayers.plan.scans.stretches import stretched
from namedlayers.plan.tiling import Tile, against, held, nbytes, peak, tiles
from namedlayers.program.graph import Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.sizes_at_call import solve_sizes

MOST_KNOWN = 256

_REALS = {Kind.REAL: 1, Kind.COMPLEX: 2}
"""How many reals an element is."""


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
        key = (slopes, *[_like(a) if isinstance(a, Tensor) else None for a in args])
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
        return run(found, slopes, args)

    def _decided(self, slopes: bool, args: tuple[Any, ...]) -> Schedule:
        program = self.compiled.program
        shapes = {given.name: shape_of(arg) for given, arg in zip(program.inputs, args, strict=True)}
        try:
            sizes = solve_sizes(program, shapes)
        except FormulaError:
            return Schedule()  # the call itself says what is wrong
        number = self.compiled.select_for(sizes)
        graph = self.compiled.variants[number].graph
        given = [(g.kind, a.element_size()) for g, a in zip(program.inputs, args, strict=True) if isinstance(a, Tensor)]
        real = max([size // _REALS[kind] for kind, size in given if kind in _REALS], default=4)
        needed = peak(graph, sizes, real, kept=slopes, threads=torch.get_num_threads())
        sloped = frozenset(k for k, a in enumerate(args) if slopes and isinstance(a, Tensor) and a.requires_grad)
        needed += sum(args[k].nbytes for k in sloped)
        if not slopes and real >= REAL and at_top_level(*(a for a in args if isinstance(a, Tensor))):
            needed = min(needed, peak(stretched(graph), sizes, real))  # long recurrences hold a stretch of steps
        if needed <= self.budget:
            return Schedule()
        graph = taken_apart(graph)
        names = [one.name for one in program.inputs]
        inputs = tuple((node.number, names.index(str(node.attr("name")))) for node in graph if node.op == "input")
        on = next((a.device.type for a in args if isinstance(a, Tensor)), "cpu")
        for large in _large(graph, sizes, real, self.budget):
            of = frozenset(number for number, k in inputs if k in sloped)
            room = _Room(sizes, real, slopes, self.budget, PIECE.get(on, LARGEST), len(names), of)
            found = self._stages(graph, number, large, room)
            if found:
                return Schedule(found, inputs)
        why = [label for large in _large(graph, sizes, real, self.budget) for label in self._against(graph, large)]
        raise SizeError(
            "NL0431", f"this call needs about {_shown(needed)} for its intermediate values, more than the "
            f"{_shown(self.budget)} that it may take, and no axis can be cut so that it needs less",
            Label(program.span), *dict.fromkeys(why), hint=_hint(sum(args[k].nbytes for k in sloped), self.budget),
        )  # fmt: skip

    def _against(self, graph: Graph, large: tuple[Group, ...]) -> Iterator[Label]:
        """What stands against cutting the axes of what is large."""
        for part in parts(graph, large, self._options):
            whole = with_totals(part) or part
            for name, node in against(whole.graph) if part.large else ():
                axis = str(dict(part.sizes).get(name, name)).strip("|")
                if node.spans:
                    yield Label(node.spans[0], f"because of this, `{axis}` cannot be cut")

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

GAIN = 0.95
"""An axis is cut only if its pieces need at most so much of what is needed without."""


@dataclass(frozen=True, slots=True)
class _Room:
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
        at = self.of(part)
        sloped = [
            node for node in part.graph.live()
            if node.op == "input" and self.kept and self._has_slope(part, node)
        ]  # fmt: skip

        threads = torch.get_num_threads()

        def needed(**other: int) -> int:
            sizes = {**at, **other}
            made = peak(part.graph, sizes, self.real, kept=self.kept, threads=threads)
            for k, arg in enumerate(part.graph.outputs):
                ways = {how.way for tile in cut for how in [tile.outputs[k]] if isinstance(how, Join)}
                made += max((_TO_JOIN[way] for way in ways), default=0) * nbytes(arg.node, sizes, self.real)
            return made + sum(nbytes(node, sizes, self.real) for node in sloped)

        cut: list[Tile] = []
        found: dict[str, Cut] = {}
        free = sorted(tiles(part.graph), key=lambda tile: (tile.joined, -at[tile.symbol]))
        for fewest in (FEWEST, 1):
            for tile in free:
                size = at[tile.symbol]
                wanted = min(left, max(self.piece, 2 * needed(**{tile.symbol: 0})))
                if size <= fewest or needed() <= wanted:
                    continue
                whole, before = needed(), len(cut)
                if tile not in cut:
                    cut.append(tile)
                step = max(fewest, _most(lambda step: needed(**{tile.symbol: step}) <= wanted, size))  # noqa: B023
                if needed(**{tile.symbol: step}) > GAIN * whole:  # what is large has not this axis
                    del cut[before:]
                    continue
                length = found[tile.symbol].size if tile.symbol in found else size
                found[tile.symbol] = Cut(tile, self._dims(part, tile), length, step)
                at[tile.symbol] = step
            if needed() <= left:
                return tuple(found.values())
        return None

    def _has_slope(self, part: Part, node: Node) -> bool:
        """Whether what a part takes has a slope."""
        if not str(node.attr("name")).startswith(VALUE) or node.kind not in (Kind.REAL, Kind.COMPLEX):
            return False
        place = part.place(node)
        return part.inputs[place] == "" or part.taken[place] in self.sloped

    def _dims(self, part: Part, tile: Tile) -> dict[int, int]:
        values = [node for node in part.graph if node.op == "input"]
        return {self.inputs + part.place(values[k]): dim for k, dim in tile.inputs}


_TO_JOIN = {"sum": 1, "mean": 2, "max": 3, "min": 3, "logsumexp": 5, "softmax": 5, "argmax": 4, "argmin": 4}
"""How many values of the size of a piece's result there are while it is put together with those before."""


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
    nodes = [node for node in graph.live() if node.op not in _NOT_LARGE]
    taken = {node.number: nbytes(node, sizes, real) for node in nodes}
    passing = {node.number: held(node, sizes, real) for node in nodes}
    seen: set[tuple[frozenset[int], frozenset[int]]] = set()
    for share in (4, 16, 64, 256, budget):
        large, more = (frozenset(n for n, size in one.items() if size > budget // share) for one in (taken, passing))
        if more and (large, more) not in seen:
            seen.add((large, more))
            yield groups(graph, large, more - large)


_NOT_LARGE = frozenset({"input", "const", "size", "call", "scan", "part", "final", "cell", "running"})


# --- helpers ----------------------------------------------------------------------------------------------------------


def _hint(slopes: int, budget: int) -> str:
    if slopes > budget:
        return f"the slopes of its inputs alone take {_shown(slopes)}: allow more, or leave `max_memory` out"
    return "allow more, or leave `max_memory` out"


def _like(given: Tensor) -> tuple[Any, ...]:
    return tuple(given.shape), given.dtype, given.device.type, given.requires_grad


def _shown(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
