"""What is read in pieces: what comes back to them, put together.

In: reads of one coordinate or of a range of an axis. Out: what comes back to the whole. What always holds: ranges that
follow one another are one tensor before anything is padded with 0 or added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from namedlayers.plan.scans.derivatives.places import padded
from namedlayers.plan.scans.derivatives.term import Term
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const, size_expr


@dataclass(frozen=True, slots=True)
class Range:
    """What comes back to `size` coordinates of the axis `own` from `offset` on, `arg` by the axes of the whole; `size`
    None: to one coordinate, and the axis is not there."""

    own: int
    offset: SizeExpr
    size: SizeExpr | None
    arg: Arg


def range_of(node: Node, arg: Arg) -> Range | None:
    """What comes back to what is read, if that is a range; `arg` by the axes of the node that reads."""
    found = _piece(node) if node.op == "piece" else _index(node) if node.op == "index" else None
    if found is None:
        return None
    own, offset, position = found
    back = {p: k for k, p in enumerate(node.args[0].axes) if p >= 0}
    if position is not None:
        back[position] = own
    size = None if position is None else node.sizes[position]
    return Range(own, offset, size, Arg(arg.node, tuple(back[c] for c in arg.axes)))


def together(scope: Scope, whole: Node, ranges: Sequence[Range]) -> list[Arg]:
    """What comes back to the whole, as summands."""
    return [_one(scope, whole, chain) for chain in _chains(scope, ranges)]


# --- helpers ----------------------------------------------------------------------------------------------------------

_Read = tuple[int, SizeExpr, int | None]
"""An axis of the operand, where on it the range begins, and the position that it has afterwards."""


def _piece(node: Node) -> _Read:
    sizes, number, axis = node.attr("sizes"), node.attr("number"), node.attr("axis")
    assert isinstance(sizes, tuple) and isinstance(number, int) and isinstance(axis, int)
    before = const(0)
    for size in sizes[:number]:
        before = before + size
    return node.args[0].axes.index(-1), before, None if axis < 0 else axis


def _index(node: Node) -> _Read | None:
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    if len(entries) != 1:
        return None
    own, coefficients, offset = entries[0]
    if not coefficients:
        return own, size_expr(offset), None
    ((position, step), *more) = coefficients
    alone = not more and size_expr(step) == 1 and position not in node.args[0].axes
    return (own, size_expr(offset), position) if alone else None


def _chains(scope: Scope, ranges: Sequence[Range]) -> list[list[Range]]:
    """Ranges that follow one another; of those that are the same, the sum."""
    alike: dict[tuple[int, SizeExpr, SizeExpr | None], Range] = {}
    for one in ranges:
        key = (one.own, one.offset, one.size)
        other = alike.get(key)
        arg = one.arg if other is None else scope.apply("add", other.arg, one.arg)
        alike[key] = Range(*key, arg)
    begin = {(one.own, one.offset): one for one in alike.values()}
    followed = {(one.own, _end(one)) for one in alike.values()}
    chains = []
    for one in alike.values():
        if (one.own, one.offset) in followed or begin[one.own, one.offset] is not one:
            continue
        chain = [one]
        while (after := begin.get((one.own, _end(chain[-1])))) is not None and after not in chain:
            chain.append(after)
        chains.append(chain)
    left = [one for one in alike.values() if not any(one in chain for chain in chains)]
    return [*chains, *([one] for one in left)]


def _end(one: Range) -> SizeExpr:
    return one.offset + (1 if one.size is None else one.size)


def _one(scope: Scope, whole: Node, chain: Sequence[Range]) -> Arg:
    own, offset = chain[0].own, chain[0].offset
    size = _end(chain[-1]) - offset
    c = own if offset == 0 and size == whole.sizes[own] else scope.fresh(size, scope.names[own])
    if len(chain) == 1 and chain[0].size is not None:
        (only,) = chain
        found = Arg(only.arg.node, tuple(c if k == own else k for k in only.arg.axes))
        if own not in only.arg.axes:
            found = _expanded(scope, found, [c])
    else:
        found = _joined(scope, whole, chain, c)
    return padded(Term(scope, found), c, own, offset).arg if c != own else found


def _joined(scope: Scope, whole: Node, chain: Sequence[Range], c: int) -> Arg:
    rest = [k for k in range(whole.rank) if k != chain[0].own]
    order = sorted((*rest, c))
    single = all(one.size is None for one in chain)
    args = []
    for one in chain:
        piece = scope.fresh(const(1) if one.size is None else one.size, scope.names[one.own])
        there = tuple(piece if k == one.own else k for k in one.arg.axes)
        arg = _expanded(scope, Arg(one.arg.node, there), rest if single else [*rest, piece])
        args.append(Arg(arg.node, tuple(-1 if k == piece else k for k in arg.axes)))
    attrs = {"axis": order.index(c)}
    return scope.build("stack" if single else "concat", args, order, kind=Kind.REAL, attrs=attrs, weak=False)


def _expanded(scope: Scope, arg: Arg, coordinates: Sequence[int]) -> Arg:
    """With all of these coordinates."""
    new = [k for k in coordinates if k not in arg.axes]
    if not new:
        return arg
    order = sorted((*arg.axes, *new))
    attrs = {"axes": tuple(order.index(k) for k in sorted(new))}
    return scope.build("expand", (arg,), order, kind=arg.node.kind, attrs=attrs)
