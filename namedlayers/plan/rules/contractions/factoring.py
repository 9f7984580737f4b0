"""Two terms of a sum that are contractions with factors in common, as one: A B x + A B y is A B (x + y).

In: a sum of contractions of several operands. Out: a sum of one contraction less. What always holds: what is summed
over lies on the common factors, and the rests of both terms have the same axes, but not all of the result's: so nothing
is held for all of them. Whether it is any better depends on the rest of the graph: `plan/alternatives.py` weighs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import combinations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

NAME = "common factors of a sum"


@dataclass(frozen=True, slots=True)
class _Joined:
    """Two terms as one: the common factors, and what stands on one of them in either term, with its sign."""

    common: tuple[Arg, ...]
    rests: tuple[tuple[int, tuple[Arg, ...]], tuple[int, tuple[Arg, ...]]]
    over: tuple[int, ...]
    others: tuple[tuple[int, Arg], ...]
    """The terms that stay."""


def _match(scope: Scope, node: Node) -> Outcome:
    total = scope.sum(scope.whole(), scope.once)
    if total.number != 0 or node.kind is not Kind.REAL:
        return None
    for first, second in combinations(total.terms, 2):
        found = _common(scope, node, first[1], second[1])
        if found is not None:
            common, one, other = found
            others = tuple(term for term in total.terms if term is not first and term is not second)
            rests = ((first[0], one), (second[0], other))
            made = _Joined(common, rests, scope.consumed(first[1]), others)
            return Match(made, (*total.nodes, first[1].node, second[1].node))
    return None


def _common(
    scope: Scope, node: Node, left: Arg, right: Arg
) -> tuple[tuple[Arg, ...], tuple[Arg, ...], tuple[Arg, ...]] | None:
    """What two contractions have in common, and what they have not, along the same axes."""
    if any(one.node.op != "contract" or not scope.once(one.node) or one.node.kind is not Kind.REAL
           or set(one.axes) != set(range(node.rank)) for one in (left, right)):  # fmt: skip
        return None
    names: dict[int, int] = {c: c for c in range(node.rank)}
    over, waiting = set(scope.consumed(left)), list(scope.operands(left))
    common: list[Arg] = []
    rest: list[Arg] = []
    for operand in scope.operands(right):
        for one in waiting:
            more = _names(operand, one, names, over) if one.node is operand.node else None
            if more is not None:
                names |= more
                waiting.remove(one)
                common.append(one)
                break
        else:
            rest.append(operand)
    if not common or not waiting or not rest or not set(scope.consumed(right)) <= names.keys():
        return None
    there = {c for one in common for c in one.axes}
    others = tuple(Arg(one.node, tuple(names[c] for c in one.axes)) for one in rest)
    axes = [{c for one in group for c in one.axes} for group in (waiting, others)]
    if axes[0] != axes[1] or not over <= there or set(range(node.rank)) <= axes[0]:
        return None
    return tuple(common), tuple(waiting), others


def _names(operand: Arg, one: Arg, names: dict[int, int], over: set[int]) -> dict[int, int] | None:
    """What the axes of an operand are called in the other term, where it is the same; those that stay are the same."""
    more: dict[int, int] = {}
    for here, there in zip(operand.axes, one.axes, strict=True):
        known = names.get(here, more.get(here))
        if known is None:
            if there not in over or there in names.values() or there in more.values():
                return None
            more[here] = there
        elif known != there:
            return None
    return more


def _build(scope: Scope, node: Node, found: _Joined) -> Arg:
    (sign, one), (other_sign, other) = found.rests
    first, second = (reduce(lambda a, b: scope.apply("mul", a, b), group) for group in (one, other))
    inner = scope.apply("add" if sign == other_sign else "sub", first, second)
    operands = (*found.common, inner)
    # What all operands have lies innermost, where products of elements go along it.
    over = sorted(found.over, key=lambda c: sum(c in one.axes for one in operands))
    whole = scope.build("contract", operands, range(node.rank), over, kind=node.kind, attrs={"path": ()})
    terms = sorted([(sign, whole), *found.others], key=lambda term: -term[0])
    (sign, total), *rest = terms
    total = total if sign > 0 else negative(scope, total)
    for sign, term in rest:
        total = scope.apply("add" if sign > 0 else "sub", total, term)
    return total


RULES = (Rule(NAME, "algebraic", ("add", "sub"), _match, _build),)
