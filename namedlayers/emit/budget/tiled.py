"""Calls that stay within a budget of memory: what is too large in between is computed in pieces.

In: a compiled program and a number of bytes. Out: a function that takes and gives the same. What always holds: the
values that are too large, and what is computed of them, are a part of the graph that is run piece by piece, along one
axis or several; the rest is run as it is. In the backward pass each piece is computed once more, so that its
intermediate values are there one piece at a time, too; but not under the transforms of `torch.func`, which have no
checkpoints. A call that cannot be cut is an error. For what torch traces see `tiled_operator`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.budget.partial import PartFunction, function_of
from namedlayers.emit.budget.pieces import Cut, Stage
from namedlayers.emit.budget.room import LARGEST, PIECE, Room, is_fine
from namedlayers.emit.budget.running import Schedule, run
from namedlayers.emit.build import Compiled
from namedlayers.emit.diagnosis import shape_of
from namedlayers.emit.loops.scanning import at_top_level
from namedlayers.errors import FormulaError, Label, SizeError
from namedlayers.plan.cost import REAL
from namedlayers.plan.holding import held, nbytes, peak
from namedlayers.plan.joining import with_totals
from namedlayers.plan.parts import Group, Part, groups, parts, taken_apart
from namedlayers.plan.phases import phases
from namedlayers.plan.scans.stretches import stretched
from namedlayers.plan.tiling import against
from namedlayers.program.graph import Graph
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
        of = frozenset(number for number, k in inputs if k in sloped)
        room = Room(sizes, real, slopes, self.budget, PIECE.get(on, LARGEST), len(names), of)
        values = list(_large(graph, sizes, real, self.budget))
        for how in (groups, phases):
            found = self._best([how(graph, *one) for one in values], graph, room)
            if found:
                return Schedule(self._stages(number, found, room), inputs)
        why = [label for one in values for label in self._against(graph, groups(graph, *one))]
        hint = self._hint(graph, sizes, real, sum(args[k].nbytes for k in sloped))
        raise SizeError(
            "NL0431", f"this call needs about {_shown(needed)} for its intermediate values, more than the "
            f"{_shown(self.budget)} that it may take, and no axis can be cut so that it needs less",
            Label(program.span), *dict.fromkeys(why), hint=hint,
        )  # fmt: skip

    def _hint(self, graph: Graph, sizes: Mapping[str, int], real: int, slopes: int) -> str:
        """What to do; and where no cut would help: what is there in the end cannot be cut."""
        given = {arg.node.number: arg.node for arg in graph.outputs if arg.node.op != "input"}
        results = sum(nbytes(one, sizes, real) for one in given.values())
        both = (("results", results), ("inputs' slopes", slopes), ("results and its inputs' slopes", results + slopes))
        why = next((f"its {name} alone take {_shown(size)}" for name, size in both if size > self.budget), "")
        return f"{why}: allow more, or leave `max_memory` out".removeprefix(": ")

    def _against(self, graph: Graph, large: tuple[Group, ...]) -> Iterator[Label]:
        """What stands against cutting the axes of what is large."""
        for part in parts(graph, large, self._options):
            whole = with_totals(part) or part
            for name, node in against(whole.graph) if part.large else ():
                size = str(dict(part.sizes).get(name, name))
                axis = size[1:-1] if size.count("|") == 2 and size[0] == size[-1] == "|" else size
                if node.spans:
                    yield Label(node.spans[0], f"because of this, `{axis}` cannot be cut")

    def _best(self, ways: Sequence[tuple[Group, ...]], graph: Graph, room: Room) -> _Split | None:
        """The split with the fewest pieces, among these ways to tell what is large; the first that has few."""
        best: _Split | None = None
        for large in dict.fromkeys(ways):
            found = self._split(graph, large, room) if large else None
            if found is not None and (best is None or found.pieces < best.pieces):
                best = found
            if best is not None and best.pieces <= FEW:
                return best
        return best

    def _split(self, graph: Graph, large: tuple[Group, ...], room: Room) -> _Split | None:
        """The parts with the cuts of each; None where one of them cannot be cut so that it fits."""
        split = list(parts(graph, large, self._options))
        left = room.left(graph, large, split)
        cuts = [room.cuts(part, left) if part.large else () for part in split]
        for k, part in enumerate(split):
            more = with_totals(part) if is_fine(cuts[k]) else None
            others = room.cuts(more, left) if more is not None else None
            if more is not None and others is not None and not (cuts[k] and is_fine(others)):
                split[k], cuts[k] = more, others
        found = tuple(one for one in cuts if one is not None)
        return _Split(large, tuple(split), found) if len(found) == len(cuts) else None

    def _stages(self, number: int, split: _Split, room: Room) -> tuple[Stage, ...]:
        key = (number, split.large, tuple(part.more for part in split.parts))
        if key not in self._functions:
            plan, program = self.compiled.plan, self.compiled.program
            self._functions[key] = tuple(self.make(part, program, plan, k) for k, part in enumerate(split.parts))
        both = zip(self._functions[key], split.cuts, strict=True)
        return tuple(Stage(made, room.of(made.part), cuts) for made, cuts in both)


# --- helpers ----------------------------------------------------------------------------------------------------------


FEW = 32
"""Of so few pieces no fewer are sought."""


@dataclass(frozen=True, slots=True)
class _Split:
    """A call in parts, of which those of the groups `large` are cut."""

    large: tuple[Group, ...]
    parts: tuple[Part, ...]
    cuts: tuple[tuple[Cut, ...], ...]

    @property
    def pieces(self) -> int:
        return sum(math.prod(-(-cut.size // cut.step) for cut in cuts) for cuts in self.cuts)


def _large(graph: Graph, sizes: Mapping[str, int], real: int, budget: int) -> Iterator[tuple[Group, Group]]:
    """Which values may be run in pieces, and of which only what is made on the way: those that are much of the budget,
    then others."""
    nodes = [node for node in graph.live() if node.op not in _NOT_LARGE]
    taken = {node.number: nbytes(node, sizes, real) for node in nodes}
    passing = {node.number: held(node, sizes, real) for node in nodes}
    seen: set[tuple[frozenset[int], frozenset[int]]] = set()
    for share in (4, 2, 1, 16, 64, 256, budget):
        large, more = (frozenset(n for n, size in one.items() if size > budget // share) for one in (taken, passing))
        if more and (large, more) not in seen:
            seen.add((large, more))
            yield large, more - large


_NOT_LARGE = frozenset({"input", "const", "size", "call", "scan", "part", "final", "cell", "running"})


def _like(given: Tensor) -> tuple[Any, ...]:
    return tuple(given.shape), given.dtype, given.device.type, given.requires_grad


def _shown(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
