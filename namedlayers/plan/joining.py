"""How what pieces give is put together, where the axis that is cut is summed over, averaged, or looked through for an
extreme.

In: the operation that consumes the axis. Out: a `Join`, or None. What always holds: what is put together is what the
whole gives, to rounding; so means are weighed by the lengths of the pieces, and sums that a softmax weighs by the parts
of its sum that the pieces have, whose logarithms are a result of each piece, too (`with_totals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from namedlayers.plan.counted_means import COUNTING
from namedlayers.plan.parts import Part
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind

Way = Literal["sum", "mean", "max", "min", "logsumexp", "softmax", "argmax", "argmin"]


@dataclass(frozen=True, slots=True)
class Join:
    """`way`: how results are put together. softmax: each is weighed by its share of the sum whose logarithm is the
    result number `total`, of which the dimensions `dims` are, in their order, where there is a number, those of this.
    argmax, argmin: the place of the extreme that the result number `total` is.
    """

    way: Way
    total: int = -1
    dims: tuple[int | None, ...] = ()


def join(graph: Graph, node: Node, weighed: Mapping[int, Node]) -> Join | None:
    """How the pieces of a node that consumes the axis are put together. `weighed`: each softmax along it, by number."""
    softmax = [arg for arg in node.args if arg.node.number in weighed]
    if softmax:
        return _weighed(graph, node, softmax[0]) if node.op == "contract" and len(softmax) == 1 else None
    if node.op == "argreduce":
        return _place(graph, node)
    attrs = dict(node.attrs)
    way = _WAYS.get((node.op, str(attrs.get("reduction") or attrs.get("op") or "")))
    if way == "mean" and node.op == "class_loss" and (attrs["within"] or {*attrs["roles"]} & COUNTING):  # type: ignore[misc]
        return None
    if way is None or way in _ORDERED and node.kind is not Kind.REAL:
        return None
    return Join(way)


def with_totals(part: Part) -> Part | None:
    """The part, which gives also the logarithm of the sum that each softmax divides by, and the extreme whose place is
    asked; None without either."""
    users = part.graph.users()
    live = part.graph.live()
    found = [
        _total(part.graph, node) for node in live
        if node.op == "softmax" and all(user.op == "contract" for user in users.get(node.number, ()))
    ]  # fmt: skip
    found += [_extreme(part.graph, node) for node in live if node.op == "argreduce"]
    if not found:
        return None
    more = [Arg(total, tuple(range(total.rank))) for total in found]
    graph = Graph(part.graph.nodes, [*part.graph.outputs, *more], _table=part.graph._table)
    return replace(part, graph=graph, more=len(found))


# --- helpers ----------------------------------------------------------------------------------------------------------

_WAYS: dict[tuple[str, str], Way] = {
    ("contract", ""): "sum",
    ("reduce", "sum"): "sum",
    ("class_loss", "sum"): "sum",
    ("put", ""): "sum",
    ("row_sums", "sum"): "sum",
    ("chosen_row_sums", ""): "sum",
    ("row_sums", "mean"): "mean",
    ("class_loss", "mean"): "mean",
    ("statistic", "mean"): "mean",
    ("reduce", "logsumexp"): "logsumexp",
    ("log_contract", ""): "logsumexp",
    **{(op, way): way for op in ("reduce", "extreme", "extreme_contract") for way in ("max", "min")},
}
_ORDERED = frozenset({"max", "min", "logsumexp"})


def _kept(softmax: Node) -> tuple[int, ...]:
    axes = softmax.attr("axes")
    assert isinstance(axes, tuple)
    return tuple(p for p in range(softmax.rank) if p not in axes)


def _total(graph: Graph, softmax: Node) -> Node:
    """The logarithm of what a softmax divides by: of its operand, so that it has those of its axes that stay."""
    order = (*_kept(softmax), *softmax.attr("axes"))  # type: ignore[misc]
    at = {position: place for place, position in enumerate(order)}
    (x,) = softmax.args
    return graph.node(
        "reduce", (Arg(x.node, tuple(at[p] for p in x.axes)),), tuple(softmax.space[p] for p in order),
        len(_kept(softmax)), softmax.kind, attrs={"op": "logsumexp"}, weak=softmax.weak,
        names=tuple(softmax.names[p] for p in order), spans=softmax.spans, rule=softmax.rule,
    )  # fmt: skip


def _extreme(graph: Graph, node: Node) -> Node:
    """That of which the node tells the place."""
    (x,) = node.args
    return graph.node(
        "reduce", node.args, node.space, node.rank, x.node.kind, attrs={"op": node.attr("op")}, weak=x.node.weak,
        names=node.names, spans=node.spans, rule=node.rule,
    )  # fmt: skip


def _place(graph: Graph, node: Node) -> Join | None:
    if node.args[0].node.kind is not Kind.REAL:
        return None
    extreme = _extreme(graph, node)
    numbers = [k for k, arg in enumerate(graph.outputs) if arg.node is extreme]
    way: Way = "argmax" if node.attr("op") == "max" else "argmin"
    return Join(way, numbers[0], tuple(range(node.rank))) if numbers else None


def _weighed(graph: Graph, node: Node, softmax: Arg) -> Join | None:
    """A sum that a softmax weighs, where the softmax's other axes stay."""
    kept = [softmax.axes[p] for p in _kept(softmax.node)]
    numbers = [k for k, arg in enumerate(graph.outputs) if arg.node is _total(graph, softmax.node)]
    if not numbers or any(p >= node.rank for p in kept):
        return None
    return Join("softmax", numbers[0], tuple(kept.index(p) if p in kept else None for p in range(node.rank)))
