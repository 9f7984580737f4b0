"""One term of a sum up to each place: its factors as queries, keys and values, and the nodes that add it up.

In: a `Term` of the expansion, of which no factor has both the axis of the places, which stays, and that of the
positions, which is summed over; its marks are triangular masks and decays. Out: `Grouped`, or None where it is no
product of queries with keys; and its value. What always holds: what is larger than the factors that it is made of is
never built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from namedlayers.plan.rules.contractions.contraction import contraction, with_divisors
from namedlayers.plan.rules.contractions.expansion import Term
from namedlayers.plan.rules.contractions.sharing import not_of_nothing
from namedlayers.plan.rules.linear_forms import Triangle
from namedlayers.plan.rules.places.decays import Axes, Decay, built
from namedlayers.plan.rules.places.triangles import turned
from namedlayers.plan.view import Product, Scope
from namedlayers.program.graph import Arg

FEW = 2
"""Along an axis of so many, a product that is larger than each of its factors may be built."""

Group = tuple[Arg, ...]
"""Factors that are multiplied, and summed over the axes that no other group has."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """A term as queries, keys, values (none if all are keys), and what is multiplied by in the end. There may be keys
    alone, and none of them."""

    term: Term
    mask: Triangle
    axes: Axes
    query: Group
    key: Group
    value: Group
    after: Group
    decays: tuple[Decay, ...] = ()

    @property
    def outside(self) -> set[int]:
        """The axes that quotients are summed over: where one is empty, there is no quotient."""
        return set(self.term.consumed) - set(self.term.above)


def seen(term: Term) -> Triangle | None:
    """What all masks of a term leave, if that is a triangle."""
    masks = [mark for mark in term.marks if isinstance(mark, Triangle)]
    return next((one for one in masks if all(one.lies_in(other) for other in masks)), None)


def is_nothing(term: Term) -> bool:
    """Whether its masks leave nothing."""
    masks = [mark for mark in term.marks if isinstance(mark, Triangle)]
    return any(one.misses(other) for one, other in combinations(masks, 2))


def grouped(scope: Scope, term: Term, axes: Axes) -> Grouped | None:
    """A term by what its factors do; None where it is no product of queries with keys."""
    rank = scope.root.rank
    place, gone = axes
    mask = seen(term)
    if mask is None or gone not in term.consumed:
        return None
    contracted = set(term.consumed) - {gone}
    decays = tuple(mark for mark in term.marks if isinstance(mark, Decay))
    if any(gone not in d.axes and set(d.axes) & contracted for d in term.bottom):
        return None
    along = [a for a in term.top if gone in a.axes]
    rest = [a for a in term.top if gone not in a.axes]
    along, rest = _sides(along, rest, place, contracted)
    shared = {c for a in along for c in a.axes} & {c for a in rest for c in a.axes} & contracted
    if any(decay.axes & contracted - shared for decay in decays):
        return None
    keys, values = _parted(along, contracted, shared)
    queries, after = _parted(rest, contracted, shared)
    if not shared:  # no products at all
        queries, keys, values, after = [], along, [], rest
    if not all(_compact(scope, part, contracted - shared) for part in (queries, keys, values)):
        return None
    every = {c for a in term.top for c in a.axes}.union(*(decay.axes for decay in decays))
    covered = contracted <= every and (place in {c for a in queries for c in a.axes} or not shared)
    outside = {c for a in after for c in a.axes} & contracted
    if not covered or outside or any(c >= rank and c not in term.consumed for c in every):
        return None
    if {c for a in values for c in a.axes} <= {c for a in keys for c in a.axes}:
        keys, values = keys + values, []
    under = [d for d in term.bottom if gone in d.axes]
    if any(not any(set(d.axes) <= set(a.axes) for a in values or keys) for d in under):
        return None
    if decays and not keys or not all(decay.holds_in(mask, axes) for decay in decays):
        return None
    return Grouped(term, mask, axes, tuple(queries), tuple(keys), tuple(values), tuple(after), decays)


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


def _compact(scope: Scope, group: Sequence[Arg], inner: Iterable[int]) -> bool:
    """Whether the product of a group, summed over what is its own, is hardly larger than one of its factors."""
    kept = {c for a in group for c in a.axes if not 0 < (scope.sizes[c].value or 0) <= FEW} - set(inner)
    summed = any(set(a.axes) & set(inner) for a in group)
    return len(group) < 2 or summed or any(kept <= set(a.axes) for a in group)


# --- what is built ----------------------------------------------------------------------------------------------------


def summed(scope: Scope, one: Grouped) -> Arg:
    term, gone = one.term, one.axes[1]
    groups = [group for group in (one.query, one.key, one.value) if group]
    if groups:
        groups[-1] = tuple(with_divisors(scope, list(groups[-1]), [d for d in term.bottom if gone in d.axes]))
        contracted = [c for c in term.consumed if c != gone]
        parts = [_multiplied(scope, group, groups, contracted) for group in groups]
        core, beside = _prefix(scope, parts, one, [c for c in contracted if c in parts[0].axes])
    else:
        core, beside = _count(scope, one), []
    under = [not_of_nothing(scope, d, one.outside) for d in term.bottom if gone not in d.axes]
    return scope.multiply(Product(term.number, (core, *beside, *one.after), tuple(under)))


def _multiplied(scope: Scope, group: Group, groups: Sequence[Group], contracted: Iterable[int]) -> Arg:
    elsewhere = {c for other in groups if other is not group for a in other for c in a.axes}
    return contraction(scope, list(group), {c for a in group for c in a.axes} & set(contracted) - elsewhere)


def _prefix(scope: Scope, parts: list[Arg], one: Grouped, shared: Sequence[int]) -> tuple[Arg, list[Arg]]:
    """From the end if the mask leaves what is not before the place; and what decays leave to be multiplied by."""
    place, gone = one.axes
    back, diagonal = one.mask.row == gone, one.mask.diagonal
    if back:
        parts = [turned(scope, part, gone if gone in part.axes else place) for part in parts]
        diagonal = diagonal + scope.sizes[gone] - scope.sizes[place]
    decays, beside = built(scope, one.decays, one.axes, diagonal, back)
    for x in [x for x in beside if set(x.axes) & set(shared)]:  # summed over, so it goes into the queries
        parts[0] = scope.apply("mul", parts[0], x)
        beside.remove(x)
    op = "prefix_product" if len(parts) > 1 else "prefix_sum"
    parts += [part for _, of in decays for part in of]
    result = sorted({place, *(c for part in parts for c in part.axes)} - {gone, *shared})
    names = tuple(name for name, _ in decays)
    attrs = {"row": result.index(place), "column": len(result), "diagonal": diagonal, "decays": names}
    core = scope.build(op, parts, result, (gone, *shared), kind=scope.root.kind, attrs=attrs)
    return turned(scope, core, place) if back else core, beside


def _count(scope: Scope, one: Grouped) -> Arg:
    """How many positions each place sees."""
    place, gone = one.axes
    size, diagonal, at = scope.sizes[gone], one.mask.diagonal, scope.coordinate(place)
    if one.mask.row == gone:
        seen = scope.apply("sub", scope.size(size + diagonal), at)
    else:
        seen = scope.apply("add", at, scope.size(diagonal + 1))
    return scope.apply("minimum", scope.apply("maximum", seen, scope.number(0)), scope.size(size))
