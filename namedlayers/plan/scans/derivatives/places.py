"""Derivatives of what only moves values: what comes back goes the same way back.

What always holds: what is read several times gets the sum of what comes back; what is not read gets 0. Here what comes
back has all axes of the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from namedlayers.plan.scans.derivatives.pulled import by_torch
from namedlayers.plan.scans.derivatives.term import Back, Term
from namedlayers.plan.view import Scope, constant
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const, size_expr

Entry = tuple[int, tuple[tuple[int, SizeExpr], ...], SizeExpr]
"""An axis of an operand at the sum of coefficient * coordinate, plus an offset."""


def padded(g: Term, c: int, into: int, offset: SizeExpr) -> Term:
    """Along the coordinate `into`, from `offset` on, what `g` is along `c`; else 0."""
    scope, size = g.scope, g.scope.sizes
    after = size[into] - offset - size[c]
    axes = tuple(into if one == c else one for one in g.arg.axes)
    if offset == 0 and after == 0:
        return Term(scope, Arg(g.arg.node, axes))
    order = tuple(sorted(axes))
    operand = Arg(g.arg.node, tuple(-1 if one == c else one for one in g.arg.axes))
    attrs = {"axis": order.index(into), "before": offset, "after": after, "mode": "constant"}
    return Term(scope, scope.build("pad", (operand, scope.number(0.0)), order, kind=Kind.REAL, attrs=attrs))


def read(g: Term, c: int, coefficients: Iterable[tuple[int, SizeExpr]], offset: SizeExpr) -> Term:
    """`g` at its coordinate `c` = the sum of coefficient * coordinate, plus offset."""
    listed = tuple(coefficients)
    order = tuple(sorted({*g.arg.axes, *(one for one, _ in listed)} - {c}))
    operand = Arg(g.arg.node, tuple(-1 if one == c else one for one in g.arg.axes))
    entry = (g.arg.axes.index(c), tuple((order.index(one), step) for one, step in listed), offset)
    return Term(g.scope, g.scope.build("index", (operand,), order, kind=g.arg.node.kind, attrs={"entries": (entry,)}))


def put(g: Term, at: Arg, into: int, gone: Sequence[int]) -> Term:
    """Along the coordinate `into`, where `at` says, the sum of `g` over the coordinates `gone`."""
    order = tuple(sorted({*g.arg.axes, *at.axes, into} - set(gone)))
    made = g.scope.build("put", (g.arg, at), order, gone, kind=Kind.REAL, attrs={"axis": order.index(into)})
    return Term(g.scope, made)


# --- where attributes say ---------------------------------------------------------------------------------------------


def _index(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    (x,) = operands
    entries = _entries(node)
    kept = {c for own, c in enumerate(x.arg.axes) if own not in {entry[0] for entry in entries}}
    for number, (own, coefficients, offset) in enumerate(entries):
        later = {c for entry in entries[number + 1 :] for c, _ in entry[1]}
        gone = [c for c, _ in coefficients if c not in kept and c not in later]
        g = _unread(g, x.arg.axes[own], coefficients, offset, gone)
    return (g,)


def _unread(
    g: Term, into: int, coefficients: tuple[tuple[int, SizeExpr], ...], offset: SizeExpr, gone: Sequence[int]
) -> Term:
    scope = g.scope
    if not coefficients:
        c = scope.fresh(const(1), scope.names[into])
        return padded(_along(g, c), c, into, offset)
    (c, step), *more = coefficients
    if not more and gone and step == 1:
        return padded(g, c, into, offset)
    if not more and gone and step == -1:
        size = scope.sizes[c]
        c_back = scope.fresh(size, scope.names[c])
        return padded(read(g, c, [(c_back, const(-1))], size - 1), c_back, into, offset - size + 1)
    at: Arg = scope.size(offset)
    for c, step in coefficients:
        at = scope.apply("add", at, scope.apply("mul", scope.coordinate(c), scope.size(step)))
    return put(g, at, into, gone)


def _along(g: Term, c: int) -> Term:
    """With one coordinate more, along which it is the same."""
    order = tuple(sorted((*g.arg.axes, c)))
    made = g.scope.build("expand", (g.arg,), order, kind=g.arg.node.kind, attrs={"axes": (order.index(c),)})
    return Term(g.scope, made)


def _entries(node: Node) -> tuple[Entry, ...]:
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    return tuple((own, tuple((c, size_expr(k)) for c, k in listed), size_expr(at)) for own, listed, at in entries)


def _pad(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...] | None:
    if node.attr("mode") != "constant" or constant(node.args[1].node) is None:
        return by_torch(node, g, operands)
    own = operands[0].arg.axes[node.args[0].axes.index(-1)]
    return read(g, _position(node, "axis"), [(own, const(1))], _size(node, "before")), None


def _fold(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """Windows of what comes back, beyond which it is 0."""
    c, kernel, scope = _position(node, "axis"), _position(node, "kernel"), g.scope
    source = operands[0].arg.axes[node.args[0].axes.index(-1)]
    steps = ((source, _size(node, "stride")), (kernel, _size(node, "dilation")))
    before, after = _size(node, "padding"), const(0)
    for one, step in steps:
        after = after + scope.sizes[one] * step
    wide = scope.fresh(scope.sizes[c] + before + after, scope.names[c])
    return (read(padded(g, c, wide, before), wide, steps, const(0)),)


def _concat(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    found, at = [], const(0)
    for arg, one in zip(node.args, operands, strict=True):
        own = arg.axes.index(-1)
        found.append(read(g, _position(node, "axis"), [(one.arg.axes[own], const(1))], at))
        at = at + arg.node.sizes[own]
    return tuple(found)


def _stack(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    return tuple(read(g, _position(node, "axis"), (), const(k)) for k in range(len(operands)))


def _merge(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    into, group = _position(node, "into"), _positions(node, "axes")
    return (_split_apart(g, into, group),)


def _split_apart(g: Term, c: int, into: Sequence[int]) -> Term:
    order = tuple(sorted({*g.arg.axes, *into} - {c}))
    attrs = {"axis": len(order), "into": tuple(order.index(one) for one in into)}
    return Term(g.scope, g.scope.build("split", (g.arg,), order, (c,), kind=Kind.REAL, attrs=attrs))


def _split(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    axis, group = _position(node, "axis"), _positions(node, "into")
    order = tuple(sorted({*g.arg.axes, axis} - set(group)))
    attrs = {"into": order.index(axis), "axes": tuple(len(order) + k for k in range(len(group)))}
    return (Term(g.scope, g.scope.build("merge", (g.arg,), order, group, kind=Kind.REAL, attrs=attrs)),)


def _roll(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """The other way round."""
    (x,) = operands
    space = node.attr("space")
    assert isinstance(space, tuple)
    into = {position: x.arg.axes[own] for own, position, _ in space}
    order = tuple(sorted(into.get(c, c) for c in g.arg.axes))
    operand = Arg(g.arg.node, tuple(-1 if c in into else c for c in g.arg.axes))
    back = tuple((g.arg.axes.index(c), order.index(into[c]), -size_expr(offset)) for _, c, offset in space)
    return (Term(g.scope, g.scope.build("roll", (operand,), order, kind=Kind.REAL, attrs={"space": back})),)


def _triangle(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    order = range(node.rank)
    made = g.scope.build("triangle", (g.arg,), order, kind=Kind.REAL, attrs=dict(node.attrs))
    return (Term(g.scope, made),)


def _cumulative(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...] | None:
    """A sum of what is before gives back the sum of what comes after."""
    if node.attr("op") != "sum":
        return by_torch(node, g, operands)
    c, scope = _position(node, "axis"), g.scope
    size = scope.sizes[c]
    back = scope.fresh(size, scope.names[c])
    turned = read(g, c, [(back, const(-1))], size - 1)
    order = tuple(sorted(turned.arg.axes))
    attrs = {"axis": order.index(back), "op": "sum"}
    summed = Term(scope, scope.build("cumulative", (turned.arg,), order, kind=Kind.REAL, attrs=attrs))
    return (read(summed, back, [(c, const(-1))], size - 1),)


# --- where tensors say ------------------------------------------------------------------------------------------------


def _gather(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """Several axes are read as one; what is out of range gives its slope to what stands there instead."""
    scope, axes = g.scope, _positions(node, "axes")
    x, *rest = operands
    indices, fill = rest[: len(axes)], rest[len(axes) :]
    into = [x.arg.axes[own] for own in axes]
    at, valid = indices[0].arg, None
    if len(axes) > 1 or fill:
        valid = _in_range(scope, [one.arg for one in indices], [scope.sizes[c] for c in into])
    for index, c in zip(indices[1:], into[1:], strict=True):
        at = scope.apply("add", scope.apply("mul", at, scope.size(scope.sizes[c])), index.arg)
    if len(axes) > 1:
        assert valid is not None
        at = scope.apply("where", valid, at, scope.number(-1), kind=Kind.INT)
    size = const(1)
    for c in into:
        size = size * scope.sizes[c]
    flat = into[0] if len(into) == 1 else scope.fresh(size, scope.names[into[0]])
    kept = {c for own, c in enumerate(x.arg.axes) if own not in axes}
    found = put(g, at, flat, [c for c in at.axes if c not in kept])
    found = found if len(into) == 1 else _split_apart(found, flat, into)
    others: list[Term | None] = [None for _ in indices]
    if fill:
        assert valid is not None
        others.append(Term(scope, valid).chosen(0, g))
    return found, *others


def _in_range(scope: Scope, indices: Sequence[Arg], sizes: Sequence[SizeExpr]) -> Arg:
    found: Arg | None = None
    for index, size in zip(indices, sizes, strict=True):
        for one in (scope.apply("ge", index, scope.number(0)), scope.apply("lt", index, scope.size(size))):
            found = one if found is None else scope.apply("and", found, one)
    assert found is not None
    return found


def _take(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """What is out of range counts nowhere."""
    x, index = operands
    own = node.attr("axis")
    assert isinstance(own, int)
    kept = {c for k, c in enumerate(x.arg.axes) if k != own}
    return put(g, index.arg, x.arg.axes[own], [c for c in index.arg.axes if c not in kept]), None


def _embedding(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    scope, (x, index), row = g.scope, operands, node.attr("row")
    own = node.attr("axis")
    assert isinstance(own, int) and isinstance(row, int)
    left_out = scope.apply("eq", index.arg, scope.number(row))
    at = scope.apply("where", left_out, scope.number(-1), index.arg, kind=Kind.INT)
    return put(g, at, x.arg.axes[own], index.arg.axes), None


# --- attributes -------------------------------------------------------------------------------------------------------


def _position(node: Node, name: str) -> int:
    found = node.attr(name)
    assert isinstance(found, int)
    return found


def _positions(node: Node, name: str) -> tuple[int, ...]:
    found = node.attr(name)
    assert isinstance(found, tuple)
    return found


def _size(node: Node, name: str) -> SizeExpr:
    found = node.attr(name)
    assert isinstance(found, (int, SizeExpr))
    return size_expr(found)


def _put(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """What was put somewhere is taken from there."""
    x, index = operands
    c = _position(node, "axis")
    order = tuple(sorted({*g.arg.axes, *index.arg.axes} - {c}))
    operand = Arg(g.arg.node, tuple(-1 if one == c else one for one in g.arg.axes))
    attrs = {"axis": g.arg.axes.index(c), "fill": True}
    return Term(g.scope, g.scope.build("take", (operand, index.arg), order, kind=Kind.REAL, attrs=attrs)), None


TABLE: Mapping[str, Back] = {
    "index": _index,
    "pad": _pad,
    "fold": _fold,
    "concat": _concat,
    "stack": _stack,
    "merge": _merge,
    "split": _split,
    "triangle": _triangle,
    "roll": _roll,
    "cumulative": _cumulative,
    "gather": _gather,
    "take": _take,
    "embedding": _embedding,
    "put": _put,
}
