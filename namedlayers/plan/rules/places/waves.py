"""Cosines and sines of angles along several axes, as products: cos(a - b) = cos a cos b + sin a sin b.

A factor `cos(w * (t - s))` ties each place to each position; two products over an axis of two do not, so that a
contraction may be planned through them: linear attention that is weighed by a cosine (CosFormer), scores that depend on
turned distances, kernels of random Fourier features. What always holds: no angle of a product has all axes of the
whole; angles that are multiples of coordinates are taken in double precision.

Each product is right to a rounding of 1. So is, where an angle is multiplied or added up before it, the cosine of the
text, whose angle is no less than 1 where the cosine is small. A sine that is small has a small angle, of which the text
keeps all digits, and slopes of angles that are data are sines: these rules take `numerics="fast"`. Whether any of this
is cheaper depends on what is done with the factor: `plan/alternatives.py` weighs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations

from namedlayers.plan.plan import Event
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.rules.linear_forms import Form, linear_form
from namedlayers.plan.view import Number, Product, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.program.terms import BINARY, UNARY

NAME = "addition theorem"
IN_ERROR = f"{NAME}, in error by up to 4 eps of what the wave is multiplied by"

_PARTS = {"cos": (("cos", "sin"), ("cos", "sin")), "sin": (("cos", "sin"), ("-sin", "cos"))}
"""What two angles become, the second of which is subtracted, along the axis that is summed over."""

_FIXED = frozenset({*UNARY, *BINARY, "const", "size", "coord", "cast", "expand"})
"""What angles that no input has a part in are made of."""


@dataclass(frozen=True, slots=True)
class Multiple:
    """`rate * step * coordinate`"""

    rate: Arg
    step: SizeExpr
    coordinate: int

    @property
    def axes(self) -> set[int]:
        return {*self.rate.axes, self.coordinate}


@dataclass(frozen=True, slots=True)
class Angle:
    """What is added up to an angle, the multiples of coordinates apart."""

    terms: tuple[tuple[int, Arg], ...] = ()
    """With signs."""
    multiples: tuple[Multiple, ...] = ()

    @property
    def axes(self) -> set[int]:
        return {c for _, one in self.terms for c in one.axes}.union(*(one.axes for one in self.multiples))

    @property
    def is_negative(self) -> bool:
        signs = [sign < 0 for sign, _ in self.terms] + [(-one.step).nonnegative for one in self.multiples]
        return all(signs)

    @property
    def opposite(self) -> Angle:
        multiples = tuple(replace(one, step=-one.step) for one in self.multiples)
        return Angle(tuple((-sign, one) for sign, one in self.terms), multiples)


def _match(scope: Scope, node: Node, fixed: bool) -> Outcome:
    if node.kind is not Kind.REAL or node.rank < 2 or fixed != (node.op == "cos" and _is_fixed(node)):
        return None
    angle = _angle(scope, node.args[0])
    halves = _parted(angle, range(node.rank)) if angle is not None else None
    if halves is not None and node.op == "cos" and halves[0].is_negative:
        halves = halves[0].opposite, halves[1].opposite
    return Match(halves) if halves is not None else None


def _build(scope: Scope, node: Node, found: tuple[Angle, Angle]) -> Arg:
    part = scope.fresh(const(2), "part")
    waves = [_wave(scope, angle, part, parts) for angle, parts in zip(found, _PARTS[node.op], strict=True)]
    return contraction(scope, waves, {part})


RULES = (
    Rule(NAME, "algebraic", ("cos",), lambda scope, node: _match(scope, node, True), _build),
    Rule(
        IN_ERROR,
        "conditioned",
        ("cos", "sin"),
        lambda scope, node: _match(scope, node, False),
        _build,
        loses="a sine that is small, or a slope that is one, is made of what is not small",
    ),
)


def is_product(node: Node) -> bool:
    """Whether a node is a wave made of two, and nothing else."""
    of_two = node.op == "contract" and len(node.args) == 2 and len(node.space) == node.rank + 1
    return of_two and all(arg.node.op == "wave" for arg in node.args)


def refused(event: Event) -> Event:
    """What is said where digits may not be lost."""
    (rule,) = (one for one in RULES if one.name == event.rule)
    return replace(event, near=rule.refusal)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_fixed(node: Node) -> bool:
    """Whether no input has a part in a value."""
    waiting, seen = [node], {node.number}
    while waiting:
        one = waiting.pop()
        if one.op not in _FIXED:
            return False
        waiting += [arg.node for arg in one.args if arg.node.number not in seen]
        seen |= {arg.node.number for arg in one.args}
    return True


def _angle(scope: Scope, arg: Arg) -> Angle | None:
    """An angle as a sum; products with sums of several axes are multiplied out."""
    total = scope.sum(arg)
    found = Angle(((1, scope.number(total.number)),) if total.number != 0 else ())
    for sign, term in total.terms:
        more = _term(scope, sign, term)
        if more is None:
            return None
        found = Angle(found.terms + more.terms, found.multiples + more.multiples)
    return found


def _term(scope: Scope, sign: int, term: Arg) -> Angle | None:
    """One term of an angle."""
    whole = scope.product(term)
    sums = [one for one in whole.top if len(one.axes) > 1 and (one.node.op in _SUMS or _form(scope, one))]
    if not sums:
        return Angle(((sign, term),))
    if len(sums) > 1 or any(len(one.axes) > 1 and one.node.op in _SUMS for one in whole.bottom):
        return None
    rest = tuple(one for one in whole.top if one is not sums[0])
    if not isinstance(whole.number, complex) and whole.number < 0:
        sign, whole = -sign, replace(whole, number=-whole.number)

    def times(number: Number, *parts: Arg) -> Arg:
        return scope.multiply(Product(whole.number * number, rest + parts, whole.bottom))

    form = _form(scope, sums[0])
    if form is not None:
        multiples = tuple(Multiple(times(1), step * sign, c) for c, step in form.items() if c is not None)
        return Angle(((sign, times(1, scope.size(form[None]))),) if None in form else (), multiples)
    inner = scope.sum(sums[0])
    terms = [(sign * k, times(1, part)) for k, part in inner.terms]
    return Angle((*terms, (sign, times(inner.number))) if inner.number != 0 else tuple(terms))


_SUMS = frozenset({"add", "sub"})


def _form(scope: Scope, arg: Arg) -> Form | None:
    """A linear form of several coordinates."""
    form = linear_form(scope, arg) if len(arg.axes) > 1 else None
    return form if form is not None and len(set(form) - {None}) > 1 else None


def _parted(angle: Angle, axes: Iterable[int]) -> tuple[Angle, Angle] | None:
    """Two angles, of which each lacks an axis that the other has: the first that there are."""
    for x, y in combinations(axes, 2):
        first, second = (
            Angle(
                tuple((sign, one) for sign, one in angle.terms if (y in one.axes) == far),
                tuple(one for one in angle.multiples if (y in one.axes) == far),
            )
            for far in (False, True)
        )
        apart = x in first.axes and y in second.axes and x not in second.axes
        if apart and len(first.multiples) < 2 and len(second.multiples) < 2:
            return first, second.opposite
    return None


def _wave(scope: Scope, angle: Angle, part: int, parts: tuple[str, ...]) -> Arg:
    """The functions `parts` of an angle, along an axis."""
    total: Arg | None = None
    for sign, term in sorted(angle.terms, key=lambda one: -one[0]):
        if total is None:
            total = term if sign > 0 else negative(scope, term)
        else:
            total = scope.apply("add" if sign > 0 else "sub", total, term)
    operands = [scope.number(0.0) if total is None else total]
    for one in angle.multiples:
        place = scope.coordinate(one.coordinate)
        operands += [one.rate, place if one.step == 1 else scope.apply("mul", place, scope.size(one.step))]
    result = [*sorted({c for one in operands for c in one.axes}), part]
    attrs = {"axis": len(result) - 1, "parts": parts}
    return scope.build("wave", operands, result, kind=Kind.REAL, attrs=attrs)
