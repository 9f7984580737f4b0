"""Means of losses of which not all targets count the same, as a sum by a sum, which pieces can add up.

In: a `class_loss` that is a mean, and its operands in another graph. Out: the sum of its losses, divided by the sum of
what its targets count. What always holds: both sums are over the same axes; a target that is left out counts 0, and its
class is not looked at, as it may be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.terms import literal_key

COUNTING = frozenset({"ignored", "kept", "weight"})
"""What makes a mean of losses one of the targets that count."""


def is_counted(node: Node) -> bool:
    """Whether a node is a mean that counts some targets for more than others."""
    if node.op != "class_loss" or node.attr("reduction") != "mean":
        return False
    roles = node.attr("roles")
    assert isinstance(roles, tuple)
    return bool(COUNTING.intersection(roles)) and not (node.attr("within") and "weight" in roles)


def as_quotient(graph: Graph, node: Node, args: tuple[Arg, ...]) -> Node:
    """The same mean in `graph`, of `args`."""
    listed = node.attr("roles")
    assert isinstance(listed, tuple)
    roles: Mapping[str, Arg] = dict(zip(map(str, listed), args[2:], strict=True))
    losses = graph.node(
        node.op, args, node.space, 0, node.kind, attrs=dict(node.attrs) | {"reduction": "sum"}, weak=node.weak,
        names=node.names, spans=node.spans, rule=node.rule,
    )  # fmt: skip
    each = tuple(range(len(node.space)))

    def made(how: str, operands: tuple[Arg, ...], kind: Kind, rank: int = len(each), **attrs: Any) -> Arg:
        one = graph.node(
            how, operands, node.space, rank, kind, attrs=attrs, names=node.names, spans=node.spans, rule=node.rule
        )  # fmt: skip
        return Arg(one, each[:rank])

    target, kept = args[1], roles.get("kept")
    if "ignored" in roles:
        kept = made("ne", (target, roles["ignored"]), Kind.BOOL)
    counted = _number(graph, 1)
    if "weight" in roles:
        weight = Arg(roles["weight"].node, (-1,))
        at = made("where", (kept, target, _number(graph, 0)), Kind.INT) if kept is not None else target
        counted = made("gather", (weight, at), weight.node.kind, axes=(0,), fill=False)
    if kept is not None:
        counted = made("where", (kept, counted, _number(graph, 0)), counted.node.kind)
    total = made("reduce", (counted,), counted.node.kind, 0, op="sum")
    return graph.node(
        "div", (Arg(losses, ()), total), (), 0, node.kind, weak=node.weak, spans=node.spans, rule=node.rule
    )  # fmt: skip


# --- helpers ----------------------------------------------------------------------------------------------------------


def _number(graph: Graph, value: int) -> Arg:
    form, digits = literal_key(value)
    return Arg(graph.node("const", (), (), 0, Kind.INT, attrs={"kind": form, "digits": digits}, weak=True), ())
