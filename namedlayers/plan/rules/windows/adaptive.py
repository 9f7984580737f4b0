"""Pools to a given number of cells: the largest, or the mean, from floor(i n / m) to before ceil((i + 1) n / m), one
kernel.

The cells are read by an index, `X[ax = minimum(first + k, last - 1)]`, or chosen by a mask, `first <= ax < last`; for a
mean the mask is multiplied with X, and divided by `last - first` before or after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from math import inf

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import reduced
from namedlayers.plan.rules.linear_forms import linear_form, without_zeros
from namedlayers.plan.rules.windows.convolution import MOST_SPACE_AXES
from namedlayers.plan.view import Product, Scope, is_number, size_of
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

Cells = tuple[Arg, tuple[tuple[int, int], ...]]
"""What is pooled, with -1 at axes that are; each of these (its own number) with the axis of cells (a coordinate)."""


def _read(scope: Scope, node: Node) -> Outcome:
    """max over k of X[ax = minimum(first + k, last - 1)]"""
    (body,) = node.args
    inner = body.node
    if inner.op != "gather" or inner.attr("fill") or len(inner.args) != 2 or node.kind is not Kind.REAL:
        return None
    source, index = scope.operands(body)
    if index.node.op != "minimum" or source.axes.count(-1) != 1 or len(index.axes) != 2:
        return None
    own = source.axes.index(-1)
    for cell, k in (index.axes, index.axes[::-1]):
        if k < node.rank or cell >= node.rank or {cell, k} & set(source.axes):
            continue
        n, m = source.node.sizes[own], scope.sizes[cell]
        if any(_walks(scope, a, b, cell, k, n, m) for a, b in _both_ways(scope.operands(index))):
            longest = const(1) - (-n) // m
            if (scope.sizes[k] - longest).nonnegative or scope.sizes[k] == n:
                return Match(((source, ((own, cell),)), {k}), (inner, index.node))
    return None


def _walks(scope: Scope, step: Arg, end: Arg, cell: int, k: int, n: SizeExpr, m: SizeExpr) -> bool:
    """Whether `step` is first + k, and `end` last - 1."""
    forth, back = scope.sum(step), scope.sum(end)
    terms = [term for sign, term in forth.terms if sign > 0]
    if forth.number != 0 or len(terms) != 2 or len(forth.terms) != 2 or len(back.terms) != 1 or back.number != -1:
        return False
    ((sign, last),) = back.terms
    ends = _is_last(scope, last, sign, cell, n, m)
    return ends and any(
        _is_first(scope, first, cell, n, m) and at.node.op == "coord" and at.axes == (k,)
        for first, at in _both_ways(tuple(terms))
    )


def _masked(scope: Scope, node: Node) -> Outcome:
    """max over ax of where(first <= ax < last, X, -inf)"""
    (body,) = node.args
    if body.node.op != "where" or node.kind is not Kind.REAL:
        return None
    inside, x, out = scope.operands(body)
    if not is_number(out, -inf):
        return None
    found = _chosen(scope, range(node.rank, len(node.space)), inside, x)
    if found is None:
        return None
    cells, ax, _ = found
    return Match((cells, {ax}), (body.node, inside.node))


def _chosen(scope: Scope, consumed: Collection[int], inside: Arg, x: Arg) -> tuple[Cells, int, tuple[Arg, Arg]] | None:
    """The cells of x that a mask chooses along an axis that is consumed; the axis, and the bounds of the mask."""
    if inside.node.op != "and" or len(inside.axes) != 2:
        return None
    for cell, ax in (inside.axes, inside.axes[::-1]):
        if ax not in consumed or cell in consumed or cell in x.axes or x.axes.count(ax) != 1:
            continue
        n, m = scope.sizes[ax], scope.sizes[cell]
        for below, above in _bounds(scope, inside, ax):
            if _is_first(scope, below, cell, n, m) and _is_last(scope, above, 1, cell, n, m):
                source = Arg(x.node, tuple(-1 if c == ax else c for c in x.axes))
                return (source, ((source.axes.index(-1), cell),)), ax, (below, above)
    return None


def _bounds(scope: Scope, inside: Arg, ax: int) -> Iterator[tuple[Arg, Arg]]:
    """`(a, b)` if the condition is a <= ax < b."""
    for low, high in _both_ways(scope.operands(inside)):
        below, above = _compared(scope, low, ax, ("le", "ge")), _compared(scope, high, ax, ("gt", "lt"))
        if below is not None and above is not None:
            yield below, above


def _compared(scope: Scope, asked: Arg, ax: int, ops: tuple[str, str]) -> Arg | None:
    """a if `asked` is `a op ax`, or the same turned round."""
    if asked.node.op not in ops:
        return None
    pair = scope.operands(asked)
    a, at = pair if asked.node.op == ops[0] else pair[::-1]
    return a if at.node.op == "coord" and at.axes == (ax,) else None


def _build(scope: Scope, node: Node, found: tuple[Cells, set[int]]) -> Arg:
    (source, cells), gone = found
    left = [c for c in range(node.rank, len(node.space)) if c not in gone]
    pooled = _pool(scope, "adaptive_max", source, cells, (*range(node.rank), *left))
    return scope.reduce("max", pooled, left)


def _pool(scope: Scope, op: str, source: Arg, cells: tuple[tuple[int, int], ...], result: Iterable[int]) -> Arg:
    inner = _pooled(scope, op, source, cells)
    if inner is not None:
        source, cells = inner
    return scope.build(op, (source,), result, kind=Kind.REAL, attrs={"cells": cells})


def _pooled(scope: Scope, op: str, source: Arg, cells: tuple[tuple[int, int], ...]) -> Cells | None:
    """A pool of a pool along another axis: both at once."""
    node = source.node
    if node.op != op or not scope.once(node):
        return None
    (arg,) = node.args
    inner = node.attr("cells")
    assert isinstance(inner, tuple)
    own_of = {position: own for own, position in enumerate(arg.axes) if position >= 0}
    if len(inner) + len(cells) > MOST_SPACE_AXES or any(own not in own_of for own, _ in cells):
        return None
    both = [(own_of[own], cell) for own, cell in cells] + [(own, source.axes[p]) for own, p in inner]
    spoken = {own for own, _ in both}
    axes = tuple(-1 if own in spoken else source.axes[p] for own, p in enumerate(arg.axes))
    return Arg(arg.node, axes), tuple(sorted(both))


# --- means ------------------------------------------------------------------------------------------------------------


def _weighed(scope: Scope, node: Node) -> Outcome:
    """(first <= ax < last) / (last - first) @[ax] X"""
    for x, weight in _both_ways(node.args) if len(node.args) == 2 else ():
        product = scope.product(weight)
        if product.number == 1 and len(product.top) == len(product.bottom) == 1:
            (inside,), (count,) = product.top, product.bottom
            found = _summed(scope, scope.whole(), inside, x)
            if found is not None and _counts(scope, count, *found[1]):
                return Match(found[0], (weight.node, inside.node))
    return None


def _build_weighed(scope: Scope, node: Node, found: Cells) -> Arg:
    return _pool(scope, "adaptive_mean", *found, range(node.rank))


def _divided(scope: Scope, node: Node) -> Outcome:
    """((first <= ax < last) @[ax] X) / (last - first), or the sum of where(first <= ax < last, X, 0)"""
    product = scope.product(scope.whole())
    for part in product.top:
        for inside, x, nodes in _totals(scope, part):
            found = _summed(scope, part, inside, x)
            if found is None:
                continue
            for count in product.bottom:
                if _counts(scope, count, *found[1]):
                    rest = replace(product, top=_without(product.top, part), bottom=_without(product.bottom, count))
                    return Match((found[0], part, rest), (*nodes, inside.node))
    return None


def _totals(scope: Scope, part: Arg) -> Iterator[tuple[Arg, Arg, tuple[Node, ...]]]:
    """`(condition, x, nodes)` if `part` may be the sum of x where the condition holds."""
    if not scope.once(part.node):
        return
    if part.node.op == "contract" and len(part.node.args) == 2:
        for x, inside in _both_ways(scope.operands(part)):
            yield inside, x, (part.node,)
    total = reduced(scope, part, "sum")
    if total is not None and total[0].node.op == "where":
        inside, x, no = scope.operands(total[0])
        if is_number(no, 0):
            yield inside, x, (part.node, total[0].node)


def _build_divided(scope: Scope, node: Node, found: tuple[Cells, Arg, Product]) -> Arg:
    cells, part, rest = found
    pooled = _pool(scope, "adaptive_mean", *cells, sorted(part.axes))
    return scope.multiply(replace(rest, top=(pooled, *rest.top)))


def _summed(scope: Scope, total: Arg, inside: Arg, x: Arg) -> tuple[Cells, tuple[Arg, Arg]] | None:
    """The cells if `total` is the sum of x over each of them, and the bounds of the mask."""
    gone = scope.consumed(total)
    if x.node.kind is not Kind.REAL or len(gone) != 1:
        return None
    found = _chosen(scope, gone, inside, x)
    return (found[0], found[2]) if found is not None else None


def _counts(scope: Scope, count: Arg, below: Arg, above: Arg) -> bool:
    """Whether this is how many there are between two bounds."""
    found = scope.sum(count)
    first, last = scope.sum(below), scope.sum(above)
    terms = [*last.terms, *((-sign, term) for sign, term in first.terms)]
    return found.number == last.number - first.number and Counter(found.terms) == Counter(terms)


def _without(factors: tuple[Arg, ...], one: Arg) -> tuple[Arg, ...]:
    place = factors.index(one)
    return factors[:place] + factors[place + 1 :]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _both_ways(pair: tuple[Arg, ...]) -> tuple[tuple[Arg, ...], tuple[Arg, ...]]:
    return pair, pair[::-1]


def _is_first(scope: Scope, arg: Arg, cell: int, n: SizeExpr, m: SizeExpr) -> bool:
    """i * n // m"""
    return _quotient(scope, arg, m) == {cell: n}


def _is_last(scope: Scope, arg: Arg, sign: int, cell: int, n: SizeExpr, m: SizeExpr) -> bool:
    """-(-(i + 1) * n // m), or ((i + 1) * n + m - 1) // m"""
    while arg.node.op == "neg":
        arg, sign = scope.operands(arg)[0], -sign
    found = _quotient(scope, arg, m)
    if sign < 0:
        return found == {cell: -n, None: -n}
    return found == without_zeros({cell: n, None: n + m - 1})


def _quotient(scope: Scope, arg: Arg, m: SizeExpr) -> dict[int | None, SizeExpr] | None:
    """The numerator of `arg` as a linear form of coordinates, if it is divided by m."""
    if arg.node.op != "floordiv":
        return None
    above, below = scope.operands(arg)
    return linear_form(scope, above) if size_of(below.node) == m else None


RULES = (
    Rule("adaptive max pool", "exact", ("reduce max",), _read, _build),
    Rule("adaptive max pool", "exact", ("reduce max",), _masked, _build),
    Rule("adaptive mean pool", "algebraic", ("contract",), _weighed, _build_weighed),
    Rule("adaptive mean pool", "algebraic", ("mul", "div"), _divided, _build_divided),
)
