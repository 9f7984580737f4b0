"""Padding that repeats the tensor's own elements, circular, reflected or replicated: all axes at once, by one kernel.

Its sizes are limited: a circle is gone round once at most, a reflection leaves the edge out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.windows.convolution import MOST_SPACE_AXES, plain
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr

MODES = ("circular", "reflect", "replicate")


@dataclass(frozen=True, slots=True)
class _Padded:
    """`source` with -1 at padded axes; `space`: (own axis, position, before, after) each."""

    source: Arg
    space: tuple[tuple[Any, ...], ...]
    mode: str


def _padded(scope: Scope, node: Node) -> Outcome:
    mode = node.attr("mode")
    if mode not in MODES or node.kind is not Kind.REAL:
        return None
    position, before, after = node.attr("axis"), node.attr("before"), node.attr("after")
    assert isinstance(position, int) and isinstance(before, SizeExpr) and isinstance(after, SizeExpr)
    (source, *_) = scope.operands(scope.whole())
    own = source.axes.index(-1)
    alone = _Padded(source, ((own, position, plain(before), plain(after)),), str(mode))
    joined = _joined(scope, alone)
    return Match(joined or alone, (source.node,) if joined else ())


def _joined(scope: Scope, outer: _Padded) -> _Padded | None:
    """Padding of what is padded along other axes: both at once."""
    node = outer.source.node
    if node.op != "pad_around" or node.attr("mode") != outer.mode or not scope.once(node):
        return None
    inner = node.attr("space")
    assert isinstance(inner, tuple)
    (arg,) = node.args
    ((own, position, before, after),) = outer.space
    own_of = {p: k for k, p in enumerate(arg.axes) if p >= 0}
    if len(inner) + 1 > MOST_SPACE_AXES or own not in own_of:
        return None
    both = [(own_of[own], position, before, after)]
    both += [(k, outer.source.axes[p], *rest) for k, p, *rest in inner]
    spoken = {k for k, *_ in both}
    axes = tuple(-1 if k in spoken else outer.source.axes[p] for k, p in enumerate(arg.axes))
    return _Padded(Arg(arg.node, axes), tuple(sorted(both, key=lambda one: one[0])), outer.mode)


def _build(scope: Scope, node: Node, found: _Padded) -> Arg:
    attrs = {"space": found.space, "mode": found.mode}
    return scope.build("pad_around", (found.source,), range(node.rank), kind=node.kind, attrs=attrs, weak=node.weak)


RULES = (Rule("padding around", "exact", ("pad",), _padded, _build),)
