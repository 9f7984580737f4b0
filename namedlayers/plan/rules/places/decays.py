"""By what a product of a place and a position counts less, the further back the position lies.

In: a factor with both axes. Out: `Decay`s, and factors that lack one of the axes, of which it is the product; or None.
What always holds: a decay D has D(t, s) = D(t, r) D(r, s) for whatever lies between: `g ^ (t - s)`, `exp((t - s) * r)`,
`exp(a[t] - b[s])`, and any product of these. On one side of a diagonal `abs(t - s)` is such a difference, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from namedlayers.plan.rules.build import negative
from namedlayers.plan.rules.linear_forms import Triangle, linear_form
from namedlayers.plan.rules.places.triangles import turned
from namedlayers.plan.rules.places.two_sided import unfolded
from namedlayers.plan.view import Number, Product, Scope, constant
from namedlayers.program.graph import Arg
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

Axes = tuple[int, int]
"""The axis of the places, and that of the positions."""


@dataclass(frozen=True, slots=True)
class Decay:
    """`power` (b): b ^ (step * (t - s) + offset); `rate` (r): such a power of exp(r); `between` (a, b): exp(a - b), a
    along the places, b along the positions. `whole`: a power of a whole number, which is one where the exponent is no
    less than 0, and only there."""

    name: Literal["power", "rate", "between"]
    parts: tuple[Arg, ...]
    step: SizeExpr = const(1)
    offset: SizeExpr = const(0)
    whole: bool = False

    def holds_in(self, half: Triangle, axes: Axes) -> bool:
        """Whether what is seen leaves each exponent what it may be."""
        if not self.whole:
            return True
        back = self.step if half.row == axes[0] else -self.step
        return (back - 1).nonnegative and (self.offset - back * half.diagonal).nonnegative

    @property
    def axes(self) -> set[int]:
        return {axis for part in self.parts for axis in part.axes}


@dataclass(frozen=True, slots=True)
class Decayed:
    """A product of decays and of factors without one of the axes."""

    decays: tuple[Decay, ...]
    factors: tuple[Arg, ...] = ()


def decayed(scope: Scope, arg: Arg, axes: Axes, half: Triangle | None = None) -> Decayed | None:
    """What a factor with both axes is the product of: everywhere, or in a half of all pairs."""
    if arg.node.op == "exp" and arg.node.kind is Kind.REAL:
        return _of_exponential(scope, scope.operands(arg)[0], axes, half)
    if arg.node.op != "pow" or arg.node.kind not in (Kind.REAL, Kind.INT):
        return None
    base, exponent = scope.operands(arg)
    found = _distance(scope, exponent, axes, half)
    whole = arg.node.kind is Kind.INT
    if found is None or set(base.axes) & set(axes):
        return None
    if not whole and base.node.kind is not Kind.REAL and constant(base.node) is None:
        return None
    return Decayed((Decay("power", (_real(scope, base) if whole else base,), *found, whole),))


def built(
    scope: Scope, decays: Sequence[Decay], axes: Axes, diagonal: SizeExpr, back: bool
) -> tuple[list[tuple[str, tuple[Arg, ...]]], list[Arg]]:  # fmt: skip
    """The decays of a `prefix_product` that sees the positions up to `diagonal` beyond a place, with both axes read
    from the end if `back`; and what is multiplied by besides."""
    found: list[tuple[str, tuple[Arg, ...]]] = []
    beside: list[Arg] = []
    for decay in decays:
        if decay.name == "between":
            turn = [turned(scope, x, c) if back else x for x, c in zip(decay.parts, axes, strict=True)]
            found.append((decay.name, tuple(turn)))
            continue
        (of,), step, offset = decay.parts, decay.step, decay.offset
        if back:  # t - s is |t| - |s| less what it is from the ends
            offset, step = offset + step * (scope.sizes[axes[0]] - scope.sizes[axes[1]]), -step
        if step != 1:
            of = _of_steps(scope, decay.name, of, step)
        found.append((decay.name, (of,)))
        rest = offset - step * diagonal
        if rest != 0:
            whole = _of_steps(scope, decay.name, decay.parts[0], rest)
            beside.append(whole if decay.name == "power" else scope.apply("exp", whole))
    return found, beside


# --- helpers ----------------------------------------------------------------------------------------------------------


def _real(scope: Scope, base: Arg) -> Arg:
    value = constant(base.node)
    if isinstance(value, int):
        return scope.number(float(value))
    return scope.build("cast", (base,), sorted(base.axes), kind=Kind.REAL, attrs={"kind": Kind.REAL})


def _of_steps(scope: Scope, name: str, of: Arg, count: SizeExpr) -> Arg:
    """A base to a power, or a rate as often."""
    if name == "power":
        value = constant(of.node)
        if value is not None and not isinstance(value, complex) and count.value is not None and value:
            return scope.number(float(value) ** count.value)
        return scope.apply("pow", of, scope.size(count), kind=Kind.REAL)
    return negative(scope, of) if count == -1 else scope.apply("mul", of, scope.size(count))


def _distance(scope: Scope, arg: Arg, axes: Axes, half: Triangle | None) -> tuple[SizeExpr, SizeExpr] | None:
    """step and offset of step * (t - s) + offset"""
    if not set(axes) <= set(arg.axes):
        return None
    known = (lambda one: unfolded(scope, one, half)) if half is not None else (lambda one: None)
    form = linear_form(scope, arg, known)
    if form is None or set(form) - {None} != set(axes):
        return None
    place, gone = axes
    return (form[place], form.get(None, const(0))) if form[place] + form[gone] == 0 else None


def _of_exponential(scope: Scope, exponent: Arg, axes: Axes, half: Triangle | None) -> Decayed | None:
    """Of the exponent's terms, those with both axes are rates; the others have one axis or none."""
    total = scope.sum(exponent)
    rates: list[Decay] = []
    sides: tuple[list[Arg], list[Arg]] = ([], [])
    for sign, term in total.terms:
        if set(axes) <= set(term.axes):
            rate = _rate(scope, term, sign, axes, half)
            if rate is None:
                return None
            rates.append(rate)
        else:
            sides[axes[1] in term.axes].append(term if sign > 0 else negative(scope, term))
    places, positions = (_added(scope, one) for one in sides)
    if total.number != 0:
        number = scope.number(total.number)
        places = number if places is None else scope.apply("add", places, number)
    if places is not None and positions is not None and places.axes:
        return Decayed((*rates, Decay("between", (places, negative(scope, positions)))))
    rest = [scope.apply("exp", one) for one in (places, positions) if one is not None]
    return Decayed(tuple(rates), tuple(rest)) if rates else None


def _rate(scope: Scope, term: Arg, sign: Number, axes: Axes, half: Triangle | None) -> Decay | None:
    """r * (t - s), r without both axes"""
    product = scope.product(term)
    both = [one for one in product.top if set(one.axes) & set(axes)]
    if len(both) != 1 or any(set(one.axes) & set(axes) for one in product.bottom):
        return None
    found = _distance(scope, both[0], axes, half)
    if found is None:
        return None
    rest = tuple(one for one in product.top if one is not both[0])
    return Decay("rate", (scope.multiply(Product(product.number * sign, rest, product.bottom)),), *found)


def _added(scope: Scope, terms: Sequence[Arg]) -> Arg | None:
    total: Arg | None = None
    for term in terms:
        total = term if total is None else scope.apply("add", total, term)
    return total
