"""Sums of products up to each place, or on either side of it: causal linear attention, however it is written.

`sum[s, key](where(s <= t, 1, 0) * Q * K * V)`, with the mask as a factor, as a choice or as the sum of such, takes all
pairs of places and positions; a `prefix_product` takes time and memory linear in their number. What always holds: the
mask is a triangle, and everything else under it is a sum of products of which no factor has both axes. What has one
form before each place and another behind it (`g ^ abs(t - s)`, `minimum(t, s)`, a choice of two) is a sum under either.

What a place does not see may be infinite: neither the text, where it chooses, nor the kernel looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.contractions.expansion import (
    APART,
    DEEPEST,
    THROUGH,
    Expansion,
    Term,
    Terms,
    added_up,
    is_sum,
    times,
)  # fmt: skip
from namedlayers.plan.rules.contractions.sharing import not_of_nothing
from namedlayers.plan.rules.linear_forms import Triangle, triangle
from namedlayers.plan.rules.places.decays import Axes, Decay, decayed
from namedlayers.plan.rules.places.prefix_terms import Grouped, grouped, is_nothing, summed
from namedlayers.plan.rules.places.two_sided import FOLDS, chosen, ridge
from namedlayers.plan.view import Scope, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

NAME = "prefix product"

BENT = frozenset({"exp", "pow"}) | FOLDS
"""What may have one form before each place and another behind it."""


def _match(scope: Scope, node: Node) -> Outcome:
    if node.kind not in (Kind.REAL, Kind.COMPLEX):
        return None
    found = next((one for arg in node.args for one in _triangles(scope, arg, 0, node)), None)
    if found is None:
        return None
    reader = _Reader(scope, found)
    terms = reader.terms()
    if terms is not None:
        terms = [term for term in terms if not is_nothing(term)]
    plans = [grouped(scope, term, found) for term in terms or ()]
    if terms and all(plans):
        return Match(plans)
    differing = _differing(scope, terms or (), found[1])
    if differing:
        return Near(f"what counts less further back differs along {differing}, which is summed over, too")
    if reader.refused is not None and any(_has_products(scope, arg, found) for arg in node.args):
        place, gone = (scope.names[c] for c in found)
        return Near(f"{reader.reason}, which depends on {place} and {gone} both", reader.refused.node.spans)
    return None


def _differing(scope: Scope, terms: Sequence[Term], gone: int) -> str:
    """An axis, beside that of the positions, that is summed over and that a decay has."""
    found = (
        scope.names[c]
        for term in terms
        for mark in term.marks
        if isinstance(mark, Decay)
        for c in sorted(mark.axes & set(term.consumed) - {gone})
    )
    return next(found, "")


def _build(scope: Scope, node: Node, plans: list[Grouped]) -> Arg:
    """The divisors that are the same for all positions divide at the end."""
    first = plans[0]
    return added_up(
        scope, [one.term for one in plans],
        apart=lambda d, term: first.axes[1] not in d.axes,
        divisor=lambda d: not_of_nothing(scope, d, first.outside),
        built=lambda k, term: summed(scope, replace(plans[k], term=term)),
    )  # fmt: skip


RULES = (Rule(NAME, "algebraic", ("contract", "reduce sum"), _match, _build),)


# --- the mask ---------------------------------------------------------------------------------------------------------


def _triangles(scope: Scope, arg: Arg, depth: int, root: Node) -> Iterator[Axes]:
    """The axes of masks that an operand of the root stands on."""
    node = arg.node
    if node.rank < 2 or depth > DEEPEST:
        return
    found = triangle(scope, arg) if node.kind is Kind.BOOL else ridge(scope, arg) if node.op in BENT else None
    if found is not None:
        for place, gone in ((found.row, found.column), (found.column, found.row)):
            if place < root.rank <= gone < len(root.space):
                yield place, gone
    elif node.op in ("where", "and") or node.op in THROUGH or is_sum(node):
        for inner in scope.operands(arg):
            yield from _triangles(scope, inner, depth + 1, root)


@dataclass(slots=True)
class _Reader:
    """What has both axes as a sum of products of what has not. `reason`: why `refused` is none."""

    scope: Scope
    axes: Axes
    reason: str = ""
    refused: Arg | None = None

    def terms(self) -> Terms:
        return self._expansion.of_sum(self.scope.whole())

    @property
    def _expansion(self) -> Expansion:
        return Expansion(self.scope, self._read)

    def _read(self, arg: Arg, depth: int) -> Terms | str:
        node = arg.node
        if not set(self.axes) <= set(arg.axes):
            return [Term(top=(arg,))]
        mask = self._mask(arg) if node.kind is Kind.BOOL else None
        if mask is not None:
            return [Term(marks=(mask,))]
        if node.op == "where":
            return self._chosen(arg, depth)
        bent = self._bent(arg) if node.op in BENT else None
        if bent is not None:
            return bent
        decay = decayed(self.scope, arg, self.axes)
        if decay is not None:
            return [Term(top=decay.factors, marks=decay.decays)]
        if is_sum(node) and node.op != "statistic":
            return APART
        if depth > DEEPEST or node.op not in THROUGH:
            return self._refuse(arg, "a factor is no product")
        if node.op == "div" and set(self.axes) <= set((under := self.scope.operands(arg)[1]).axes):
            return self._refuse(under, "it is divided by something")
        return APART

    def _mask(self, condition: Arg) -> Triangle | None:
        found = triangle(self.scope, condition)
        return found if found is not None and {found.row, found.column} == set(self.axes) else None

    def _bent(self, arg: Arg) -> Terms:
        """g ^ abs(t - s), minimum(t, s)"""
        half = ridge(self.scope, arg)
        if half is None or {half.row, half.column} != set(self.axes):
            return None
        found = []
        for side in (half, half.opposite):
            one = chosen(self.scope, arg, side)
            decay = decayed(self.scope, arg, self.axes, side)
            if one is not None and not set(self.axes) <= set(one.axes):
                found.append(Term(top=(one,), marks=(side,)))
            elif decay is not None:
                found.append(Term(top=decay.factors, marks=(side, *decay.decays)))
        return found if len(found) == 2 else None

    def _chosen(self, arg: Arg, depth: int) -> Terms:
        """where(a triangle, x, 0), or where(a triangle, x, y)"""
        condition, yes, no = self.scope.operands(arg)
        found = self._mask(condition)
        if found is None:
            return self._refuse(arg, "a choice is no triangle of products")
        total: list[Term] = []
        for x, where in ((yes, found), (no, found.opposite)):
            if not is_number(x, 0):
                terms = times([Term(marks=(where,))], self._expansion.of(x, depth + 1))
                if terms is None:
                    return None
                total += terms
        return total

    def _refuse(self, arg: Arg, reason: str) -> Terms:
        if not self.reason:
            self.reason, self.refused = reason, arg
        return None


def _has_products(scope: Scope, arg: Arg, axes: Axes) -> bool:
    """Whether some product of what has one of the axes with what has the other is in it."""
    waiting = [(arg, 0)]
    while waiting:
        one, depth = waiting.pop()
        if one.node.op == "contract" and set(axes) <= set(one.axes):
            return True
        if depth < DEEPEST and set(axes) <= set(one.axes) and -1 not in one.axes:
            waiting += [(inner, depth + 1) for inner in scope.operands(one)]
    return False
