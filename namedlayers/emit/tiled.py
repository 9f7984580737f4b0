"""Calls that stay within a budget of memory: where intermediate values would take more, an axis is cut into pieces.

In: a compiled program and a number of bytes. Out: a function that takes and gives the same. What always holds: pieces
are computed by the same compiled function, one after the other; in the backward pass each is computed once more, so
that its intermediate values are there one piece at a time, too; a call that cannot be cut is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from namedlayers.emit.build import Compiled
from namedlayers.emit.diagnosis import shape_of
from namedlayers.errors import FormulaError, Label, SizeError
from namedlayers.plan.tiling import Tile, peak, tiles
from namedlayers.program.graph import Graph
from namedlayers.program.program import Kind
from namedlayers.program.sizes_at_call import solve_sizes

PIECE = 64 << 20
"""Once an axis is cut, pieces of about so many bytes are the fastest: they stay near the processor."""

MOST_KNOWN = 256


@dataclass(frozen=True, slots=True)
class Cut:
    """An axis and how many of its coordinates a piece has."""

    tile: Tile
    size: int
    step: int


class Tiled:
    """The function of `compiled`, whose intermediate values take at most `budget` bytes."""

    def __init__(self, compiled: Compiled, budget: int) -> None:
        self.function: Callable[..., Any] = compiled.function
        self.compiled, self.budget = compiled, budget
        self._cuts: dict[tuple, Cut | None] = {}

    def __call__(self, *args: Any) -> Any:
        if torch.compiler.is_compiling():  # a graph has no pieces
            return self.function(*args)
        slopes = torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in args)
        key = (slopes, *[(tuple(a.shape), a.dtype) if isinstance(a, Tensor) else None for a in args])
        try:
            cut = self._cuts[key]
        except KeyError:
            cut = self._decided(key, slopes, args)
        return self.function(*args) if cut is None else self._in_pieces(cut, slopes, args)

    def _decided(self, key: tuple, slopes: bool, args: tuple[Any, ...]) -> Cut | None:
        program = self.compiled.program
        shapes = {given.name: shape_of(arg) for given, arg in zip(program.inputs, args, strict=True)}
        try:
            sizes = solve_sizes(program, shapes)
        except FormulaError:
            return None  # the call itself says what is wrong
        graph = self.compiled.variants[self.compiled.select_for(sizes)].graph
        widths = [a.element_size() for g, a in zip(program.inputs, args, strict=True)
                  if g.kind is Kind.REAL and isinstance(a, Tensor)]  # fmt: skip
        cut = self._cut(lambda sizes: peak(graph, sizes, max(widths, default=4), kept=slopes), graph, sizes)
        while len(self._cuts) >= MOST_KNOWN:
            self._cuts.pop(next(iter(self._cuts)))
        self._cuts[key] = cut
        return cut

    def _cut(self, peak: Callable[[Mapping[str, int]], int], graph: Graph, sizes: Mapping[str, int]) -> Cut | None:
        needed = peak(sizes)
        if needed <= self.budget:
            return None
        for tile in tiles(graph):
            size = sizes[tile.symbol]
            fixed = peak({**sizes, tile.symbol: 0})
            each = (needed - fixed) / size
            step = max(1, int((min(self.budget, max(PIECE, 2 * fixed)) - fixed) / each)) if each else size
            if step < size and peak({**sizes, tile.symbol: step}) <= self.budget:
                return Cut(tile, size, step)
        raise SizeError(
            "NL0431", f"this call needs about {_shown(needed)} for its intermediate values, more than the "
            f"{_shown(self.budget)} that it may take, and no axis can be cut so that it needs less",
            Label(self.compiled.program.span), hint="allow more, or leave `max_memory` out",
        )  # fmt: skip

    def _in_pieces(self, cut: Cut, slopes: bool, args: tuple[Any, ...]) -> Any:
        dims = dict(cut.tile.inputs)
        results: list[Any] = [[] if dim is not None else None for dim in cut.tile.outputs]
        for start in range(0, cut.size, cut.step):
            length = min(cut.step, cut.size - start)
            piece = [a.narrow(dims[k], start, length) if k in dims else a for k, a in enumerate(args)]
            found = checkpoint(self.function, *piece, use_reentrant=False) if slopes else self.function(*piece)
            found = found if isinstance(found, tuple) else (found,)
            for k, (dim, one) in enumerate(zip(cut.tile.outputs, found, strict=True)):
                if dim is not None:
                    results[k].append(one)
                else:
                    results[k] = one if results[k] is None else results[k] + one
        whole = tuple(
            one if dim is None else torch.cat(one, dim) for dim, one in zip(cut.tile.outputs, results, strict=True)
        )
        return whole if len(whole) > 1 else whole[0]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _shown(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
