"""Contractions with windows that are no convolution: the other factor differs from place to place, or taps stay.

`sum[k](w[t, k] * X[t = t + k])` is a sum of neighbours with weights of their own (an involution, a dynamic convolution,
the values of attention to neighbours); `Q @[c] X[t = t + k]` compares each place with its neighbours (a correlation,
the scores of that attention). Both need the windows' places and taps, which go tap by tap. (Windows that do not overlap
are a split: a view, as any other operand.) It runs before contractions are merged, which would hold the windows, and
again when sums within sums are one.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.windows.convolution import plain
from namedlayers.plan.view import Scope
from namedlayers.plan.windows import WindowAxis, Windows, windows
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr

Space = tuple[tuple[WindowAxis, int, int, SizeExpr, SizeExpr], ...]
"""For each space axis: what is read, its position and tap (coordinates), stride, dilation."""


@dataclass(frozen=True, slots=True)
class _Product:
    view: Windows
    other: Arg
    space: Space


def _product(scope: Scope, node: Node) -> Outcome:
    if len(node.args) != 2 or node.kind is not Kind.REAL:
        return None
    near: Near | None = None
    for read, other in (node.args, node.args[::-1]):
        for view in windows(scope, read):
            found = _check(scope, node, view, other)
            if isinstance(found, _Product):
                return Match(found, view.nodes)
            near = near or (Near(found, read.node.spans) if found else None)
    return near


def _check(scope: Scope, node: Node, view: Windows, other: Arg) -> _Product | str:
    """What stands against it, if anything; nothing is said of what may be another kernel's."""
    if not all(a.node.kind is Kind.REAL for a in (view.source, other)) or any(a.turned for a in view.space):
        return ""
    consumed = frozenset(range(node.rank, len(node.space)))
    space = []
    for axis in view.space:
        if axis.padding is not None and not _is_zeros(axis):
            return ""
        found = _roles(scope, axis, other, consumed)
        if found is None:
            return ""
        space.append((axis, *found))
    if all(axis.apart(scope.sizes) for axis in view.space):
        return ""  # what they enter is a plain contraction
    taps = {tap for _, _, tap, _, _ in space}
    summed = taps & consumed
    if summed and summed != taps:
        return "some taps are summed over and others stay"
    if consumed != summed and summed | taps & set(other.axes) or not consumed - taps <= set(view.source.axes):
        return ""  # a matrix for each place and tap is one of a product of matrices
    return _Product(view, other, tuple(space))


def _is_zeros(axis: WindowAxis) -> bool:
    padding = axis.padding
    assert padding is not None
    return padding.value == 0 and padding.before.nonnegative and padding.after.nonnegative


def _roles(
    scope: Scope, axis: WindowAxis, other: Arg, consumed: frozenset[int]
) -> tuple[int, int, SizeExpr, SizeExpr] | None:  # fmt: skip
    """Position and tap, with their steps. Both are in the result, or the tap is summed with a factor that has both;
    where either could be the position, it is the one that the other factor has."""
    for (position, stride), (tap, dilation) in (axis.terms, axis.terms[::-1]):
        if position in consumed or position not in other.axes or stride.value is None or dilation.value is None:
            continue
        if min(stride.value, dilation.value) > 0 and (tap in other.axes if tap in consumed else True):
            return position, tap, stride, dilation
    return None


def _build(scope: Scope, node: Node, found: _Product) -> Arg:
    space = tuple(
        (axis.own, position, tap, plain(stride), plain(dilation), *_padding(axis))
        for axis, position, tap, stride, dilation in found.space
    )
    consumed = range(node.rank, len(node.space))
    operands = (found.view.source, found.other)
    return scope.build("window_product", operands, range(node.rank), consumed, kind=node.kind, attrs={"space": space})


def _padding(axis: WindowAxis) -> tuple[SizeExpr | int, SizeExpr | int]:
    return (0, 0) if axis.padding is None else (plain(axis.padding.before), plain(axis.padding.after))


RULES = (Rule("product with windows", "exact", ("contract",), _product, _build),)
