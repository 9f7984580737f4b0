"""Which axes a graph may be computed along piece by piece, and how much memory it takes.

In: a planned graph. Out: `Tile`s, and the bytes that intermediate values take at their most. What always holds: the
axis of a tile is the same in all inputs that have it, and nothing in the graph depends on its coordinates or its size;
so the pieces of the results, one after the other or added up, are what the whole graph gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from namedlayers.plan.rewrite import live_nodes
from namedlayers.program.graph import Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, symbol
from namedlayers.program.terms import BINARY, UNARY


@dataclass(frozen=True, slots=True)
class Tile:
    """An axis to cut: `inputs` (number of the input, its dimension) and `outputs` (number of the result, its
    dimension; None where the pieces' results are added up)."""

    symbol: str
    inputs: tuple[tuple[int, int], ...]
    outputs: tuple[int | None, ...]

    @property
    def summed(self) -> bool:
        """Whether the pieces of any result are added up."""
        return None in self.outputs


def tiles(graph: Graph) -> tuple[Tile, ...]:
    """The axes along which a graph may be cut; those that all results have come first."""
    live = live_nodes(graph.outputs)
    sizes = [size for node in _inputs(graph) for size in node.sizes]
    symbols = [name for size in sizes for name in size.symbols if size == symbol(name)]
    found = [tile for name in dict.fromkeys(symbols) if (tile := _tile(graph, live, name)) is not None]
    return tuple(sorted(found, key=lambda tile: tile.summed))


def peak(graph: Graph, sizes: Mapping[str, int], real: int, *, kept: bool = False) -> int:
    """The most bytes that intermediate values take at once, a real taking `real` bytes; results count, inputs do not.

    `kept`: all are kept for a backward pass, which makes a slope for each.
    """
    live = live_nodes(graph.outputs)
    if kept:
        return 2 * sum(_bytes(node, sizes, real) for node in live if node.op not in ("input", "const", "size"))
    last = {arg.node.number: node.number for node in live for arg in node.args}
    last |= {arg.node.number: len(graph.nodes) for arg in graph.outputs}
    ends: dict[int, int] = {}
    now = most = 0
    for node in live:
        if node.op not in ("input", "const", "size"):
            held = _bytes(node, sizes, real)
            now += held
            most = max(most, now)
            ends[last[node.number]] = ends.get(last[node.number], 0) + held
        now -= ends.pop(node.number, 0)
    return most


# --- helpers ----------------------------------------------------------------------------------------------------------

_WIDTHS = {Kind.BOOL: 1, Kind.INT: 8}


def _bytes(node: Node, sizes: Mapping[str, int], real: int) -> int:
    elements = 1
    for size in node.sizes:
        elements *= size.evaluate(sizes)
    return elements * _WIDTHS.get(node.kind, real if node.kind is Kind.REAL else 2 * real)


def _inputs(graph: Graph) -> Iterator[Node]:
    return (node for node in graph.nodes if node.op == "input")


# What is done at each coordinate, for axes that no attribute speaks of.
_POINTWISE = frozenset({
    *UNARY, *BINARY, "where", "expand", "reduce", "extreme", "contract", "linear", "log_contract", "softmax", "relu",
    "log_softmax", "sigmoid", "silu", "gelu", "softplus", "statistic", "standardize", "rms_norm", "const", "gather",
    "take", "cast", "attention", "conv", "pool",
})  # fmt: skip

_ADDED = frozenset({"contract"})
"""Operations that sum over what they consume: their pieces along a consumed axis are added up."""


def _tile(graph: Graph, live: list[Node], name: str) -> Tile | None:
    """The tile along the axis whose size is the symbol `name`; None where something stands against it."""
    along: dict[int, int | None] = {}
    summed: set[int] = set()
    for node in live:
        if node.op == "input":
            places = [k for k, size in enumerate(node.sizes) if size == symbol(name)]
            if len(places) > 1 or any(name in size.symbols for k, size in enumerate(node.sizes) if k not in places):
                return None
            along[node.number] = places[0] if places else None
            continue
        place = _place(node, along)
        if any(arg.node.number in summed for arg in node.args):
            return None  # what is added up in the end is not there yet
        if place == -1 or not _free_of(node, name, place):
            return None
        if place is not None and place >= node.rank:
            if not _adds(node):
                return None
            summed.add(node.number)
            place = None
        along[node.number] = place
    results = {arg.node.number for arg in graph.outputs}
    if not summed <= results or not all(along[number] is not None or number in summed for number in results):
        return None
    order = [node for node in graph.nodes if node.op == "input"]
    inputs = tuple((k, place) for k, node in enumerate(order) if (place := along.get(node.number)) is not None)
    outputs = tuple(
        None if arg.node.number in summed else arg.axes[along[arg.node.number]]  # type: ignore[index]
        for arg in graph.outputs
    )
    return Tile(name, inputs, outputs) if inputs else None


def _place(node: Node, along: Mapping[int, int | None]) -> int | None:
    """Where the axis lies in a node's index space: None if no operand has it, -1 if operands disagree about it."""
    places = {arg.axes[k] for arg in node.args if (k := along[arg.node.number]) is not None}
    if not places:
        return None
    if len(places) > 1:
        return -1
    (place,) = places
    for arg in node.args:
        k = along[arg.node.number]
        if place < 0 or (place in arg.axes and (k is None or arg.axes[k] != place or arg.axes.count(place) > 1)):
            return -1
    return place


def _free_of(node: Node, name: str, place: int | None) -> bool:
    """Whether a node does the same along a piece of the axis: it mentions neither its size nor its place."""
    sizes = [size for k, size in enumerate(node.space) if k != place]
    if any(name in size.symbols for size in (*sizes, *_sizes(node.attrs))):
        return False
    if place is None:
        return True
    return node.op in _POINTWISE and place not in _integers(dict(node.attrs))


def _adds(node: Node) -> bool:
    return node.op in _ADDED or (node.op == "reduce" and node.attr("op") == "sum")


def _sizes(value: Any) -> Iterator[SizeExpr]:
    if isinstance(value, SizeExpr):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _sizes(one)


_PLACES = ("axes", "axis", "space", "causal", "entries", "row", "column", "into", "kernel")


def _integers(attrs: Mapping[str, Any]) -> set[int]:
    """All integers in the attributes that may be positions."""
    found: set[int] = set()
    waiting: list[Any] = [value for key, value in attrs.items() if key in _PLACES]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting += one
        elif isinstance(one, int) and not isinstance(one, bool):
            found.add(one)
    return found
