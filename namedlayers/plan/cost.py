"""What a graph costs: floating-point operations, bytes moved, and the most that is held, as formulas in the sizes.

In: a planned graph. Out: a `Cost`. What always holds: a multiplication and an addition are two operations; bytes are
those that a node reads and writes, each node by itself, reals taking four; views and scalars cost nothing. Nodes that
no rule here knows count once for each element of their index space. A linear recurrence that goes stretch by stretch,
as it does without a gradient, holds what it makes on its way for one stretch only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from namedlayers.errors import SizeError
from namedlayers.plan import prefixes
from namedlayers.plan.chains import chain, cheapest_path
from namedlayers.plan.formula import Formula, product, total
from namedlayers.plan.plan import Plan
from namedlayers.plan.regions import region_of
from namedlayers.plan.scans.stretches import SHORTEST, STRETCH, stretched
from namedlayers.plan.search import Path, steps
from namedlayers.program.graph import Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

REAL = 4
"""Bytes of a real."""


@dataclass(frozen=True, slots=True)
class Cost:
    """`flops` and `bytes` of a call, and `peak`, the bytes that intermediate values take at their most: the largest of
    these formulas; or, where long recurrences go by stretches, the largest of `by_stretches`, if there are any and that
    is less."""

    flops: Formula
    bytes: Formula
    peak: tuple[Formula, ...]
    by_stretches: tuple[Formula, ...] = ()

    def at(self, sizes: Mapping[str, int]) -> Figures:
        """The numbers for these sizes. Raises SizeError for one that is missing."""
        every = (self.flops, self.bytes, *self.peak, *self.by_stretches)
        symbols = {name for one in every for name in one.symbols}
        missing = sorted(symbols - sizes.keys())
        if missing:
            raise SizeError("NL0617", f"the cost depends on {', '.join(f'`{one}`' for one in missing)}, too")
        peak = max((one.at(sizes) for one in self.peak), default=0)
        if self.by_stretches:
            peak = min(peak, max(one.at(sizes) for one in self.by_stretches))
        return Figures(self.flops.at(sizes), self.bytes.at(sizes), peak)

    def __str__(self) -> str:
        shown = f"operations  {self.flops}\nbytes       {self.bytes}\npeak        {_shown(self.peak)}"
        if self.by_stretches:
            shown += f"\n            or, without a gradient, if that is less: {_shown(self.by_stretches)}"
        return shown


class Figures(NamedTuple):
    """What a call costs: operations, bytes moved, bytes held at their most."""

    flops: int
    bytes: int
    peak: int

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / max(1, self.bytes)

    def __str__(self) -> str:
        return f"operations  {self.flops:,}\nbytes       {self.bytes:,}\npeak        {self.peak:,}"


def cost(plan: Plan, variant: int = 0, sizes: Mapping[str, int] | None = None) -> Cost:
    """The cost of a variant, with what the bodies that it runs cost. Chains of matrices count in the order that is
    planned, or in the one that a call with these sizes takes."""
    return _cost(plan.variants[variant].graph, plan, sizes)


def of_a_stretch(node: Node) -> Formula:
    """The bytes of what a `stretch` makes on its way, for one stretch of steps: for each state as many as at the worst
    moment, and one more: the products of factors that a parallel scan makes."""
    inner = region_of(node).graph
    (recurrence,) = (one for one in inner.live() if one.op == "recurrence")
    axis = recurrence.attr("axis")
    state = tuple(size for place, size in enumerate(recurrence.sizes) if place != axis)
    factors = product(recurrence.sizes).terms[0][0]
    worst = max(count for peak in _peaks(inner, inner.live()) for part, count in peak.terms if part == factors)
    each = worst + _held_of_each(recurrence)
    return product([const(each * STRETCH)]) + product(state) * (each * SHORTEST)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _cost(graph: Graph, plan: Plan, sizes: Mapping[str, int] | None) -> Cost:
    live = graph.live()
    flops = moved = Formula()
    inner: list[Formula] = []
    for node in live:
        if node.op in ("call", "scan"):
            body = cost(plan.bodies[region_of(node)], sizes=sizes)
            size = node.attr("size") if node.op == "scan" else const(1)
            assert isinstance(size, SizeExpr)
            rounds = product([size])
            flops, moved = flops + body.flops * rounds, moved + body.bytes * rounds
            inner += body.peak
        elif node.op not in _FREE:
            flops = flops + _flops(node, sizes)
            moved = moved + _held(node) + total(_held(arg.node) for arg in node.args)
    cut = stretched(graph)
    pieces = _largest([*_peaks(cut, cut.live()), *inner]) if cut is not graph else ()
    return Cost(flops, moved, _largest([*_peaks(graph, live), *inner]), pieces)


def _flops(node: Node, sizes: Mapping[str, int] | None) -> Formula:
    """The operations of one node."""
    if sizes is not None and (found := chain(node)) is not None:
        return _steps(node, cheapest_path(node, found, sizes))
    return _OPERATIONS.get(node.op, _each)(node)


def _peaks(graph: Graph, live: list[Node]) -> list[Formula]:
    """What is held after each node."""
    last = {arg.node.number: node.number for node in live for arg in node.args}
    last |= {arg.node.number: len(graph.nodes) for arg in graph.outputs}
    held: dict[int, Formula] = {}
    found = []
    for node in live:
        if node.op not in _FREE:
            held[node.number] = _held(node)
        if node.op == "stretch":  # which fills its results as it goes
            held |= {one.number: _held(one) for one in live if one.op == "part" and one.args[0].node is node}
        found.append(total(held.values()))
        held = {number: size for number, size in held.items() if last[number] > node.number}
    return found


def _shown(peaks: tuple[Formula, ...]) -> str:
    return ("the largest of " if len(peaks) > 1 else "") + ("; ".join(map(str, peaks)) or "0")


def _largest(sizes: list[Formula]) -> tuple[Formula, ...]:
    """Those that no other is at least as large as, for all sizes."""
    found: list[Formula] = []
    for size in dict.fromkeys(sizes):
        if not any(other.covers(size) for other in found):
            found = [*(other for other in found if not size.covers(other)), size]
    return tuple(found)


_FREE = frozenset("input const size part piece final expand merge split index".split())
"""What is not computed: what is there, and other ways to look at it."""

_WIDTHS = {Kind.BOOL: 1, Kind.INT: 8, Kind.REAL: REAL, Kind.COMPLEX: 2 * REAL}


def _held(node: Node) -> Formula:
    if node.op == "stretch":
        return of_a_stretch(node)
    return product(node.sizes) * _held_of_each(node) if node.rank else Formula()


def _held_of_each(node: Node) -> int:
    return _WIDTHS[node.kind]


def _each(node: Node) -> Formula:
    return product(node.space)


def _times(count: int) -> Callable[[Node], Formula]:
    return lambda node: product(node.space) * count


def _contract(node: Node) -> Formula:
    path = node.attr("path")
    assert isinstance(path, tuple)
    return _steps(node, path)


def _linear(node: Node) -> Formula:
    return _steps(node, ((0, 1),)) + product(node.sizes)


def _steps(node: Node, path: Path) -> Formula:
    return total(product([node.space[p] for p in step.touched]) * step.operations for step in steps(node, path))


def _attention(node: Node) -> Formula:
    """The scores, their softmax, and the mean of the values."""
    query, key, value = (set(arg.axes) for arg in node.args[:3])
    scores = query | key
    positions = scores - {p for p in range(node.rank, len(node.space)) if p in query & key and p not in value}
    along = [product([node.space[p] for p in sorted(axes)]) for axes in (scores, positions, positions | value)]
    return along[0] * 2 + along[1] * 5 + along[2] * 2


def _pool(node: Node) -> Formula:
    space = node.attr("space")
    assert isinstance(space, tuple)
    kernels = [const(entry[2]) if isinstance(entry[2], int) else entry[2] for entry in space]
    return product(node.sizes) * product(kernels)


def _class_loss(node: Node) -> Formula:
    """The softmax of the logits, if it is part of it, else what is read."""
    return product(node.args[0].node.sizes) * 5 if node.attr("logits") else product(node.space)


def _row_products(node: Node) -> Formula:
    """What is read, and the product of the sums with the matrix."""
    x, index, matrix = node.args[:3]
    read = product([*(node.space[p] for p in x.axes if p >= 0), *(node.space[p] for p in index.axes)])
    bags = (node.space[p] for p in index.axes if p < node.rank)
    return read + product([*bags, *(node.space[p] for p in matrix.axes)]) * 2


def _harmonics(node: Node) -> Formula:
    """Ten for each number of a transform, as if it had a thousand."""
    return (product(node.args[0].node.sizes) + product(node.sizes)) * 20


def _long_convolution(node: Node) -> Formula:
    """Transforms of twice the length, as if it were a thousand."""
    return total(product(sizes) for sizes in (node.args[0].node.sizes, node.args[1].node.sizes, node.sizes)) * 60


def _prefixes(node: Node) -> Formula:
    return total(product(step.touched) * step.operations for step in prefixes.steps(node))


_OPERATIONS: dict[str, Callable[[Node], Formula]] = {
    "contract": _contract,
    "linear": _linear,
    "attention": _attention,
    "pool": _pool,
    "class_loss": _class_loss,
    "harmonics": _harmonics,
    "row_products": _row_products,
    "long_conv": _long_convolution,
    **dict.fromkeys(prefixes.PREFIXES, _prefixes),
    **dict.fromkeys(
        ("conv", "conv_transpose", "window_product", "log_contract", "extreme_contract", "grouped_product"), _times(2)
    ),
    **dict.fromkeys(("distance", "rotation", "nearest"), _times(3)),
    "outer_mean": _times(4),
    **dict.fromkeys(("softmax", "log_softmax"), _times(5)),
    **dict.fromkeys(("standardize", "batch_norm", "group_norm"), _times(8)),
    **dict.fromkeys(("statistic", "rms_norm", "gelu", "silu", "sigmoid", "softplus"), _times(4)),
}
