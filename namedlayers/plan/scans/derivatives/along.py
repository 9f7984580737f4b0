"""Derivatives of sums of products, of reductions, and of what else runs along axes.

What always holds: several that are the largest share evenly, as torch has it; rows of -inf, and roots of 0, have no
slopes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from namedlayers.plan.scans.derivatives.term import Back, Term, axes_of, consumed, result, softmax_back
from namedlayers.program.graph import Node
from namedlayers.program.size import SizeExpr, const


def _contract(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    found = []
    for k in range(len(operands)):
        product = g
        for j, other in enumerate(operands):
            product = product if j == k else product * other
        found.append(product)
    return tuple(found)


def _linear(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    x, w, _ = operands
    return g * w, g * x, g


def _extreme(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    (x,) = operands
    attained = x("eq", result(node, g)).chosen(1, 0)
    return (g * (attained / attained.sum(consumed(node))),)


def _extreme_contract(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    left, right = operands
    attained = left(str(node.attr("join")), right)("eq", result(node, g)).chosen(1, 0)
    slope = g * (attained / attained.sum(consumed(node)))
    return (slope, slope) if node.attr("join") == "add" else (slope * right, slope * left)


def _logsumexp(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    (x,), y = operands, result(node, g)
    return (g * (x - y("eq", -math.inf).chosen(0, y))("exp"),)


def _softmax(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    return (softmax_back(g, result(node, g), axes_of(node)),)


def _log_softmax(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    y, axes = result(node, g), axes_of(node)
    total = g.sum(axes)
    for c in axes:
        if c not in g.arg.axes:
            total = total * _size(g, c)
    return (g - y("exp") * total,)


def _statistic(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    (x,), y, op = operands, result(node, g), str(node.attr("op"))
    if op == "norm":
        return (g * y("eq", 0).chosen(0, x / y),)
    count = const(1)
    for c in consumed(node):
        count = count * g.scope.sizes[c]
    if op == "mean":
        return (g / _number(g, count),)
    ddof = node.attr("ddof")
    assert isinstance(ddof, int)
    apart = x - x.sum(consumed(node)) / _number(g, count)
    if op == "var":
        return (g * (apart * (2 / _number(g, count - ddof))),)
    return (g * (apart * y("eq", 0).chosen(0, 1 / (y * _number(g, count - ddof)))),)


def _size(g: Term, c: int) -> Term:
    return _number(g, g.scope.sizes[c])


def _number(g: Term, size: SizeExpr) -> Term:
    return Term(g.scope, g.scope.size(size))


TABLE: Mapping[str, Back] = {
    "contract": _contract,
    "linear": _linear,
    "extreme": _extreme,
    "extreme_contract": _extreme_contract,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "statistic": _statistic,
    "reduce sum": lambda node, g, operands: (g,),
    "reduce max": _extreme,
    "reduce min": _extreme,
    "reduce logsumexp": _logsumexp,
}
