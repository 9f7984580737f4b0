"""How many bytes a graph's values take: results, and what kernels make on the way to them.

In: a planned graph, or a part of one, and sizes. Out: bytes. What always holds: inputs don't count; of a kernel, what
it holds beside its operands and its result counts while it runs, and in a backward pass what its slope needs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from namedlayers.plan import prefixes
from namedlayers.plan.cost import REAL, of_a_stretch
from namedlayers.plan.rewrite import live_nodes
from namedlayers.plan.search import steps
from namedlayers.program.graph import Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr
from namedlayers.program.terms import BINARY


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
    if node.op == "distance" and dict(node.attrs)["measure"] == "magnitude":
        return _magnitudes_at_once(node, sizes) * real
    if node.op == "extreme_contract":
        return min(_count(node.space, sizes), ENTRIES) * real
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
    if node.op == "extreme_contract":
        return 3 * min(_count(node.space, sizes), ENTRIES) * real
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


MANY, VERY_FEW, BLOCK = 1 << 14, 4, 1 << 17
"""From so many pairs on, with up to so many coordinates, magnitudes are summed coordinate by coordinate, for about so
many pairs at once."""


def _magnitudes_at_once(node: Node, sizes: Mapping[str, int]) -> int:
    pairs = _count(node.sizes, sizes)
    few = _count(node.space[node.rank :], sizes) <= VERY_FEW
    return min(pairs, BLOCK) if few and pairs >= MANY else 0


ENTRIES = 1 << 20
"""So many entries of an outer sum are there at once on the way to its extremes."""


def _count(axes: Iterable[SizeExpr], sizes: Mapping[str, int]) -> int:
    return math.prod(size.evaluate(sizes) for size in axes)
