"""mean, var, std and norm written as sums: over a size, over a size less ddof, under a root."""

from __future__ import annotations

from typing import Any

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import (
    averaged,
    count,
    divisor,
    reduced,
    renaming,
    square_of,
    square_root,
    statistic,
    sum_of_squares,
)  # fmt: skip
from namedlayers.plan.view import Product, Scope, Sum
from namedlayers.plan.windows import windows
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

_FLOATING = (Kind.REAL, Kind.COMPLEX)
_SHARED = Near("the squares are needed elsewhere, too, so that their mean is one pass over what is there")


def centred(scope: Scope, d: Arg, consumed: tuple[int, ...]) -> Arg | None:
    """x if `d` is x - mean(x), the mean taken over `consumed`."""
    for total in scope.sums(d):
        if len(total.terms) != 2 or total.number != 0:
            continue
        for (sign, x), (other, average) in (total.terms, total.terms[::-1]):
            found = statistic(scope, average, "mean")
            if found is not None and sign > 0 > other:
                names = renaming(found[0], x, found[1])
                if names is not None and set(names.values()) == set(consumed):
                    return x
    return None


def _multiple(node: Node) -> bool:
    """A scalar, or something times a scalar."""
    return node.op == "neg" or not min((arg.node.rank for arg in node.args), default=0)


def _mean(scope: Scope, node: Node) -> Outcome:
    """sum(x) / size"""
    product = scope.product(scope.whole(), _multiple)
    for part in product.top:
        found = reduced(scope, part, "sum")
        if found is None or found[0].node.kind not in _FLOATING:
            continue
        values = count(scope, found[1])
        rest = averaged(product, part, values)
        if rest is not None:
            return Match((found[0], found[1], part, rest), (part.node,))
        size = divisor(product, part)
        if size is not None and square_of(scope, found[0]) is None:
            return Near(f"the sum is divided by {size}, not by the {values} values that it has")
    return None


def _build_mean(scope: Scope, node: Node, found: tuple[Arg, tuple[int, ...], Arg, Product]) -> Arg:
    x, consumed, total, rest = found
    attrs = {"op": "mean", "ddof": 0}
    mean = scope.build("statistic", (x,), sorted(total.axes), consumed, kind=x.node.kind, attrs=attrs)
    return scope.multiply(Product(rest.number, (mean, *rest.top), rest.bottom))


def _var(scope: Scope, node: Node) -> Outcome:
    """sum((x - mean(x))^2) / (size - ddof)"""
    product = scope.product(scope.whole(), _multiple)
    for part in product.top:
        found = sum_of_squares(scope, part)
        size = divisor(product, part) if found is not None else None
        if found is None or size is None:
            continue
        d, consumed = found
        x = centred(scope, d, consumed)
        if x is None:
            continue
        if part.node.op == "reduce" and not scope.once(scope.operands(part)[0].node):
            return _SHARED
        ddof = (count(scope, consumed) - size).value
        if ddof is None or ddof < 0:
            return Near(f"the squares are divided by {size}, which is not the number of values less a constant")
        return Match((x, consumed, "var", ddof), (part.node,))
    return None


def _var_of_mean(scope: Scope, node: Node) -> Outcome:
    """mean((x - mean(x))^2)"""
    found = statistic(scope, scope.whole(), "mean")
    d = square_of(scope, found[0]) if found is not None else None
    if found is None or d is None:
        return None
    x = centred(scope, d, found[1])
    if x is None:
        return None
    return Match((x, found[1], "var", 0), (found[0].node, d.node)) if scope.once(found[0].node) else _SHARED


def _var_of_moments(scope: Scope, node: Node) -> Outcome:
    """mean(x^2) - mean(x)^2, which loses the digits that the variance keeps; of windows that overlap, whose variance
    is no kernel's, both means are pools."""
    total = scope.sum(scope.whole())
    for k, (sign, average) in enumerate(total.terms):
        squares = _mean_of_squares(scope, average)
        if squares is None or sign < 0 or _overlap(scope, squares[0]):
            continue
        for j, (other, square) in enumerate(total.terms):
            mean = square_of(scope, square) if other < 0 else None
            found = statistic(scope, mean, "mean") if mean is not None else None
            names = renaming(found[0], squares[0], found[1]) if found is not None else None
            if names is not None and set(names.values()) == set(squares[1]):
                rest = tuple(term for i, term in enumerate(total.terms) if i not in (k, j))
                return Match((squares, Sum(total.number, rest)), (average.node, square.node, *total.nodes))
    return None


def _mean_of_squares(scope: Scope, arg: Arg) -> tuple[Arg, tuple[int, ...]] | None:
    found = statistic(scope, arg, "mean")
    if found is not None:
        x = square_of(scope, found[0])
    else:
        product = scope.own_product(arg)
        found = sum_of_squares(scope, product.top[0]) if len(product.top) == 1 else None
        whole = divisor(product, product.top[0]) if found is not None else None
        x = found[0] if found is not None and whole == count(scope, found[1]) else None
    if found is None or x is None or x.node.kind is not Kind.REAL:
        return None
    if x.node.op == "abs":
        (x,) = scope.operands(x)
    return x, found[1]


def _overlap(scope: Scope, x: Arg) -> bool:
    return any(not axis.apart(scope.sizes) for view in windows(scope, x) for axis in view.space)


def _build_var_of_moments(scope: Scope, node: Node, found: tuple[tuple[Arg, tuple[int, ...]], Sum]) -> Arg:
    (x, consumed), rest = found
    kept = sorted(set(x.axes) - set(consumed))
    result = scope.build("statistic", (x,), kept, consumed, kind=node.kind, attrs={"op": "var", "ddof": 0})
    for sign, term in rest.terms:
        result = scope.apply("add" if sign > 0 else "sub", result, term)
    return result if rest.number == 0 else scope.apply("add", result, scope.number(rest.number))


def _mean_of_mean(scope: Scope, node: Node) -> Outcome:
    """mean[i](mean[j](x))"""
    (inner,) = node.args
    if node.attr("op") != "mean" or inner.node.op != "statistic" or inner.node.attr("op") != "mean":
        return None
    if not scope.once(inner.node) or not set(range(node.rank, len(node.space))) <= set(inner.axes):
        return None
    consumed = (*range(node.rank, len(node.space)), *scope.consumed(inner))
    return Match((scope.operands(inner)[0], consumed, "mean", 0), (inner.node,))


def _std(scope: Scope, node: Node) -> Outcome:
    """sqrt(var(x))"""
    inner = square_root(scope, scope.whole())
    if inner is None or inner.node.op != "statistic" or inner.node.attr("op") != "var":
        return None
    (x,) = scope.operands(inner)
    return Match((x, scope.consumed(inner), "std", inner.node.attr("ddof")), (inner.node,))


def _norm(scope: Scope, node: Node) -> Outcome:
    """sqrt(sum(abs(x)^2))"""
    inner = square_root(scope, scope.whole())
    found = sum_of_squares(scope, inner) if inner is not None else None
    if inner is None or found is None or node.kind != Kind.REAL or found[0].node.kind != Kind.REAL:
        return None
    x = found[0]
    if x.node.op == "abs":
        (x,) = scope.operands(x)
    return Match((x, found[1], "norm", 0), (inner.node,)) if x.node.kind in _FLOATING else None


def _build(scope: Scope, node: Node, found: tuple[Arg, tuple[int, ...], str, Any]) -> Arg:
    x, consumed, op, ddof = found
    attrs = {"op": op, "ddof": ddof}
    return scope.build("statistic", (x,), range(node.rank), consumed, kind=node.kind, attrs=attrs)


RULES = (
    Rule("variance", "exact", ("div", "mul"), _var, _build),
    Rule("mean", "exact", ("div", "mul"), _mean, _build_mean),
    Rule("variance", "exact", ("statistic",), _var_of_mean, _build),
    Rule("variance", "algebraic", ("sub", "add"), _var_of_moments, _build_var_of_moments),
    Rule("mean of means", "algebraic", ("statistic",), _mean_of_mean, _build),
    Rule("standard deviation", "exact", ("sqrt", "pow"), _std, _build),
    Rule("norm", "exact", ("sqrt", "pow"), _norm, _build),
)
