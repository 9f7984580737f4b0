"""Layers that normalise: standardize, with its affine parameters (layer_norm), and rms_norm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import (
    count,
    divisor,
    inverse_root,
    renaming,
    square_of,
    square_root,
    statistic,
    sum_of_squares,
)
from namedlayers.plan.rules.normalising.statistics import centred
from namedlayers.plan.view import Product, Scope, Sum, constant
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Found = tuple[Arg, Arg, tuple[int, ...], Product]

_AFFINE = ("standardize", "batch_norm", "group_norm", "rms_norm")


def _radicands(scope: Scope) -> list[tuple[Arg, Arg, Product]]:
    """`(root, what it is the root of, the other factors)` for every factor 1 / sqrt(v) of the scope's root."""
    return [found for product in scope.products(scope.whole()) for found in _radicands_of(scope, product)]


def _radicands_of(scope: Scope, product: Product) -> list[tuple[Arg, Arg, Product]]:
    found = []
    for k, part in enumerate(product.bottom):
        inner = square_root(scope, part)
        rest = Product(product.number, product.top, product.bottom[:k] + product.bottom[k + 1 :])
        if inner is not None:
            found.append((part, inner, rest))
        elif part.node.op == "statistic" and part.node.attr("op") == "std":
            found.append((part, part, rest))
    for k, part in enumerate(product.top):
        inner = inverse_root(scope, part)
        if inner is not None:
            found.append((part, inner, Product(product.number, product.top[:k] + product.top[k + 1 :], product.bottom)))
    return found


def _with_eps(scope: Scope, radicand: Arg) -> list[tuple[Arg, Arg]]:
    """`(v, eps)` for every way to see the radicand as v + eps."""
    total = scope.sum(radicand)
    if len(total.terms) == 1 and total.terms[0][0] > 0:
        return [(total.terms[0][1], scope.number(float(abs(total.number))))] if _real(total.number) else []
    if len(total.terms) == 2 and total.number == 0 and all(sign > 0 for sign, _ in total.terms):
        (_, a), (_, b) = total.terms
        return [(v, eps) for v, eps in ((a, b), (b, a)) if not eps.node.rank]
    return []


def _real(number: object) -> bool:
    return not isinstance(number, complex) and number >= 0  # type: ignore[operator]


def _standardize(scope: Scope, node: Node) -> Outcome:
    """(x - mean(x)) / sqrt(var(x) + eps), times anything"""
    near = None
    for root, radicand, rest in _radicands(scope):
        for v, eps in _with_eps(scope, radicand):
            variance = statistic(scope, v, "std" if v is root else "var")
            if variance is None:
                if v.node.op == "statistic" and v.node.attr("op") in ("var", "std"):
                    near = Near(f"the variance is taken with ddof {v.node.attr('ddof')}, the kernel's with 0")
                continue
            for k, d in enumerate(rest.top):
                axes = _centred_axes(scope, d, variance)
                if axes is not None and len(d.axes) == len(set(d.axes)):
                    left = Product(rest.number, rest.top[:k] + rest.top[k + 1 :], rest.bottom)
                    return Match((centred(scope, d, axes), eps, axes, left), (d.node, root.node))
    return near


def _centred_axes(scope: Scope, d: Arg, variance: tuple[Arg, tuple[int, ...]]) -> tuple[int, ...] | None:
    """The axes over which `d` is the variance's operand less its mean."""
    inner, consumed = variance
    for sign, x in (term for total in scope.sums(d) for term in total.terms):
        if sign > 0 and x.node is inner.node:
            names = dict(zip(inner.axes, x.axes, strict=True))
            axes = tuple(names[c] for c in consumed if c in names)
            if all(names[c] == c for c in inner.axes if c not in consumed) and centred(scope, d, axes) == x:
                return tuple(sorted(axes))
    return None


def _build_standardize(scope: Scope, node: Node, found: Found) -> Arg:
    x, eps, axes, rest = found
    return _normalised(scope, node, "standardize", x, eps, axes, rest)


def _normalised(scope: Scope, node: Node, op: str, x: Arg, eps: Arg, axes: tuple[int, ...], rest: Product) -> Arg:
    result = sorted(x.axes)
    attrs = {"axes": tuple(result.index(c) for c in axes), "affine": ()}
    core = scope.build(op, (x, eps), result, kind=node.kind, attrs=attrs)
    return scope.multiply(Product(rest.number, (core, *rest.top), rest.bottom))


def _centre_apart(scope: Scope, node: Node) -> Outcome:
    """x * f - mean(x) * f, which is (x - mean(x)) * f, among other summands"""
    total = scope.sum(scope.whole())
    for k, (sign, term) in enumerate(total.terms):
        for j, (other, shift) in enumerate(total.terms):
            if sign == other:
                continue
            whole, part = (scope.product(one) for one in (term, shift))
            for x, mean in _with_means(scope, whole, part):
                factors = _without(whole, x)
                if _same(factors, _without(part, mean)):
                    rest = tuple(one for i, one in enumerate(total.terms) if i not in (k, j))
                    found = (x, mean, replace(factors, number=sign * factors.number), Sum(total.number, rest))
                    return Match(found, (term.node, shift.node, *total.nodes))
    return None


def _with_means(scope: Scope, whole: Product, part: Product) -> Iterator[tuple[Arg, Arg]]:
    """Factors of a product, and their means among those of another."""
    for mean in part.top:
        found = statistic(scope, mean, "mean")
        for x in whole.top if found is not None else ():
            if len(whole.top) + len(whole.bottom) > 1 and renaming(found[0], x, found[1]) is not None:  # type: ignore[index]
                yield x, mean


def _without(product: Product, factor: Arg) -> Product:
    top = list(product.top)
    top.remove(factor)
    return replace(product, top=tuple(top), nodes=())


def _same(one: Product, other: Product) -> bool:
    sides = ((one.top, other.top), (one.bottom, other.bottom))
    return one.number == other.number and all(Counter(a) == Counter(b) for a, b in sides)


def _build_centred(scope: Scope, node: Node, found: tuple[Arg, Arg, Product, Sum]) -> Arg:
    x, mean, factors, rest = found
    result = scope.multiply(replace(factors, top=(scope.apply("sub", x, mean), *factors.top)))
    for sign, term in rest.terms:
        result = scope.apply("add" if sign > 0 else "sub", result, term)
    return result if rest.number == 0 else scope.apply("add", result, scope.number(rest.number))


def _rms_norm(scope: Scope, node: Node) -> Outcome:
    """x / sqrt(mean(x^2) + eps), times anything"""
    for root, radicand, _ in _radicands(scope):
        for v, eps in _with_eps(scope, radicand):
            squares = _mean_square(scope, v)
            found = _normalises(scope, root, *squares) if squares is not None else None
            if found is not None:
                x, axes, rest = found
                return Match((x, eps, axes, rest), (root.node,))
    return None


def _normalises(
    scope: Scope, root: Arg, inner: Arg, consumed: tuple[int, ...]
) -> tuple[Arg, tuple[int, ...], Product] | None:
    """`(x, axes, the other factors)` if the scope's root is x over `root`, x being `inner` at other coordinates."""
    product = scope.product(scope.whole(), lambda n: n is not inner.node and n is not root.node)
    top = [a for a in product.top if a != root]
    bottom = [a for a in product.bottom if a != root]
    if len(top) + len(bottom) + 1 != len(product.top) + len(product.bottom):
        return None
    for x in top:
        if x.node is inner.node and x.node.kind == Kind.REAL:
            names = dict(zip(inner.axes, x.axes, strict=True))
            if all(names[c] == c for c in inner.axes if c not in consumed):
                top.remove(x)
                axes = tuple(sorted(names[c] for c in consumed))
                return x, axes, Product(product.number, tuple(top), tuple(bottom))
    return None


def _mean_square(scope: Scope, v: Arg) -> tuple[Arg, tuple[int, ...]] | None:
    found = statistic(scope, v, "mean")
    if found is not None:
        x = square_of(scope, found[0])
        return (x, found[1]) if x is not None else None
    product = scope.product(v, lambda n: not n.rank)
    for part in product.top:
        squares = sum_of_squares(scope, part)
        if squares is not None and divisor(product, part) == count(scope, squares[1]):
            return squares
    return None


def _build_rms_norm(scope: Scope, node: Node, found: Found) -> Arg:
    x, eps, axes, rest = found
    return _normalised(scope, node, "rms_norm", x, eps, axes, rest)


def by_states(states: frozenset[str]) -> tuple[Rule, ...]:
    """The rule for what is normalised by statistics that a layer holds: inputs of these names."""

    def held(arg: Arg) -> bool:
        return arg.node.op == "input" and arg.node.attr("name") in states and arg.node.kind == Kind.REAL

    def match(scope: Scope, node: Node) -> Outcome:
        """(x - mean) / sqrt(var + eps), times anything"""
        for root, radicand, rest in _radicands(scope):
            for v, eps in _with_eps(scope, radicand):
                if not held(v) or len(v.axes) != 1 or constant(eps.node) is None:
                    continue
                for k, d in enumerate(rest.top):
                    total = scope.own_sum(d)
                    x, m = ([arg for s, arg in total.terms if s == sign] for sign in (1, -1))
                    if (len(x), len(m), total.number) == (1, 1, 0) and held(m[0]) and m[0].axes == v.axes:
                        if x[0].axes.count(v.axes[0]) == 1 == len(x[0].axes) - len(set(x[0].axes)) + 1:
                            left = Product(rest.number, rest.top[:k] + rest.top[k + 1 :], rest.bottom)
                            return Match((x[0], eps, m[0], v, left), (d.node, root.node))
        return None

    def build(scope: Scope, node: Node, found: tuple[Arg, Arg, Arg, Arg, Product]) -> Arg:
        x, eps, m, v, rest = found
        result = sorted(x.axes)
        axes = tuple(k for k, c in enumerate(result) if c not in v.axes)
        attrs = {"axes": axes, "affine": (), "rate": None}
        core = scope.build("batch_norm", (x, eps, m, v), result, kind=node.kind, attrs=attrs)
        return scope.multiply(Product(rest.number, (core, *rest.top), rest.bottom))

    return (Rule("norm by running statistics", "algebraic", ("div", "mul"), match, build),) if states else ()


def _affine(scope: Scope, node: Node) -> Outcome:
    """normalised * weight, normalised + bias"""
    role = "weight" if node.op == "mul" else "bias"
    first, second = node.args
    for core, parameter in ((first, second), (second, first)):
        op = core.node.op
        if op not in _AFFINE or (op == "rms_norm" and role == "bias") or not scope.once(core.node):
            continue
        affine, axes = core.node.attr("affine"), core.node.attr("axes")
        assert isinstance(affine, tuple) and isinstance(axes, tuple)
        if role in affine or "bias" in affine:
            continue
        normalised = {core.axes[p] for p in axes}
        along = [set(scope.operands(core)[-1].axes)] if affine else _weighable(core, normalised)
        if parameter.node.kind == Kind.REAL and set(parameter.axes) in along:
            return Match((core, parameter, role), (core.node,))
        if parameter.node.rank and set(parameter.axes) < set(core.axes):
            return Near(
                f"the {role} lies along {_names(scope, parameter.axes)}, "
                f"the kernel wants it along {_names(scope, tuple(normalised))} or along one axis"
            )
    return None


def _weighable(core: Arg, normalised: set[int]) -> list[set[int]]:
    """The axes along which a kernel takes weights: the normalised ones, a channel, channels in groups."""
    staying = set(core.axes) - normalised
    if core.node.op == "rms_norm":
        return [normalised]
    if core.node.op == "group_norm":
        return [{_channel(core)}]
    if core.node.op == "batch_norm":
        return [staying] if len(staying) == 1 else []
    parts = [{axis} for axis in normalised]
    channels = [{axis} for axis in staying]
    return [normalised, *parts, *channels, *(one | part for one in channels for part in parts)]


def _channel(core: Arg) -> int:
    """The coordinate of a group norm's channels."""
    position = core.node.attr("channel")
    assert isinstance(position, int)
    return core.axes[position]


def _names(scope: Scope, axes: tuple[int, ...]) -> str:
    return ", ".join(scope.names[c] for c in sorted(axes))


def _build_affine(scope: Scope, node: Node, found: tuple[Arg, Arg, str]) -> Arg:
    core, parameter, role = found
    axes, affine = core.node.attr("axes"), core.node.attr("affine")
    assert isinstance(axes, tuple) and isinstance(affine, tuple)
    moved = {"axes": tuple(sorted(core.axes[p] for p in axes)), "affine": (*affine, role)}
    attrs = dict(core.node.attrs) | moved
    if core.node.op == "group_norm":
        attrs["channel"] = _channel(core)
    return scope.build(core.node.op, (*scope.operands(core), parameter), range(node.rank), kind=node.kind, attrs=attrs)


RULES = (
    Rule("mean taken off with its factors", "algebraic", ("sub", "add"), _centre_apart, _build_centred),
    Rule("standardize", "algebraic", ("div", "mul"), _standardize, _build_standardize),
    Rule("rms_norm", "algebraic", ("div", "mul"), _rms_norm, _build_rms_norm),
    Rule("norm with weight and bias", "exact", ("mul", "add"), _affine, _build_affine),
)
