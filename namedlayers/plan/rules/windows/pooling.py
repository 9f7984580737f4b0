"""Windows under `max`, `min`, `mean` and `sum` are pools; a pool of a pool along another axis is one pool.

Padding is left to the kernel where it pads with what the pool ignores (-inf) or counts (0), equally at both ends, by at
most half a kernel, and beyond that as far as the last window reaches; otherwise it is done before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import count, negative
from namedlayers.plan.rules.windows.convolution import MOST_SPACE_AXES, plain
from namedlayers.plan.rules.windows.functions import function_windows, over_sources, product_windows
from namedlayers.plan.view import Scope
from namedlayers.plan.windows import WindowAxis, Windows, windows
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const, size_expr

PADDED_WITH = {"max": -inf, "min": inf, "mean": 0.0}

Space = tuple[tuple[Any, ...], ...]
"""For each space axis: own axis of the source, position (a coordinate), kernel size, stride, dilation, before,
after."""


@dataclass(frozen=True, slots=True)
class Pool:
    """`ceil`: whether padding goes on to where the last window ends."""

    source: Arg
    space: Space
    op: str
    ceil: bool


def _pool(op: str) -> Callable[[Scope, Node], Outcome]:
    def find(scope: Scope, node: Node) -> Outcome:
        if node.op == "statistic" and node.attr("op") != "mean" or node.kind != Kind.REAL:
            return None
        (body,) = node.args
        consumed = frozenset(range(node.rank, len(node.space)))
        near: Near | None = None
        for view in function_windows(scope, body):
            found = _check(scope, view, op, consumed)
            if not isinstance(found, str):
                merged = _merged(view, found)
                if merged is not None:
                    return Match(merged, (*view.nodes, view.source.node))
                return Match(found, view.nodes)
            near = near or Near(found, body.node.spans)
        return near

    return find


def _check(scope: Scope, view: Windows, op: str, consumed: frozenset[int]) -> Pool | str:
    space = []
    reaches: set[bool] = set()
    for axis in view.space:
        roles = axis.roles(consumed)
        if roles is None:
            both = " and ".join(scope.names[c] for c, _ in axis.terms)
            return f"of {both}, one has to be reduced over and the other has to stay"
        (position, stride), (kernel, dilation) = roles
        name = scope.names[position]
        size = scope.sizes[kernel]
        if axis.extent(size, dilation, stride) != scope.sizes[position]:
            return f"the windows along {name} are not all that fit"
        if op == "mean" and dilation != 1:
            return f"the kernel for means has no dilation, as along {name}"
        reach = _reach(axis, size, stride, dilation, op)
        if reach is None or reach and op == "mean":
            return f"the padding along {name} is not one that the kernel does"
        if reach or stride != 1:
            reaches.add(reach)
        before = plain(axis.padding.before) if axis.padding else 0
        space.append((axis.own, position, plain(size), plain(stride), plain(dilation), before, before))
    if len(space) > MOST_SPACE_AXES:
        return f"kernels have at most {MOST_SPACE_AXES} space axes"
    if len(reaches) > 1:
        return "padding goes on to the end of the last window along some axes only"
    return Pool(view.source, tuple(sorted(space, key=lambda one: one[0])), op, True in reaches)


def _reach(axis: WindowAxis, size: SizeExpr, stride: SizeExpr, dilation: SizeExpr, op: str) -> bool | None:
    """Whether padding goes on to where the last window ends; None if it is none that a kernel does."""
    padding = axis.padding
    if padding is None:
        return False
    before, more = padding.before, padding.after - padding.before
    fits = (size - before * 2).nonnegative and before.nonnegative
    if padding.value != PADDED_WITH[op] or not fits:
        return None
    if more == 0:
        return False
    # The last window begins within what is pooled, or before it: so torch has it.
    if more == stride - 1 and dilation == 1 and (size - before - stride).nonnegative:
        return True
    tiles = stride == size and before == 0 and dilation == 1
    return True if tiles and more == -axis.size - size * ((-axis.size) // size) else None


def _merged(view: Windows, found: Pool) -> Pool | None:
    """A pool of a pool along other axes: both at once, on what the first one pools."""
    node = view.source.node
    if node.op != "pool" or node.attr("op") != found.op or not node.attr("counted"):
        return None
    inner = node.attr("space")
    assert isinstance(inner, tuple)
    (arg,) = node.args
    if len(inner) + len(found.space) > MOST_SPACE_AXES:
        return None
    if node.attr("ceil") != found.ceil and not _at_each(inner if found.ceil else found.space):
        return None
    own_of = {position: own for own, position in enumerate(arg.axes) if position >= 0}
    both = []
    for own, *rest in found.space:
        if own not in own_of:  # the first pool's own axis: pooled twice
            return None
        both.append((own_of[own], *rest))
    for own, position, *rest in inner:
        outer = view.source.axes[position]
        if outer < 0:
            return None
        both.append((own, outer, *rest))
    spoken = {own for own, *_ in both}
    axes = tuple(-1 if own in spoken else view.source.axes[p] for own, p in enumerate(arg.axes))
    space = tuple(sorted(both, key=lambda axis: axis[0]))
    return Pool(Arg(arg.node, axes), space, found.op, found.ceil or bool(node.attr("ceil")))


def _at_each(space: Space) -> bool:
    """Whether there is a window at each place, so that none is left over."""
    return all(size_expr(stride) == const(1) for _, _, _, stride, *_ in space)


def _build(scope: Scope, node: Node, found: Pool) -> Arg:
    """Axes that are no windows but reduced over with them are reduced afterwards, when there is less left."""
    gone = [c for c in found.source.axes if c >= node.rank]
    result = (*range(node.rank), *gone)
    attrs = {"op": found.op, "space": found.space, "ceil": found.ceil, "counted": True}
    pooled = scope.build("pool", (found.source,), result, kind=node.kind, attrs=attrs)
    if not gone:
        return pooled
    if found.op == "max":
        return scope.reduce("max", pooled, gone)
    attrs = {"op": "mean", "ddof": 0}
    return scope.build("statistic", (pooled,), range(node.rank), gone, kind=node.kind, attrs=attrs)


def _products(scope: Scope, node: Node) -> Outcome:
    """A sum of products of factors that are all read in the same windows"""
    if node.kind is not Kind.REAL:
        return None
    for view, others in product_windows(scope, node.args):
        found = None if others else _check(scope, view, "mean", frozenset(range(node.rank, len(node.space))))
        if isinstance(found, Pool):
            return Match(found, view.nodes)
    return None


def _build_sum(scope: Scope, node: Node, found: Pool) -> Arg:
    total = count(scope, tuple(range(node.rank, len(node.space))))
    return scope.apply("mul", _build(scope, node, found), scope.size(total))


def _minimum(scope: Scope, node: Node) -> Outcome:
    """min of windows, which is minus max of minus the windows"""
    (body,) = node.args
    if node.kind is not Kind.REAL:
        return None
    near: Near | None = None
    for view in windows(scope, body):
        negated = over_sources(scope, (view,), lambda whole: negative(scope, whole))
        found = _check(scope, negated, "min", frozenset(range(node.rank, len(node.space))))
        if not isinstance(found, str):
            found = replace(found, op="max")
            merged = _merged(negated, found)
            return Match(merged or found, (*view.nodes, *([view.source.node] if merged else [])))
        near = near or Near(found, body.node.spans)
    return near


def _build_minimum(scope: Scope, node: Node, found: Pool) -> Arg:
    return negative(scope, _build(scope, node, found))


def _norm(scope: Scope, node: Node) -> Outcome:
    """The root of the sum of squares"""
    (body,) = node.args
    if node.attr("op") != "norm" or body.node.kind is not Kind.REAL:
        return None
    consumed = frozenset(range(node.rank, len(node.space)))
    for view in windows(scope, body):
        if all(axis.padding is None or axis.padding.value == 0 for axis in view.space):
            squares = over_sources(scope, (view,), lambda whole: scope.apply("mul", whole, whole))
            found = _check(scope, squares, "mean", consumed)
            if not isinstance(found, str):
                return Match(found, view.nodes)
    return None


def _build_norm(scope: Scope, node: Node, found: Pool) -> Arg:
    """The slope of a norm of 0 is 0, that of a root is not."""
    total = _build_sum(scope, node, found)
    nothing = scope.apply("eq", total, scope.number(0.0), kind=Kind.BOOL)
    some = scope.apply("where", nothing, scope.number(1.0), total, kind=node.kind)
    return scope.apply("where", nothing, scope.number(0.0), scope.apply("sqrt", some), kind=node.kind)


RULES = (
    Rule("max pool", "exact", ("reduce max",), _pool("max"), _build),
    Rule("min pool", "exact", ("reduce min",), _minimum, _build_minimum),
    Rule("sum pool of products", "exact", ("contract",), _products, _build_sum),
)
# These wait until means and sums have been seen as parts of something larger: of a variance, of a norm.
LAST = (
    Rule("mean pool", "exact", ("statistic",), _pool("mean"), _build),
    Rule("sum pool", "exact", ("reduce sum",), _pool("mean"), _build_sum),
    Rule("pool of norms", "algebraic", ("statistic",), _norm, _build_norm),
)
