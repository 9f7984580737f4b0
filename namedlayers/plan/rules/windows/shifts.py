"""Reading a fixed distance away. With a number beyond the end: what is padded there, and a slice of it. Round the end:
what is shifted round.

`X[time = time - 1; fill = 0]` is the sequence one step later; `X[x = (x + 3) % |x|]` begins at the fourth element and
ends with the third. What always holds: every element is the one that the index reads, or the number.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.linear_forms import linear_form
from namedlayers.plan.view import Scope, size_of
from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr, const


@dataclass(frozen=True, slots=True)
class _Shift:
    """`source`, with -1 at its axis number `own`, read at `position + offset`."""

    source: Arg
    fill: Arg
    own: int
    position: int
    offset: SizeExpr


def _shifted(scope: Scope, node: Node) -> Outcome:
    axes = node.attr("axes")
    if not node.attr("fill") or len(node.args) != 3 or not isinstance(axes, tuple) or node.args[2].axes:
        return None
    source, index, fill = node.args
    form = linear_form(scope, index)
    if form is None:
        return None
    offset = form.pop(None, const(0))
    (own,) = axes
    ((position, step), *more) = form.items() or ((None, const(0)),)
    if more or position is None or step != 1 or position in source.axes:
        return None
    if node.space[position] != source.node.sizes[own] or not (offset.nonnegative or (-offset).nonnegative):
        return None
    return Match(_Shift(source, fill, own, position, offset), (index.node,))


def _build(scope: Scope, node: Node, found: _Shift) -> Arg:
    size, nothing = found.source.node.sizes[found.own], const(0)
    before, after = (nothing, found.offset) if found.offset.nonnegative else (-found.offset, nothing)
    along = scope.fresh(size + before + after, found.source.node.names[found.own])
    axes = tuple(along if k == found.own else c for k, c in enumerate(found.source.axes))
    attrs = {"axis": axes.index(along), "before": before, "after": after, "mode": "constant"}
    padded = scope.build("pad", (found.source, found.fill), axes, kind=node.kind, attrs=attrs, weak=node.weak)
    entry = (found.own, ((found.position, const(1)),), after)
    read = Arg(padded.node, tuple(-1 if c == along else c for c in axes))
    return scope.build(
        "index", (read,), range(node.rank), kind=node.kind, attrs={"entries": (entry,)}, weak=node.weak
    )  # fmt: skip


def _round(scope: Scope, node: Node) -> Outcome:
    """Each index is (coordinate + offset) modulo the size of its axis, so that none is out of range."""
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    source, *indices = node.args
    space: list[tuple[int, int, SizeExpr]] = []
    for own, index in zip(axes, indices, strict=False):
        size = source.node.sizes[own]
        operands = scope.operands(index) if index.node.op == "mod" else ()
        if not operands or size_of(operands[1].node) != size:
            return None
        form = linear_form(scope, operands[0])
        if form is None:
            return None
        offset = form.pop(None, const(0))
        (position, step), *more = form.items() or ((None, const(0)),)
        if more or position is None or step != 1 or position in source.axes or node.space[position] != size:
            return None
        space.append((own, position, offset))
    if len({position for _, position, _ in space}) < len(space):
        return None
    return Match(tuple(space), tuple(index.node for index in indices[: len(axes)]))


def _build_round(scope: Scope, node: Node, space: tuple[tuple[int, int, SizeExpr], ...]) -> Arg:
    attrs = {"space": space}
    return scope.build("roll", node.args[:1], range(node.rank), kind=node.kind, attrs=attrs, weak=node.weak)


RULES = (
    Rule("a step before or after", "exact", ("gather",), _shifted, _build),
    Rule("round the end", "exact", ("gather",), _round, _build_round),
)
