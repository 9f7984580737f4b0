"""Means whose weights are a softmax of an outer sum: two matrix products in the place of a tensor of all weights.

`softmax[s](K + w) @[s] V`, where K has features that w lacks and w places that K lacks (as in the attention-free
transformer), is `(exp(w) @ (exp(K) * V)) / (exp(w) @ exp(K))`: exponentials are multiplied where logits are added. More
terms are two sides, as in a log product; terms without an axis of the softmax drop out; a condition belongs to the side
that has its axes, and a scale to both. Where a term has all axes, as scores of queries and keys have, there is nothing
to part.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.rules.contractions.outer_sums import MOST_GROUPS, groups_of, two_sides
from namedlayers.plan.rules.masks import chosen, masked
from namedlayers.plan.view import Product, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class _Found:
    """The sides of the logits, of which the second goes with the values, which are a product; what else is multiplied;
    the summed axes."""

    sides: tuple[_Side, _Side]
    values: tuple[Arg, ...]
    others: tuple[Arg, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Side:
    terms: tuple[Arg, ...]
    scales: tuple[tuple[str, Arg], ...]
    allows: tuple[Arg, ...]


def _mean_by_outer_sum(scope: Scope, node: Node) -> Outcome:
    for k, weights in enumerate(node.args):
        if weights.node.op == "softmax" and weights.node.kind is Kind.REAL:
            outcome = _check(scope, node, weights, node.args[:k] + node.args[k + 1 :])
            if outcome is not None:
                return outcome
    return None


def _check(scope: Scope, node: Node, weights: Arg, others: tuple[Arg, ...]) -> Outcome:
    axes = weights.node.attr("axes")
    assert isinstance(axes, tuple)
    positions = {weights.axes[p] for p in axes}
    beside = [one for one in others if positions & set(one.axes)]
    axes_of_values = {axis for one in beside for axis in one.axes} - positions
    if not positions <= set(range(node.rank, len(node.space))) or not beside:
        return None
    if len(beside) > 1 and not axes_of_values <= set(range(node.rank)):
        return None  # what else is summed over may be summed first
    logits, scales, allows = _logits(scope, scope.operands(weights)[0])
    if logits.node.op not in ("add", "sub") or any(one.node.kind is not Kind.REAL for one in beside):
        return None
    total = scope.sum(logits)
    terms = [term if sign > 0 else negative(scope, term) for sign, term in total.terms if positions & set(term.axes)]
    parts = groups_of(terms)
    if not 2 <= len(parts) <= MOST_GROUPS or any(term.node.kind is not Kind.REAL for term in terms):
        return None
    held = [{axis for term in part for axis in term.axes} for part in parts]
    if not all(positions <= own for own in held):
        return None
    sides = two_sides(scope, parts, positions)
    found = _placed(sides, scales, allows, axes_of_values) if sides is not None else None
    if found is None:
        return Near("a mask or the values have axes of both sides of the logits, so all weights are there", node.spans)
    if not scope.once(weights.node):
        return Near("the weights are used elsewhere too, so they have to be computed", weights.node.spans)
    rest = tuple(one for one in others if not positions & set(one.axes))
    return Match(_Found(found, tuple(beside), rest, tuple(sorted(positions))), (weights.node, *total.nodes))


def _logits(scope: Scope, arg: Arg) -> tuple[Arg, tuple[tuple[str, Arg], ...], tuple[Arg, ...]]:
    """Logits without their conditions and scales, and these."""
    allows: list[Arg] = []
    scales: list[tuple[str, Arg]] = []
    while (part := chosen(scope, arg, -inf)) is not None:
        allows.append(part[0])
        arg = part[1]
    while arg.node.op in ("mul", "div"):
        first, second = scope.operands(arg)
        if first.node.rank == 0 and arg.node.op == "mul":
            first, second = second, first
        if second.node.rank:
            break
        scales.insert(0, (arg.node.op, second))
        arg = first
    return arg, tuple(scales), tuple(allows)


def _placed(
    sides: tuple[tuple[Arg, ...], tuple[Arg, ...]], scales: tuple[tuple[str, Arg], ...], allows: tuple[Arg, ...],
    value: set[int],
) -> tuple[_Side, _Side] | None:  # fmt: skip
    """The sides with the conditions that each has the axes of, the one that goes with the values last."""
    first, second = ({axis for term in side for axis in term.axes} for side in sides)
    own = [allow for allow in allows if set(allow.axes) <= first]
    other = [allow for allow in allows if not set(allow.axes) <= first]
    if not all(set(allow.axes) <= second for allow in other):
        return None
    found = (_Side(sides[0], scales, tuple(own)), _Side(sides[1], scales, tuple(other)))
    if not value & (first - second):
        return found
    return found[::-1] if not value & (second - first) else None


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    sides = [_whole(scope, side) for side in found.sides]
    value = scope.multiply(Product(1, found.values, ()))
    operands = (*sides, value)
    kept = {axis for one in operands for axis in one.axes} - set(found.positions)
    mean = scope.build("outer_mean", operands, sorted(kept), found.positions, kind=Kind.REAL)
    consumed = set(range(node.rank, len(node.space))) - set(found.positions)
    return contraction(scope, [mean, *found.others], consumed)


def _whole(scope: Scope, side: _Side) -> Arg:
    whole, *terms = side.terms
    for term in terms:
        whole = scope.apply("add", whole, term)
    for op, scale in side.scales:
        whole = scope.apply(op, whole, scale)
    return masked(scope, whole, side.allows)


RULES = (Rule("mean by an outer softmax", "algebraic", ("contract",), _mean_by_outer_sum, _build),)
