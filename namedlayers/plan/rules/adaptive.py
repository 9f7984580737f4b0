"""Pools to a given number of cells: the largest from floor(i n / m) to before ceil((i + 1) n / m), one kernel.

The cells are read by an index, `X[ax = minimum(first + k, last - 1)]`, or chosen by a mask, `first <= ax < last`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.convolution import MOST_SPACE_AXES
from namedlayers.plan.rules.linear_forms import linear_form, without_zeros
from namedlayers.plan.view import Scope, is_number, size_of
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
    if not is_number(out, -inf) or inside.node.op != "and" or len(inside.axes) != 2:
        return None
    for cell, ax in (inside.axes, inside.axes[::-1]):
        if ax < node.rank or cell >= node.rank or cell in x.axes or x.axes.count(ax) != 1:
            continue
        n, m = scope.sizes[ax], scope.sizes[cell]
        if any(
            _is_first(scope, below, cell, n, m) and _is_last(scope, above, 1, cell, n, m)
            for below, above in _bounds(scope, inside, ax)
        ):
            source = Arg(x.node, tuple(-1 if c == ax else c for c in x.axes))
            return Match(((source, ((source.axes.index(-1), cell),)), {ax}), (body.node, inside.node))
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
    inner = _pooled(scope, source, cells)
    if inner is not None:
        source, cells = inner
    left = [c for c in range(node.rank, len(node.space)) if c not in gone]
    result = (*range(node.rank), *left)
    pooled = scope.build("adaptive_max", (source,), result, kind=node.kind, attrs={"cells": cells})
    return scope.reduce("max", pooled, left)


def _pooled(scope: Scope, source: Arg, cells: tuple[tuple[int, int], ...]) -> Cells | None:
    """A pool of a pool along another axis: both at once."""
    node = source.node
    if node.op != "adaptive_max" or not scope.once(node):
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
)
