"""Patterns of elementwise formulas, as data: variables, numbers, operations, and flattened sums and products.

In: a pattern and an operand in a `Scope`. Out: what the variables stand for, or None. What always holds: matching
changes nothing; the order of summands and factors, `neg`, `sub` and `div`, and where constants stand make no
difference.

`Product(0.5, (X, Op("tanh", X)))` is 0.5 * x * tanh(x) in every spelling; `over` are factors of the denominator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from namedlayers.plan import view
from namedlayers.plan.rule import root_key
from namedlayers.plan.view import Scope, constant
from namedlayers.program.graph import Arg

Bound = dict[str, Arg]


@dataclass(frozen=True, slots=True)
class Var:
    """Anything; the same thing wherever the name stands."""

    name: str


@dataclass(frozen=True, slots=True)
class Num:
    """A literal; any, where no value is given."""

    value: float | None


@dataclass(frozen=True, slots=True)
class Op:
    """An operation on operands, a reduction as `reduce sum`; of an activation or a statistic, its `function`."""

    op: str
    args: tuple[Pattern, ...]
    function: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """`number * product(factors) / product(over)`; variables stand last and stand for all that is left. A number that
    is not given may be any."""

    number: float | None
    factors: tuple[Pattern, ...]
    over: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """`number + sum(terms)`; the number may be any where it is not given."""

    number: float | None
    terms: tuple[Pattern, ...]


Pattern = Var | Num | Op | Product | Sum


def match(scope: Scope, pattern: Pattern, arg: Arg) -> Bound | None:
    """What the variables of `pattern` stand for in `arg`, the first way that fits."""
    return next(_match(scope, pattern, arg, {}), None)


# --- helpers ----------------------------------------------------------------------------------------------------------

COMMUTATIVE = frozenset("contract add mul maximum minimum logaddexp eq ne and or".split())


def _match(scope: Scope, pattern: Pattern, arg: Arg, bound: Bound) -> Iterator[Bound]:
    if isinstance(pattern, Var):
        if bound.get(pattern.name, arg) == arg:
            yield bound | {pattern.name: arg}
    elif isinstance(pattern, Num):
        value = constant(arg.node)
        if value is not None and not isinstance(value, bool) and _close(value, pattern.value):
            yield bound
    elif isinstance(pattern, Op):
        yield from _match_op(scope, pattern, arg, bound)
    elif isinstance(pattern, Product):
        yield from _match_scaled(scope, pattern, arg, bound)
        # Taken apart first: then no variable stands for a factor with a sign that its square would hide.
        for product in reversed(list(scope.products(arg))):
            yield from _match_product(scope, pattern, product, bound)
    else:
        for total in scope.sums(arg):
            yield from _match_sum(scope, pattern, total, bound)


def _match_op(scope: Scope, pattern: Op, arg: Arg, bound: Bound) -> Iterator[Bound]:
    if root_key(arg.node) != pattern.op or len(arg.node.args) != len(pattern.args):
        return
    if pattern.function and pattern.function not in dict(arg.node.attrs).values():
        return
    inner = scope.operands(arg)
    orders = [inner, inner[::-1]] if pattern.op in COMMUTATIVE else [inner]
    for order in orders:
        yield from _match_all(scope, pattern.args, order, bound)


def _match_all(scope: Scope, patterns: tuple[Pattern, ...], args: tuple[Arg, ...], bound: Bound) -> Iterator[Bound]:
    if not patterns:
        yield bound
        return
    for found in _match(scope, patterns[0], args[0], bound):
        yield from _match_all(scope, patterns[1:], args[1:], found)


def _match_scaled(scope: Scope, pattern: Product, arg: Arg, bound: Bound) -> Iterator[Bound]:
    """`number * x` where x has a constant factor of its own, that flattening would mix with the number."""
    if len(pattern.factors) != 1 or pattern.over or arg.node.op not in ("mul", "div", "neg"):
        return
    inner = scope.operands(arg)
    if arg.node.op == "neg":
        pairs = [(inner[0], -1.0)]
    else:
        pairs = [(a, value) for a, b in (inner, inner[::-1]) if (value := constant(b.node))]  # type: ignore[misc]
        if arg.node.op == "div":
            pairs = [(a, 1 / value) for a, value in pairs if a == inner[0]]
    for rest, number in pairs:
        if _close(number, pattern.number):
            yield from _match(scope, pattern.factors[0], rest, bound)


def _match_product(scope: Scope, pattern: Product, product: view.Product, bound: Bound) -> Iterator[Bound]:
    plain = tuple(p for p in pattern.factors if not isinstance(p, Var))
    variables = tuple(p for p in pattern.factors if isinstance(p, Var))
    if len(plain) > len(product.top) or len(pattern.over) > len(product.bottom):
        return
    for found, top in _choose(scope, plain, product.top, bound):
        for found_too, bottom in _choose(scope, pattern.over, product.bottom, found):
            yield from _absorb(scope, pattern.number, variables, product.number, top, bottom, found_too)


def _absorb(
    scope: Scope, wanted: float | None, variables: tuple[Var, ...], number: view.Number, top: tuple[Arg, ...],
    bottom: tuple[Arg, ...], bound: Bound,
) -> Iterator[Bound]:  # fmt: skip
    """The variables stand for the factors that are left."""
    if not variables:
        if not top and not bottom and _close(number, wanted):
            yield bound
        return
    name = variables[0].name
    if name in bound:
        part = scope.product(bound[name])
        if bound[name] in top:
            part = view.Product(1, (bound[name],), ())
        left, under = _without(top, part.top), _without(bottom, part.bottom)
        if left is not None and under is not None and part.number != 0:
            yield from _absorb(scope, wanted, variables[1:], number / part.number, left, under, bound)
    else:
        for k, factor in enumerate(top):
            rest = top[:k] + top[k + 1 :]
            yield from _absorb(scope, wanted, variables[1:], number, rest, bottom, bound | {name: factor})


def _match_sum(scope: Scope, pattern: Sum, total: view.Sum, bound: Bound) -> Iterator[Bound]:
    if len(pattern.terms) == len(total.terms) and _close(total.number, pattern.number):
        yield from _match_terms(scope, pattern.terms, total.terms, bound)


def _match_terms(
    scope: Scope, patterns: tuple[Pattern, ...], terms: tuple[tuple[int, Arg], ...], bound: Bound
) -> Iterator[Bound]:
    if not patterns:
        yield bound
        return
    for k, (sign, term) in enumerate(terms):
        pattern = patterns[0]
        if sign < 0:
            if not isinstance(pattern, Product):
                continue
            number = None if pattern.number is None else -pattern.number
            pattern = Product(number, pattern.factors, pattern.over)
        for found in _match(scope, pattern, term, bound):
            yield from _match_terms(scope, patterns[1:], terms[:k] + terms[k + 1 :], found)


def _choose(
    scope: Scope, patterns: tuple[Pattern, ...], args: tuple[Arg, ...], bound: Bound
) -> Iterator[tuple[Bound, tuple[Arg, ...]]]:
    """All ways to give each pattern one of the operands; with those that are left."""
    if not patterns:
        yield bound, args
        return
    for k, arg in enumerate(args):
        for found in _match(scope, patterns[0], arg, bound):
            yield from _choose(scope, patterns[1:], args[:k] + args[k + 1 :], found)


def _without(args: tuple[Arg, ...], gone: tuple[Arg, ...]) -> tuple[Arg, ...] | None:
    left = list(args)
    for arg in gone:
        if arg not in left:
            return None
        left.remove(arg)
    return tuple(left)


def _close(value: view.Number, wanted: float | None) -> bool:
    """Equal up to the rounding of a constant's own computation."""
    return wanted is None or abs(value - wanted) <= 1e-12 * abs(wanted)
