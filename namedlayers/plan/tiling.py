"""Which axes a graph may be computed along piece by piece.

In: a planned graph, or a part of one, in which no two axes that could be cut apart have one symbol. Out: `Tile`s. What
always holds: nothing in the graph depends on the coordinates of a tile's axis; so the pieces of the results, one after
the other or added up, are what the whole graph gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from namedlayers.plan.joining import Join, join
from namedlayers.plan.rewrite import live_nodes
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.size import SizeExpr, symbol
from namedlayers.program.terms import BINARY, UNARY


@dataclass(frozen=True, slots=True)
class Tile:
    """An axis to cut: `inputs` (number of the input, its dimension) and for each of the `outputs` its dimension, or how
    the pieces' results are put together."""

    symbol: str
    inputs: tuple[tuple[int, int], ...]
    outputs: tuple[int | Join, ...]

    @property
    def joined(self) -> bool:
        """Whether the pieces of any result are more than parts of it."""
        return any(isinstance(one, Join) for one in self.outputs)


def tiles(graph: Graph) -> tuple[Tile, ...]:
    """The axes along which a graph may be cut; those that all results have come first."""
    found = [tile for _, tile in _looked_at(graph) if isinstance(tile, Tile)]
    return tuple(sorted(found, key=lambda tile: tile.joined))


def against(graph: Graph) -> tuple[tuple[str, Node], ...]:
    """The axes along which a graph may not be cut, each with an operation that stands against it."""
    return tuple((name, node) for name, node in _looked_at(graph) if isinstance(node, Node))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _inputs(graph: Graph) -> Iterator[Node]:
    return (node for node in graph.nodes if node.op == "input")


# What is done at each coordinate of the axes that no attribute speaks of.
_POINTWISE = frozenset({
    *UNARY, *BINARY, "where", "expand", "reduce", "extreme", "contract", "linear", "log_contract", "softmax", "relu",
    "log_softmax", "sigmoid", "silu", "gelu", "softplus", "statistic", "standardize", "rms_norm", "const", "cast",
    "attention", "conv", "conv_transpose", "long_conv", "pool", "lerp", "activation", "distance", "rotation",
    "prefix_product", "prefix_sum", "outer_mean", "row_sums", "nearest", "window_product", "index", "argreduce", "sort",
    "grouped_product", "argsort", "cumulative", "merge", "split", "pad", "pad_around", "concat", "stack", "fold", "fft",
    "rfft", "irfft", "glu", "wave", "put", "roll", "recurrence", "inv", "solve", "cholesky", "eigenvalues", "det",
    "eigenvectors", "chosen_row_sums", "extreme_contract", "arrange",
})  # fmt: skip
_DRAWN = frozenset({"random", "dropout", "slice_dropout", "categorical"})
"""The same, where each coordinate has draws of its own: pieces of an axis that they have not would draw them anew."""

_OF_OPERANDS = frozenset({"take", "class_loss", "gather"})
"""The same, of which an attribute counts the axes of an operand."""


def _looked_at(graph: Graph) -> Iterator[tuple[str, Tile | Node]]:
    live = live_nodes(graph.outputs)
    sizes = [size for node in live for size in node.space]
    symbols = [name for size in sizes for name in size.symbols if size == symbol(name)]
    for name in dict.fromkeys(symbols):
        yield name, _tile(graph, live, name)


def _tile(graph: Graph, live: list[Node], name: str) -> Tile | Node:
    """The tile along the axis whose size is the symbol `name`, or what stands against it."""
    size = symbol(name)
    along: dict[int, int | None] = {}
    joins: dict[int, Join] = {}
    weighed: dict[int, Node] = {}
    for node in live:
        places = [k for k, one in enumerate(node.space) if one == size]
        place = places[0] if places else None
        softmax = node.op == "softmax" and place in node.attr("axes")  # type: ignore[operator]
        if len(places) > 1 or not _free_of(node, name, place, softmax):
            return node
        if any(arg.node.number in joins for arg in node.args):
            return node  # what is put together in the end is not there yet
        if not all(_passed_on(arg.axes, along[arg.node.number], places) for arg in node.args):
            return node
        consumed = place is not None and place >= node.rank
        if consumed:
            found = join(graph, node, weighed)
            if found is None:
                return node
            joins[node.number], place = found, None
        elif any(arg.node.number in weighed for arg in node.args):
            return node  # the weights of a piece are those of the whole only in a sum
        if softmax:
            weighed[node.number] = node
        along[node.number] = place
    results = {arg.node.number: arg.node for arg in graph.outputs}
    early = [number for number in joins if number not in results]
    without = [number for number in results if along[number] is None and number not in joins]
    if early or without or results.keys() & weighed.keys():
        return graph.nodes[next(iter([*early, *without, *weighed]))]
    order = list(_inputs(graph))
    inputs = tuple((k, place) for k, node in enumerate(order) if (place := along.get(node.number)) is not None)
    outputs = tuple(_in_order(joins, arg) if arg.node.number in joins else arg.axes[along[arg.node.number]]  # type: ignore[index]
                    for arg in graph.outputs)  # fmt: skip
    return Tile(name, inputs, outputs) if inputs else live[-1]


def _in_order(joins: Mapping[int, Join], arg: Arg) -> Join:
    """A join of a result, whose dimensions are in the order in which it is given."""
    found = joins[arg.node.number]
    dims = sorted(range(len(found.dims)), key=lambda position: arg.axes[position])
    return replace(found, dims=tuple(found.dims[position] for position in dims))


def _passed_on(axes: tuple[int, ...], place: int | None, places: list[int]) -> bool:
    """Whether an operand has the axis where its user has it, and nowhere else."""
    if place is None:
        return True
    return axes[place] in places and axes.count(axes[place]) == 1


def _free_of(node: Node, name: str, place: int | None, softmax: bool) -> bool:
    """Whether a node does the same along a piece of the axis: it mentions neither its size nor its place. A `softmax`
    along it may be put right afterwards."""
    sizes = [size for k, size in enumerate(node.space) if k != place]
    if any(name in size.symbols for size in (*sizes, *_sizes(node.attrs))):
        return False
    if node.op in _DRAWN:
        return place is not None and place < node.rank and place not in _positions(node)
    if place is None or node.op == "input":
        return True
    if softmax or node.op in _OF_OPERANDS or (node.op == "argreduce" and place == node.attr("axis")):
        return True
    return node.op in _POINTWISE and (node.op == "expand" or place not in _positions(node))


def _sizes(value: Any) -> Iterator[SizeExpr]:
    if isinstance(value, SizeExpr):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _sizes(one)


_PLACES = ("axes", "axis", "causal", "row", "column", "into", "kernel")


def _positions(node: Node) -> set[int]:
    """All integers in the attributes that may be positions; an entry, or an axis of space, begins with a number of the
    operand's own axis."""
    found: set[int] = set()
    waiting: list[Any] = []
    for key, value in node.attrs:
        if key in ("entries", "space"):
            alone = key == "entries" or node.op in ("pool", "pad_around", "arrange")
            until = 2 if alone else 3  # a kernel's position comes next
            waiting += [more for one in value for more in one[1:until]]  # type: ignore[attr-defined]
        elif key in _PLACES:
            waiting.append(value)
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting += one
        elif isinstance(one, int) and not isinstance(one, bool):
            found.add(one)
    return found
