"""Maxima and minima over axes that are not empty: the kernels for them fail on empty ones."""

from __future__ import annotations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node


def _extreme(scope: Scope, node: Node) -> Outcome:
    return Match(node.attr("op")) if node.rank < len(node.space) else None


def _build(scope: Scope, node: Node, op: str) -> Arg:
    consumed = range(node.rank, len(node.space))
    return scope.build(
        "extreme", node.args, range(node.rank), consumed, kind=node.kind, attrs={"op": op}, weak=node.weak
    )


RULES = (Rule("extremum", "exact", ("reduce max", "reduce min"), _extreme, _build),)
