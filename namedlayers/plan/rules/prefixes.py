"""Sums of products up to each place: causal linear attention, however it is written.

`sum[s, key](where(s <= t, 1, 0) * Q * K * V)`, with the mask as a factor, as a choice or as the sum of such, takes all
pairs of places and positions; a `prefix_product` takes time and memory linear in their number. What always holds: the
mask is a triangle, and everything else under it is a sum of products of which no factor has both axes.

What a place does not see may be infinite: neither the text, where it chooses, nor the kernel looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product as pairs

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.contraction import contraction, with_divisors
from namedlayers.plan.rules.linear_forms import Triangle, triangle
from namedlayers.plan.rules.sharing import DEEPEST, MOST_TERMS, THROUGH, is_sum, not_of_nothing
from namedlayers.plan.rules.triangles import turned
from namedlayers.plan.view import Number, Product, Scope, constant, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

NAME = "prefix product"


@dataclass(frozen=True, slots=True)
class _Term:
    """The sum over `consumed` of `number * product(top) / product(bottom)`, of what all `masks` leave. The sums over
    `above` are in what is divided."""

    number: Number = 1
    top: tuple[Arg, ...] = ()
    bottom: tuple[Arg, ...] = ()
    consumed: tuple[int, ...] = ()
    masks: tuple[Triangle, ...] = ()
    above: tuple[int, ...] = ()

    @property
    def outside(self) -> set[int]:
        """The axes that quotients are summed over: where one is empty, there is no quotient."""
        return set(self.consumed) - set(self.above)

    def times(self, other: _Term) -> _Term:
        masks = tuple(dict.fromkeys(self.masks + other.masks))
        consumed = self.consumed + other.consumed
        return _Term(
            self.number * other.number, self.top + other.top, self.bottom + other.bottom, consumed, masks,
            self.above + other.above,
        )  # fmt: skip


def _match(scope: Scope, node: Node) -> Outcome:
    if node.kind not in (Kind.REAL, Kind.COMPLEX):
        return None
    found = next((one for arg in node.args for one in _triangles(scope, arg, 0, node)), None)
    if found is None:
        return None
    expansion = _Expansion(scope, found)
    terms = expansion.of_sum(scope.whole(), 0)
    plans = [_grouped(term, found, node.rank) for term in terms or ()]
    if terms is not None and all(plans):
        return Match(plans)
    if expansion.refused is not None and any(_has_products(scope, arg, found) for arg in node.args):
        place, gone = (scope.names[c] for c in found)
        return Near(f"{expansion.reason}, which depends on {place} and {gone} both", expansion.refused.node.spans)
    return None


def _build(scope: Scope, node: Node, plans: list[_Grouped]) -> Arg:
    """The divisors that all terms have and that are the same for all positions divide at the end."""
    first = plans[0]
    common = [d for d in first.term.bottom if _apart(d, plans)]
    total: Arg | None = None
    for one in plans:
        bottom = list(one.term.bottom)
        for d in common:
            bottom.remove(d)
        number = one.term.number
        negative = total is not None and not isinstance(number, complex) and number < 0
        value = _summed(scope, one, -number if negative else number, bottom)
        total = value if total is None else scope.apply("sub" if negative else "add", total, value)
    assert total is not None
    for d in common:
        total = scope.apply("div", total, not_of_nothing(scope, d, first.term.outside))
    return total


def _apart(divisor: Arg, plans: Sequence[_Grouped]) -> bool:
    return all(one.axes[1] not in divisor.axes and divisor in one.term.bottom for one in plans)


RULES = (Rule(NAME, "algebraic", ("contract", "reduce sum"), _match, _build),)


# --- the mask ---------------------------------------------------------------------------------------------------------

Axes = tuple[int, int]
"""The axis of the places, which stays, and that of the positions, which is summed over."""


def _triangles(scope: Scope, arg: Arg, depth: int, root: Node) -> Iterator[Axes]:
    """The axes of masks that an operand of the root stands on."""
    node = arg.node
    if node.rank < 2 or depth > DEEPEST:
        return
    found = triangle(scope, arg) if node.kind is Kind.BOOL else None
    if found is not None:
        for place, gone in ((found.row, found.column), (found.column, found.row)):
            if place < root.rank <= gone < len(root.space):
                yield place, gone
    elif node.op in ("where", "and") or node.op in THROUGH or is_sum(node):
        for inner in scope.operands(arg):
            yield from _triangles(scope, inner, depth + 1, root)


@dataclass(slots=True)
class _Expansion:
    """What has both axes as a sum of products of what has not. `reason`: why `refused` is none."""

    scope: Scope
    axes: Axes
    reason: str = ""
    refused: Arg | None = None

    def of_sum(self, arg: Arg, depth: int) -> list[_Term] | None:
        """The terms of a contraction or sum; None where there is none, or they are too many."""
        found: list[_Term] | None = [_Term(consumed=self.scope.consumed(arg))]
        for operand in self.scope.operands(arg):
            found = self._times(found, self._of(operand, depth + 1))
        return found

    def _of(self, arg: Arg, depth: int) -> list[_Term] | None:
        node = arg.node
        value = constant(node)
        if value is not None and not isinstance(value, bool):
            return [_Term(value)]
        if not set(self.axes) <= set(arg.axes):
            return [_Term(top=(arg,))]
        mask = triangle(self.scope, arg) if node.kind is Kind.BOOL else None
        if mask is not None and {mask.row, mask.column} == set(self.axes):
            return [_Term(masks=(mask,))]
        if node.op == "where":
            return self._chosen(arg, depth)
        if is_sum(node) and node.op != "statistic":
            return self.of_sum(arg, depth)
        if depth > DEEPEST or node.op not in THROUGH:
            self._refuse(arg, "a factor is no product")
            return None
        first, *rest = self.scope.operands(arg)
        left = self._of(first, depth + 1)
        if left is None or node.op == "neg":
            return left and [replace(term, number=-term.number) for term in left]
        if node.op == "div":
            if set(self.axes) <= set(rest[0].axes):
                self._refuse(rest[0], "it is divided by something")
                return None
            return [replace(term, bottom=(*term.bottom, rest[0]), above=term.consumed) for term in left]
        right = self._of(rest[0], depth + 1)
        if node.op == "mul":
            return self._times(left, right)
        if right is None or len(left) + len(right) > MOST_TERMS:
            return None
        sign = -1 if node.op == "sub" else 1
        return left + [replace(term, number=sign * term.number) for term in right]

    def _chosen(self, arg: Arg, depth: int) -> list[_Term] | None:
        """where(a triangle, x, 0)"""
        condition, yes, no = self.scope.operands(arg)
        found = triangle(self.scope, condition)
        if found is not None and {found.row, found.column} == set(self.axes):
            for x, other, where in ((yes, no, found), (no, yes, found.opposite)):
                if is_number(other, 0):
                    return self._times([_Term(masks=(where,))], self._of(x, depth + 1))
        self._refuse(arg, "a choice is no triangle of products")
        return None

    def _times(self, left: list[_Term] | None, right: list[_Term] | None) -> list[_Term] | None:
        if left is None or right is None or len(left) * len(right) > MOST_TERMS:
            return None
        found = [a.times(b) for a, b in pairs(left, right)]
        return found if all(len(set(term.consumed)) == len(term.consumed) for term in found) else None

    def _refuse(self, arg: Arg, reason: str) -> None:
        if not self.reason:
            self.reason, self.refused = reason, arg


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


# --- the parts of a product -------------------------------------------------------------------------------------------

Group = tuple[Arg, ...]
"""Factors that are multiplied, and summed over the axes that no other group has."""


@dataclass(frozen=True, slots=True)
class _Grouped:
    """A term as queries, keys, values (none if all are keys), and what is multiplied by in the end. There may be keys
    alone, and none of them."""

    term: _Term
    mask: Triangle
    axes: Axes
    query: Group
    key: Group
    value: Group
    after: Group


def _grouped(term: _Term, axes: Axes, rank: int) -> _Grouped | None:
    """A term by what its factors do; None where it is no product of queries with keys."""
    place, gone = axes
    if len(term.masks) != 1 or gone not in term.consumed:
        return None
    contracted = set(term.consumed) - {gone}
    if any(gone not in d.axes and set(d.axes) & contracted for d in term.bottom):
        return None
    along = [a for a in term.top if gone in a.axes]
    rest = [a for a in term.top if gone not in a.axes]
    along, rest = _sides(along, rest, place, contracted)
    shared = {c for a in along for c in a.axes} & {c for a in rest for c in a.axes} & contracted
    keys, values = _parted(along, contracted, shared)
    queries, after = _parted(rest, contracted, shared)
    if not shared:  # no products at all
        queries, keys, values, after = [], along, [], rest
    if not all(_compact(part, contracted - shared) for part in (queries, keys, values)):
        return None
    every = {c for a in term.top for c in a.axes}
    covered = contracted <= every and (place in {c for a in queries for c in a.axes} or not shared)
    outside = {c for a in after for c in a.axes} & contracted
    if not covered or outside or any(c >= rank and c not in term.consumed for c in every):
        return None
    if {c for a in values for c in a.axes} <= {c for a in keys for c in a.axes}:
        keys, values = keys + values, []
    under = [d for d in term.bottom if gone in d.axes]
    if any(not any(set(d.axes) <= set(a.axes) for a in values or keys) for d in under):
        return None
    return _Grouped(term, term.masks[0], axes, tuple(queries), tuple(keys), tuple(values), tuple(after))


def _sides(along: list[Arg], rest: list[Arg], place: int, contracted: set[int]) -> tuple[list[Arg], list[Arg]]:
    """Keys and queries, each with what is contracted with them, as far from one side as from the other."""
    sides = [along, [a for a in rest if place in a.axes]]
    left = [a for a in rest if place not in a.axes]
    growing = True
    while growing:
        growing = False
        for side in sides:
            reached = {c for a in side for c in a.axes} & contracted
            near = [a for a in left if set(a.axes) & reached]
            side += near
            left = [a for a in left if a not in near]
            growing |= bool(near)
    return sides[0], sides[1] + left


def _parted(factors: Sequence[Arg], contracted: set[int], shared: set[int]) -> tuple[list[Arg], list[Arg]]:
    """Those that are connected with shared axes by what is contracted, and the others."""
    reached, left = set(shared), list(factors)
    found: list[Arg] = []
    while True:
        more = [a for a in left if set(a.axes) & reached]
        if not more:
            return found, left
        found += more
        left = [a for a in left if a not in more]
        reached |= {c for a in more for c in a.axes} & contracted


def _compact(group: Sequence[Arg], inner: Iterable[int]) -> bool:
    """Whether the product of a group, summed over what is its own, is no larger than one of its factors."""
    kept = {c for a in group for c in a.axes} - set(inner)
    summed = any(set(a.axes) & set(inner) for a in group)
    return len(group) < 2 or summed or any(kept <= set(a.axes) for a in group)


# --- what is built ----------------------------------------------------------------------------------------------------


def _summed(scope: Scope, one: _Grouped, number: Number, bottom: Sequence[Arg]) -> Arg:
    term, gone = one.term, one.axes[1]
    groups = [group for group in (one.query, one.key, one.value) if group]
    if groups:
        groups[-1] = tuple(with_divisors(scope, list(groups[-1]), [d for d in bottom if gone in d.axes]))
        contracted = [c for c in term.consumed if c != gone]
        parts = [_multiplied(scope, group, groups, contracted) for group in groups]
        core = _prefix(scope, parts, one, [c for c in contracted if c in parts[0].axes])
    else:
        core = _count(scope, one)
    under = [not_of_nothing(scope, d, term.outside) for d in bottom if gone not in d.axes]
    return scope.multiply(Product(number, (core, *one.after), tuple(under)))


def _multiplied(scope: Scope, group: Group, groups: Sequence[Group], contracted: Iterable[int]) -> Arg:
    elsewhere = {c for other in groups if other is not group for a in other for c in a.axes}
    return contraction(scope, list(group), {c for a in group for c in a.axes} & set(contracted) - elsewhere)


def _prefix(scope: Scope, parts: list[Arg], one: _Grouped, shared: Sequence[int]) -> Arg:
    """From the end if the mask leaves what is not before the place."""
    place, gone = one.axes
    back, diagonal = one.mask.row == gone, one.mask.diagonal
    if back:
        parts = [turned(scope, part, gone if gone in part.axes else place) for part in parts]
        diagonal = diagonal + scope.sizes[gone] - scope.sizes[place]
    result = sorted({place, *(c for part in parts for c in part.axes)} - {gone, *shared})
    attrs = {"row": result.index(place), "column": len(result), "diagonal": diagonal}
    op = "prefix_product" if len(parts) > 1 else "prefix_sum"
    core = scope.build(op, parts, result, (gone, *shared), kind=scope.root.kind, attrs=attrs)
    return turned(scope, core, place) if back else core


def _count(scope: Scope, one: _Grouped) -> Arg:
    """How many positions each place sees."""
    place, gone = one.axes
    size, diagonal, at = scope.sizes[gone], one.mask.diagonal, scope.coordinate(place)
    if one.mask.row == gone:
        seen = scope.apply("sub", scope.size(size + diagonal), at)
    else:
        seen = scope.apply("add", at, scope.size(diagonal + 1))
    return scope.apply("minimum", scope.apply("maximum", seen, scope.number(0)), scope.size(size))
