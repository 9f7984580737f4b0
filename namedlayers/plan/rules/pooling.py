"""Windows under `max`, `mean` and `sum` are pools; a pool of a pool along another axis is one pool.

Padding is left to the kernel where it pads with what the pool ignores (-inf) or counts (0), equally at both ends, by at
most half a kernel; otherwise it is done before.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import count
from namedlayers.plan.rules.convolution import MOST_SPACE_AXES, plain
from namedlayers.plan.view import Scope
from namedlayers.plan.windows import WindowAxis, Windows, windows
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr

PADDED_WITH = {"max": -inf, "mean": 0.0}


def _pool(op: str) -> Callable[[Scope, Node], Outcome]:
    def find(scope: Scope, node: Node) -> Outcome:
        if node.op == "statistic" and node.attr("op") != "mean" or node.kind != Kind.REAL:
            return None
        (body,) = node.args
        consumed = frozenset(range(node.rank, len(node.space)))
        near: Near | None = None
        for view in windows(scope, body):
            found = _check(scope, view, op, consumed)
            if not isinstance(found, str):
                merged = _merged(view, op, found)
                if merged is not None:
                    return Match(merged, (*view.nodes, view.source.node))
                return Match((view.source, found, op), view.nodes)
            near = near or Near(found, body.node.spans)
        return near

    return find


Space = tuple[tuple[Any, ...], ...]
"""For each space axis: own axis of the source, position (a coordinate), kernel size, stride, dilation, before,
after."""


def _check(scope: Scope, view: Windows, op: str, consumed: frozenset[int]) -> Space | str:
    space = []
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
        if not _kernel_pads(axis, size, op):
            return f"the padding along {name} is not one that the kernel does"
        before = plain(axis.padding.before) if axis.padding else 0
        space.append((axis.own, position, plain(size), plain(stride), plain(dilation), before, before))
    if len(space) > MOST_SPACE_AXES:
        return f"kernels have at most {MOST_SPACE_AXES} space axes"
    return tuple(space)


def _kernel_pads(axis: WindowAxis, size: SizeExpr, op: str) -> bool:
    padding = axis.padding
    if padding is None:
        return True
    fits = (size - padding.before * 2).nonnegative and padding.before.nonnegative
    return padding.value == PADDED_WITH[op] and padding.before == padding.after and fits


def _merged(view: Windows, op: str, space: Space) -> tuple[Arg, Space, str] | None:
    """A pool of a pool along other axes: both at once, on what the first one pools."""
    node = view.source.node
    if node.op != "pool" or node.attr("op") != op:
        return None
    inner = node.attr("space")
    assert isinstance(inner, tuple)
    (arg,) = node.args
    if len(inner) + len(space) > MOST_SPACE_AXES:
        return None
    own_of = {position: own for own, position in enumerate(arg.axes) if position >= 0}
    both = []
    for own, *rest in space:
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
    return Arg(arg.node, axes), tuple(sorted(both, key=lambda axis: axis[0])), op


def _build(scope: Scope, node: Node, found: tuple[Arg, Space, str]) -> Arg:
    """Axes that are no windows but reduced over with them are reduced afterwards, when there is less left."""
    source, space, op = found
    gone = [c for c in source.axes if c >= node.rank]
    result = (*range(node.rank), *gone)
    pooled = scope.build("pool", (source,), result, kind=node.kind, attrs={"op": op, "space": space})
    if not gone:
        return pooled
    if op == "max":
        return scope.reduce("max", pooled, gone)
    attrs = {"op": "mean", "ddof": 0}
    return scope.build("statistic", (pooled,), range(node.rank), gone, kind=node.kind, attrs=attrs)


def _build_sum(scope: Scope, node: Node, found: tuple[Arg, Space, str]) -> Arg:
    total = count(scope, tuple(range(node.rank, len(node.space))))
    return scope.apply("mul", _build(scope, node, found), scope.size(total))


RULES = (Rule("max pool", "exact", ("reduce max",), _pool("max"), _build),)
# These wait until means and sums have been seen as parts of something larger: of a variance, of a norm.
LAST = (
    Rule("mean pool", "exact", ("statistic",), _pool("mean"), _build),
    Rule("sum pool", "exact", ("reduce sum",), _pool("mean"), _build_sum),
)
