"""Sums with hat functions are readings between grid points: linear, bilinear, trilinear interpolation.

`sum[i, j](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)))` reads of X the four neighbours of (u, v), 0 outside; as it
is written it reads all. X may be a product; axes that u and v share with it are batches. Found once contractions are
merged, so that all hats of one reading are seen together. The slope at a whole number is that of the step behind it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.rules.reading.hats import Bump, Hat, hat
from namedlayers.plan.view import Product, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

MOST_AXES = 3
"""Of which torch has kernels."""


@dataclass(frozen=True, slots=True)
class _Found:
    """`source` is sampled by `hats`; `others` are multiplied with it."""

    hats: tuple[Hat, ...]
    source: tuple[Arg, ...]
    others: tuple[Arg, ...]


def _sampled(scope: Scope, node: Node) -> Outcome:
    if node.kind is not Kind.REAL:
        return None
    consumed = set(range(node.rank, len(node.space)))
    factors, nodes = _factors(scope, node.args)
    hats: dict[int, tuple[Arg, Hat]] = {}
    bumps: list[Arg] = []
    for arg in factors:
        seen = _hat(scope, arg, consumed)
        if isinstance(seen, Hat) and seen.axis not in hats:
            hats[seen.axis] = (arg, seen)
        elif isinstance(seen, Bump):
            bumps.append(arg)
    # What stands in the place of another hat has to be there first.
    hats = {axis: found for axis, found in hats.items() if found[1].axes.isdisjoint(hats)}
    if not hats:
        return Near("the weights are not `relu(1 - abs(u - i))`", bumps[0].node.spans) if bumps else None
    taken = dict(sorted(hats.items())[:MOST_AXES])
    rest = [arg for arg in factors if all(arg is not own for own, _ in taken.values())]
    source = tuple(arg for arg in rest if not taken.keys().isdisjoint(arg.axes))
    held = {axis for arg in source for axis in arg.axes}
    if not taken.keys() <= held or any(arg.node.kind is not Kind.REAL for arg in source):
        return None
    if any(arg.axes.count(axis) > 1 for arg in source for axis in taken):
        return None
    where = {axis for _, seen in taken.values() for axis in seen.axes}
    if len(taken) == 1 and held & where & consumed:
        return Near("what is sampled along one axis is summed over another one that its places have", node.spans)
    others = tuple(arg for arg in rest if all(arg is not one for one in source))
    found = _Found(tuple(seen for _, seen in taken.values()), source, others)
    return Match(found, (*nodes, *(arg.node for arg, _ in taken.values())))


def _factors(scope: Scope, args: tuple[Arg, ...]) -> tuple[list[Arg], list[Node]]:
    """The operands, and the factors of those that are products which nothing else needs."""
    found: list[Arg] = []
    nodes: list[Node] = []
    for arg in args:
        product = scope.product(arg, scope.once) if arg.node.op == "mul" and scope.once(arg.node) else None
        if product is None or product.number != 1 or product.bottom:
            found.append(arg)
        else:
            found += product.top
            nodes += product.nodes
    return found, nodes


def _hat(scope: Scope, arg: Arg, consumed: set[int]) -> Hat | Bump | None:
    """The hat along a consumed axis that a factor is."""
    seen: Hat | Bump | None = None
    for axis in sorted(consumed.intersection(arg.axes)):
        found = hat(scope, arg, axis)
        if isinstance(found, Hat):
            return found
        seen = seen or found
    return seen


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    source = contraction(scope, list(found.source), set())
    axes = [one.axis for one in found.hats]
    places = [one.place(scope) for one in found.hats]
    spoken = Arg(source.node, tuple(-1 if axis in axes else axis for axis in source.axes))
    own = tuple(source.axes.index(axis) for axis in axes)
    kept = {axis for arg in (spoken, *places) for axis in arg.axes if axis >= 0}
    sampled = scope.build(
        "sample", (spoken, *places), sorted(kept), kind=Kind.REAL, attrs={"axes": own, "edge": "zeros"}
    )
    consumed = set(range(node.rank, len(node.space))) - set(axes)
    whole = contraction(scope, [sampled, *found.others], consumed)
    height = math.prod(one.height for one in found.hats)
    return whole if height == 1 else scope.multiply(Product(height, (whole,), ()))


RULES = (Rule("sampling between grid points", "algebraic", ("contract",), _sampled, _build),)
