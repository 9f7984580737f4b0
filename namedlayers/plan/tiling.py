"""Which axes a graph may be computed along piece by piece, and how much memory it takes.

In: a planned graph, or a part of one, in which no two axes that could be cut apart have one symbol. Out: `Tile`s, and
the bytes that intermediate values take at their most. What always holds: nothing in the graph depends on the
coordinates of a tile's axis; so the pieces of the results, one after the other or added up, are what the whole graph
gives.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from namedlayers.plan import prefixes
from namedlayers.plan.cost import REAL, of_a_stretch
from namedlayers.plan.joining import Join, join
from namedlayers.plan.rewrite import live_nodes
from namedlayers.plan.search import steps
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind
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


def peak(
    graph: Graph, sizes: Mapping[str, int], real: int, *, kept: bool = False, apart: Collection[int] = (),
    given: Collection[int] = (), threads: int = 1,
) -> int:  # fmt: skip
    """The most bytes that intermediate values take at once, a real taking `real` bytes; results count, inputs do not.

    `kept`: all are kept for a backward pass, which makes a slope for each. `apart`: numbers of nodes that are computed
    elsewhere, of which only those that are `given` count. `threads`: how many a kernel has, each with memory of
    its own.
    """
    live = live_nodes(graph.outputs)
    counted = [
        node for node in live
        if node.op not in ("input", "const", "size") and (node.number not in apart or node.number in given)
    ]  # fmt: skip
    passing = {node.number: _passing(node, sizes, real, threads) for node in counted if node.number not in apart}
    if kept:
        beside = sum(_beside_slopes(node, sizes, real, threads) for node in counted if node.number not in apart)
        kept_too = sum(size for number, size in passing.items() if graph.nodes[number].op not in _NOT_KEPT)
        for_a_while = max(
            (passing[node.number] + sum(nbytes(one, sizes, real) for one in (node, *(arg.node for arg in node.args)))
             for node in counted if node.op in _NOT_KEPT and node.number in passing), default=0,
        )  # fmt: skip
        return 2 * (sum(nbytes(node, sizes, real) for node in counted) + kept_too) + for_a_while + beside
    last = {arg.node.number: node.number for node in live for arg in node.args}
    last |= {arg.node.number: len(graph.nodes) for arg in graph.outputs}
    for node in reversed(live):
        if node.op in _VIEWS:
            last[node.args[0].node.number] = max(last[node.args[0].node.number], last[node.number])
    ends: dict[int, int] = {}
    held = {node.number for node in counted}
    now = most = 0
    for node in live:
        if node.number in held:
            taken = nbytes(node, sizes, real)
            now += taken
            most = max(most, now + passing.get(node.number, 0))
            ends[last[node.number]] = ends.get(last[node.number], 0) + taken
        now -= ends.pop(node.number, 0)
    return most


def nbytes(node: Node, sizes: Mapping[str, int], real: int) -> int:
    """The bytes that a value takes."""
    return _bytes(node.sizes, node.kind, sizes, real)


def held(node: Node, sizes: Mapping[str, int], real: int) -> int:
    """The same, with what is made on the way to it."""
    return nbytes(node, sizes, real) + _passing(node, sizes, real, 1)


# --- helpers ----------------------------------------------------------------------------------------------------------

_WIDTHS = {Kind.BOOL: 1, Kind.INT: 8}


_NOT_KEPT = frozenset({"conv", "conv_transpose", "recurrence"})
"""What makes more on the way than it keeps for a backward pass, which makes as much again, and copies of all."""

_VIEWS = frozenset({"index", "split", "piece"})
"""What lies in the memory of its operand, which is held as long."""


def _bytes(axes: Collection[SizeExpr], kind: Kind, sizes: Mapping[str, int], real: int) -> int:
    elements = 1
    for size in axes:
        elements *= size.evaluate(sizes)
    return elements * _WIDTHS.get(kind, real if kind is Kind.REAL else 2 * real)


def _passing(node: Node, sizes: Mapping[str, int], real: int, threads: int) -> int:
    """The bytes of what a contraction, a product up to each place, or a stretch of steps makes on its way, or torch's
    kernel: the coordinates in what it sorts, exponentials, the logarithms of shares."""
    if node.op == "stretch":
        return of_a_stretch(node).at(sizes) * real // REAL
    if node.op == "logaddexp":  # the larger of both, and both where one of them counts
        return 9 * nbytes(node, sizes, real) // 4
    if node.op == "attention":
        return _scores_at_once(node, sizes) * threads * real + _mask(node, sizes, real)
    if node.op in ("conv", "conv_transpose"):
        return _in_blocks(node, sizes, real)
    if node.op == "recurrence":  # factors, each with those before it
        return nbytes(node, sizes, real)
    if node.op == "nearest":
        return _pairs_at_once(node, sizes) * real
    if node.op == "log_contract":  # exponentials of its operands
        return sum(nbytes(arg.node, sizes, real) for arg in node.args)
    if node.op == "prefix_product":
        return sum(_bytes(made, node.kind, sizes, real) for made in prefixes.passing(node))
    attrs = dict(node.attrs)
    if node.op in ("sort", "argsort") or (node.op == "cumulative" and attrs["op"] in ("max", "min")):
        return _bytes(node.sizes, Kind.REAL if node.op == "argsort" else Kind.INT, sizes, real)
    if (node.op == "reduce" and attrs["op"] == "logsumexp") or (node.op == "class_loss" and attrs["logits"]):
        return nbytes(node.args[0].node, sizes, real)
    if node.op in BINARY:  # what is turned beside it: layouts are not known here
        turned = (arg.node for arg in node.args if 1 < arg.node.rank < node.rank)
        return sum(nbytes(one, sizes, real) for one in turned)
    if node.op != "contract":
        return 0
    path = node.attr("path")
    assert isinstance(path, tuple)
    own = tuple(range(node.rank))
    made = [step.made for step in steps(node, path) if step.made != own]
    return sum(_bytes([node.space[p] for p in axes], node.kind, sizes, real) for axes in made)


def _beside_slopes(node: Node, sizes: Mapping[str, int], real: int, threads: int) -> int:
    """The bytes of what an operation's slope makes on its way: of an extreme, which elements it is; of few distances,
    the differences; of attention, the slopes of scores."""
    if node.op == "attention":
        return _scores_at_once(node, sizes) * threads * real
    if node.op in ("distance", "nearest"):
        return 3 * min(_count(node.space, sizes), DIFFERENCES) * real
    is_extreme = node.op in ("reduce", "extreme") and dict(node.attrs).get("op") in ("max", "min")
    return nbytes(node.args[0].node, sizes, real) if is_extreme else 0


def _scores_at_once(node: Node, sizes: Mapping[str, int]) -> int:
    """How many scores torch's kernel has at once: more queries where there are many."""
    query, key, value = (set(arg.axes) for arg in node.args[:3])
    along = [p for p in key & value - query if p >= node.rank]
    rows = [p for p in query - key - value if 0 <= p < node.rank]
    keys, queries = (_count([node.space[p] for p in one], sizes) for one in (along, rows))
    return min(queries, 256 if queries >= 768 else 64 if queries >= 192 else 32) * min(keys, 512)


def _mask(attention: Node, sizes: Mapping[str, int], real: int) -> int:
    """What is added to the scores, side by side as torch's kernel reads it."""
    return sum(_count(mask.node.sizes, sizes) * real for mask in attention.args[3:])


CHANNELS = 8
"""torch's convolutions go through blocks of so many channels: operands and result are put into blocks before."""


def _in_blocks(conv: Node, sizes: Mapping[str, int], real: int) -> int:
    """The blocks of operands and result, or the result and its blocks; an operand of few channels stays as it is."""
    x, weight = (nbytes(arg.node, sizes, real) for arg in conv.args[:2])
    made = nbytes(conv, sizes, real)
    of_x, of_weight = (set(arg.axes) for arg in conv.args[:2])
    channels = _count([conv.space[p] for p in of_x & of_weight if p >= conv.rank], sizes)
    filters = max(1, _count([conv.space[p] for p in of_weight - of_x if 0 <= p < conv.rank], sizes))
    result = made * -(-filters // CHANNELS) * CHANNELS // filters
    operands = 0 if channels < CHANNELS else (x + weight) * -(-channels // CHANNELS) * CHANNELS // channels
    return max(operands + result - made, result)


PAIRS = 1 << 19
ROWS = 32
FEW = 1 << 16
"""How many pairs the kernel for the nearest looks at together, and of how many rows at least; of fewer rows, and of so
few differences, there are all pairs, three times."""

DIFFERENCES = 1 << 15
"""Of so few differences all are there where slopes are wanted."""


def _pairs_at_once(node: Node, sizes: Mapping[str, int]) -> int:
    own = {axis for axis in node.args[0].axes if axis >= 0}
    among = _count([node.space[p] for arg in node.args[1:] for p in arg.axes if p not in own], sizes)
    features = _count([node.space[p] for p in own if p >= node.rank], sizes)
    pairs = _count(node.sizes, sizes) * among
    return max(min(pairs, max(PAIRS, ROWS * among)), 3 * min(pairs, max(ROWS * among, FEW // max(1, features))))


def _count(axes: Iterable[SizeExpr], sizes: Mapping[str, int]) -> int:
    return math.prod(size.evaluate(sizes) for size in axes)


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
    "eigenvectors", "chosen_row_sums",
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
            until = 2 if key == "entries" or node.op in ("pool", "pad_around") else 3  # a kernel's position comes next
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
