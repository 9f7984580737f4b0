"""Hat functions, `relu(1 - abs(u - i))` in any spelling, told by what they compute.

In: an operand. Out: the axis `i`, and `u` as something that is yet to be built. What always holds: the operand is 0 a
step and more from u, and falls in straight lines to both sides of it, at all points that are looked at: around the
corners, near and far. Coefficients of the axis and of what stands beside it may be numbers and sizes.

An operand is taken apart into a linear form of the axis and of what lacks it (`leaves`), plus values at many distances
d between the two; what is not linear may be done to a multiple of d only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from namedlayers.plan.rules.linear_forms import linear_form
from namedlayers.plan.view import Product, Scope, constant
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

Array = np.ndarray

LARGEST = 64
"""Up to which number a constant may move or stretch a hat: the points reach farther."""


@dataclass(frozen=True, slots=True)
class Scale:
    """`number * top / bottom`."""

    number: float
    top: SizeExpr = const(1)
    bottom: SizeExpr = const(1)

    def __mul__(self, other: Scale) -> Scale:
        return Scale(self.number * other.number, *_reduced(self.top * other.top, self.bottom * other.bottom))

    def over(self, other: Scale) -> Scale:
        return self * Scale(1 / other.number, other.bottom, other.top)

    def plus(self, other: Scale) -> Scale | None:
        """The sum, where both are multiples of one quotient of sizes."""
        if self.top * other.bottom != other.top * self.bottom:
            return None
        return Scale(self.number + other.number, self.top, self.bottom)

    @property
    def value(self) -> float:
        """Its value for some sizes."""
        sizes = {name: _some(name) for name in self.top.symbols | self.bottom.symbols}
        return self.number * self.top.evaluate(sizes) / self.bottom.evaluate(sizes)


@dataclass(frozen=True, slots=True)
class Hat:
    """`height` times the hat along `axis` at the sum of `terms`, plus `shift`."""

    axis: int
    terms: tuple[tuple[Arg, Scale], ...]
    shift: float
    height: float = 1.0

    @property
    def axes(self) -> frozenset[int]:
        """Those along which hats differ in their places."""
        return frozenset(axis for leaf, _ in self.terms for axis in leaf.axes)

    def place(self, scope: Scope) -> Arg:
        """Where it is 1."""
        total: Arg | None = None
        for leaf, scale in self.terms:
            term = _scaled(scope, leaf, abs(scale.number), scale)
            if total is None:
                total = scope.apply("neg", term) if scale.number < 0 else term
            else:
                total = scope.apply("sub" if scale.number < 0 else "add", total, term)
        assert total is not None
        if self.shift:
            shift = scope.number(abs(self.shift))
            total = scope.apply("add" if self.shift > 0 else "sub", total, shift)
        return total


@dataclass(frozen=True, slots=True)
class Bump:
    """0 a step and more from some place, but no hat."""


def hat(scope: Scope, arg: Arg, axis: int) -> Hat | Bump | None:
    """The hat along an axis that `arg` is."""
    if arg.node.op in _PLAIN or arg.node.kind is not Kind.REAL or arg.axes.count(axis) != 1:
        return None
    seen = _seen(_Looking(scope, axis), arg) or _seen(_Looking(scope, axis, deep=True), arg)
    if seen is None:
        return None
    looking, values = seen
    assert looking.form is not None
    for shift in sorted({near + step for near in looking.shifts for step in (0, 1, -1)}, key=lambda s: (abs(s), s)):
        wanted = np.maximum(1 - np.abs(_POINTS + shift), 0)
        height = _plain_number(values[wanted.argmax()] / wanted.max())
        if height and _equal(values, height * wanted):
            return Hat(axis, tuple(looking.form.items()), float(shift), height)
    return Bump() if not values[np.abs(_POINTS) > LARGEST].any() and np.isfinite(values).all() else None


# --- helpers ----------------------------------------------------------------------------------------------------------

_STEPS = np.arange(-8, 8 + 1 / 16, 1 / 8)
_POINTS: Array = np.concatenate([
    _STEPS, _STEPS + 1e-3, _STEPS - 1e-3, np.random.default_rng(0).uniform(-LARGEST, LARGEST, 48),
    np.arange(-LARGEST, LARGEST + 1, 4) + 0.3, [70.5, 1e3, 12345.678, 1e6, -70.5, -1e3, -12345.678, -1e6],
])  # fmt: skip
"""Distances u - i: around the corners of hats, and elsewhere."""

_TAKEN_APART = frozenset({"add", "sub", "neg"})

MOST_NODES = 40
"""So many operations deep a hat may be."""

_PLAIN = frozenset({"coord", "const", "size", "input"})


@dataclass(frozen=True, slots=True)
class _Value:
    """The linear form of the axis (under None) and of leaves; and what is added, at each of the points."""

    form: Mapping[Arg | None, Scale]
    values: Array


def _seen(looking: _Looking, arg: Arg) -> tuple[_Looking, Array] | None:
    """What an operand is at all points, if it is a function of the distance alone."""
    found = looking.value(arg, 0)
    if found is None or found.form or not looking.form:
        return None
    return looking, np.broadcast_to(found.values, _POINTS.shape)


@dataclass(slots=True)
class _Looking:
    """`form`: what u is, found where the first thing is done that is not linear; `shifts`: what has been added to u.
    `deep`: sums that lack the axis are taken apart, too. (Else u is computed as the text says.)"""

    scope: Scope
    axis: int
    deep: bool = False
    form: dict[Arg, Scale] | None = None
    shifts: set[float] = field(default_factory=lambda: {0.0})
    count: int = 0

    def value(self, arg: Arg, depth: int) -> _Value | None:
        self.count += 1
        if self.count > MOST_NODES or depth > MOST_NODES:
            return None
        node = arg.node
        number = constant(node)
        if number is not None:
            return None if isinstance(number, complex) else _Value({}, np.asarray(float(number)))
        if node.op == "coord" and arg.axes == (self.axis,):
            return _Value({None: Scale(1)}, np.asarray(0.0))
        if self.axis not in arg.axes and not (self.deep and node.op in _TAKEN_APART):
            return _Value({arg: Scale(1)}, np.asarray(0.0)) if node.kind < Kind.COMPLEX else None
        if node.rank < len(node.space):
            return None
        if node.op in ("mul", "div"):
            scaled = self._multiple(arg, depth)
            if scaled is not None:
                return scaled
        parts = [self.value(one, depth + 1) for one in self.scope.operands(arg)]
        if any(part is None for part in parts):
            return None
        given = [part for part in parts if part is not None]
        if node.op == "neg":
            return _times(given[0], Scale(-1))
        if node.op in ("add", "sub"):
            return _sum(given[0], given[1], 1 if node.op == "add" else -1)
        return self._function(node, given)

    def _multiple(self, arg: Arg, depth: int) -> _Value | None:
        """A number or a size times something, or something divided by it."""
        first, second = self.scope.operands(arg)
        pairs = ((first, second),) if arg.node.op == "div" else ((first, second), (second, first))
        for inner, beside in pairs:
            scale = _scale(self.scope, beside)
            if scale is not None and scale.number:
                part = self.value(inner, depth + 1)
                if part is None:
                    return None
                return _times(part, scale if arg.node.op == "mul" else Scale(1).over(scale))
        return None

    def _function(self, node: Node, given: list[_Value]) -> _Value | None:
        """What is done to distances. The larger of two things that differ by a distance is one of them, plus that."""
        if node.op in ("maximum", "minimum") and given[0].form and given[1].form:
            apart = _sum(given[0], given[1], -1)
            between = self._settled(apart) if apart is not None else None
            if between is None:
                return None
            more = np.maximum(between, 0) if node.op == "maximum" else np.minimum(between, 0)
            return _sum(given[1], _Value({}, more), 1)
        if node.op in _COMPARISONS:
            apart = _sum(given[0], given[1], -1)
            given = [apart, _Value({}, np.asarray(0.0))] if apart is not None else given
        function = _FUNCTIONS.get(str(node.attr("function")) if node.op == "activation" else node.op)
        settled = [self._settled(one) for one in given]
        if function is None or any(one is None for one in settled):
            return None
        with np.errstate(all="ignore"):
            return _Value({}, np.asarray(function(*settled), float))

    def _settled(self, value: _Value) -> Array | None:
        """The value at each point, of something in which nothing but a multiple of the distance is left."""
        if not value.form:
            return value.values
        own = value.form.get(None)
        if own is None or not own.number or len(value.form) < 2:
            return None
        minus = own * Scale(-1)
        form = {leaf: scale.over(minus) for leaf, scale in value.form.items() if leaf is not None}
        if self.form is None:
            self.form = form
        elif not _alike(self.form, form):
            return None
        if not value.values.ndim:
            shift = float(value.values) / minus.value
            self.shifts |= {shift} if abs(shift) < LARGEST / 2 else set()
        return minus.value * _POINTS + value.values


def _where(condition: Array, yes: Array, no: Array) -> Array:
    return np.where(condition != 0, yes, no)


_COMPARISONS: Mapping[str, Callable[..., Array]] = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    **_COMPARISONS, "mul": np.multiply, "div": np.divide, "abs": np.abs, "maximum": np.maximum,
    "minimum": np.minimum, "relu": lambda x: np.maximum(x, 0), "clip": lambda x, lo, hi: np.clip(x, lo, hi),
    "where": _where, "sqrt": np.sqrt, "pow": np.power, "cast": np.asarray,
    "and": lambda a, b: (a != 0) & (b != 0), "or": lambda a, b: (a != 0) | (b != 0), "not": lambda a: a == 0,
    "sign": np.sign, "lerp": lambda a, b, w: a + w * (b - a),
    "leaky_relu": lambda x, slope: _where(x > 0, x, slope * x), "threshold": lambda x, t, v: _where(x > t, x, v),
}  # fmt: skip


def _sum(first: _Value, second: _Value, sign: int) -> _Value | None:
    form = dict(first.form)
    for leaf, scale in second.form.items():
        scale = scale * Scale(sign)
        total = form[leaf].plus(scale) if leaf in form else scale
        if total is None:
            return None
        form[leaf] = total
    return _Value({leaf: scale for leaf, scale in form.items() if scale.number}, first.values + sign * second.values)


def _times(value: _Value, scale: Scale) -> _Value:
    return _Value({leaf: one * scale for leaf, one in value.form.items()}, value.values * scale.value)


def _scale(scope: Scope, arg: Arg) -> Scale | None:
    """A number, a size, or a product of such."""
    if arg.axes:
        return None
    number = constant(arg.node)
    if number is not None:
        return None if isinstance(number, complex) else Scale(float(number))
    form = linear_form(scope, arg)
    if form is not None:
        return Scale(1.0, form[None]) if set(form) == {None} else None
    product = scope.own_product(arg)
    if arg in product.top or isinstance(product.number, complex):
        return None
    found = Scale(float(product.number))
    for sign, parts in ((1, product.top), (-1, product.bottom)):
        for part in parts:
            scale = _scale(scope, part)
            if scale is None or not scale.number:
                return None
            found = found * scale if sign > 0 else found.over(scale)
    return found


def _scaled(scope: Scope, leaf: Arg, number: float, scale: Scale) -> Arg:
    top, bottom = scale.top, scale.bottom
    if number == 1 and top == 1 and bottom == 1:
        return leaf
    plain = int(number) if number.is_integer() else number
    sizes = () if top == 1 else (scope.size(top),)
    under = () if bottom == 1 else (scope.size(bottom),)
    return scope.multiply(Product(plain, (leaf, *sizes), under))


def _reduced(top: SizeExpr, bottom: SizeExpr) -> tuple[SizeExpr, SizeExpr]:
    """A quotient of sizes, which are not 0, without what stands on both sides."""
    if top == bottom:
        return const(1), const(1)
    for one, other, turned in ((top, bottom, False), (bottom, top, True)):
        if other != 0 and (one // other) * other == one:
            found = one // other
            return (const(1), found) if turned else (found, const(1))
    return top, bottom


def _alike(first: Mapping[Arg, Scale], second: Mapping[Arg, Scale]) -> bool:
    if first.keys() != second.keys():
        return False
    pairs = ((first[leaf], second[leaf]) for leaf in first)
    return all(
        math.isclose(a.number, b.number, rel_tol=1e-12) and a.top * b.bottom == b.top * a.bottom for a, b in pairs
    )


def _some(name: str) -> int:
    """A size for a symbol, another one for another name."""
    return 11 + 2 * (sum(ord(c) * (k + 1) for k, c in enumerate(name)) % 47)


def _plain_number(value: float) -> float:
    """Without the rounding of what it was computed from."""
    return round(value) if abs(value - round(value)) < 1e-9 else float(value)


def _equal(found: Array, wanted: Array) -> bool:
    return bool(np.all(np.isfinite(found))) and bool(np.all(np.abs(found - wanted) <= 1e-9 * (1 + np.abs(wanted))))
