"""Indices go down to what they read: a part of a sum is the sum of the parts.

In: a body's graph. Out: rules that move `index` below elementwise operations, sums and splits. What always holds: an
index reads, so the value at each coordinate is the same element computed in the same way.
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope
from namedlayers.program import terms
from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr, const

_ELEMENTWISE = frozenset({*terms.UNARY, *terms.BINARY, "where"})


def _below_elementwise(scope: Scope, node: Node) -> Outcome:
    inner = node.args[0].node
    return Match(inner, (inner,)) if inner.op in _ELEMENTWISE or inner.op == "reduce" else None


def _build_below(scope: Scope, node: Node, inner: Node) -> Arg:
    """The index of each operand that has an indexed axis; other axes of the result stay with whom they belong."""
    outer, entries = node.args[0], _entries(node)
    consumed = {p: scope.fresh(inner.space[p], inner.names[p]) for p in range(inner.rank, len(inner.space))}
    parts = []
    for arg in inner.args:
        axes: list[int] = []
        own: dict[int, tuple] = {}
        for number, position in enumerate(arg.axes):
            if position >= inner.rank:
                axes.append(consumed[position])
            elif position in entries:
                own[number] = entries[position]
                axes.append(-1)
            else:
                axes.append(outer.axes[position])
        if not own:
            parts.append(Arg(arg.node, tuple(axes)))
            continue
        new = {c for listed, _ in own.values() for c, _ in listed}
        result = sorted(new | {c for c in axes if c >= 0})
        listed = tuple(
            (number, tuple((result.index(c), step) for c, step in own[number][0]), own[number][1])
            for number in sorted(own)
        )
        parts.append(
            scope.build("index", (Arg(arg.node, tuple(axes)),), result, kind=arg.node.kind, attrs={"entries": listed})
        )
    missing = sorted(set(range(node.rank)) - {c for part in parts for c in part.axes})
    if missing:
        parts[0] = _expanded(scope, parts[0], missing)
    return scope.build(
        inner.op, parts, range(node.rank), consumed.values(), kind=node.kind, attrs=dict(inner.attrs), weak=node.weak
    )


def _expanded(scope: Scope, value: Arg, missing: list[int]) -> Arg:
    result = sorted({*value.axes, *missing})
    positions = tuple(result.index(c) for c in missing)
    return scope.build("expand", (value,), result, kind=value.node.kind, attrs={"axes": positions})


def _below_expand(scope: Scope, node: Node) -> Outcome:
    """An index along an axis along which nothing changes."""
    inner = node.args[0].node
    if inner.op != "expand":
        return None
    axes = inner.attr("axes")
    assert isinstance(axes, tuple)
    return Match(inner, (inner,)) if set(_entries(node)) <= set(axes) else None


def _build_below_expand(scope: Scope, node: Node, inner: Node) -> Arg:
    (arg,) = inner.args
    value = Arg(arg.node, tuple(node.args[0].axes[position] for position in arg.axes))
    missing = sorted(set(range(node.rank)) - set(value.axes))
    return _expanded(scope, value, missing) if missing else value


def _below_split(scope: Scope, node: Node) -> Outcome:
    inner = node.args[0].node
    if inner.op != "split":
        return None
    into = inner.attr("into")
    assert isinstance(into, tuple)
    entries = _entries(node)
    return Match(inner, (inner,)) if set(entries) & set(into) else None


def _build_below_split(scope: Scope, node: Node, inner: Node) -> Arg:
    """What is read of the parts of an axis is read of the axis."""
    outer, entries = node.args[0], _entries(node)
    axis, into = inner.attr("axis"), inner.attr("into")
    assert isinstance(into, tuple)
    (arg,) = inner.args
    steps: dict[int, SizeExpr] = {}
    offset, stride = const(0), const(1)
    for position in reversed(into):
        listed, start = entries.get(position, (((outer.axes[position], const(1)),), const(0)))
        for coordinate, step in listed:
            steps[coordinate] = steps.get(coordinate, const(0)) + step * stride
        offset = offset + start * stride
        stride = stride * inner.space[position]
    found: dict[int, tuple] = {}
    axes = []
    for number, position in enumerate(arg.axes):
        if position == axis:
            found[number] = (tuple(sorted(steps.items())), offset)
        elif position in entries:
            found[number] = entries[position]
        axes.append(-1 if number in found else outer.axes[position])
    listed = tuple((number, *found[number]) for number in sorted(found))
    return scope.build(
        "index", (Arg(arg.node, tuple(axes)),), range(node.rank), kind=node.kind, attrs={"entries": listed},
        weak=node.weak,
    )  # fmt: skip


def _entries(node: Node) -> dict[int, tuple[tuple[tuple[int, SizeExpr], ...], SizeExpr]]:
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    return {own: (listed, offset) for own, listed, offset in entries}


RULES = (
    Rule("part of a sum", "exact", ("index",), _below_elementwise, _build_below),
    Rule("part of what is the same", "exact", ("index",), _below_expand, _build_below_expand),
    Rule("part of a split", "exact", ("index",), _below_split, _build_below_split),
)
