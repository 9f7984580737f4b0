"""Contractions with one-hot vectors are gathers, or index-adds; so is the sum of what a comparison with an index picks.

A one-hot vector is `where(axis == I, 1, 0)`, or the comparison itself counted as 0 and 1, for integers I. An index
out of range makes it all zeros, which a gather that reads 0 there does as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.view import Product, Scope, Sum, constant, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

OneHot = tuple[int, Arg]
"""The axis (a coordinate) and the index."""


def one_hot(scope: Scope, arg: Arg) -> OneHot | None:
    """The axis and the index of which `arg` is the one-hot vector."""
    if arg.node.op == "where":
        condition, yes, no = scope.operands(arg)
        if not is_number(yes, 1) or not is_number(no, 0):
            return None
        arg = condition
    return _picks(scope, arg)


def _picks(scope: Scope, arg: Arg) -> OneHot | None:
    if arg.node.op != "eq":
        return None
    for axis, index in (scope.operands(arg), scope.operands(arg)[::-1]):
        if axis.node.op == "coord" and index.node.kind == Kind.INT and axis.axes[0] not in index.axes:
            return axis.axes[0], index
    return None


def _gathered(scope: Scope, node: Node) -> Outcome:
    for k, arg in enumerate(node.args):
        found = one_hot(scope, arg)
        if found is None or found[0] < node.rank:
            continue
        others = node.args[:k] + node.args[k + 1 :]
        if any(found[0] in other.axes for other in others):
            return Match((found, others), (arg.node,))
    return None


def _build_gathered(scope: Scope, node: Node, found: tuple[OneHot, tuple[Arg, ...]]) -> Arg:
    (axis, index), others = found
    consumed = set(range(node.rank, len(node.space))) - {axis}
    picked = [take(scope, other, axis, index) if axis in other.axes else other for other in others]
    return contraction(scope, picked, consumed)


def take(scope: Scope, x: Arg, axis: int, index: Arg) -> Arg:
    """x at `axis` = index, 0 where that is out of range."""
    own = x.axes.index(axis)
    spoken = Arg(x.node, tuple(-1 if c == axis else c for c in x.axes))
    result = sorted({c for c in (*spoken.axes, *index.axes) if c >= 0})
    fill = not _in_range(index, x.node.sizes[own])
    attrs = {"axis": own, "fill": fill}
    return scope.build("take", (spoken, index), result, kind=x.node.kind, attrs=attrs, weak=x.node.weak)


def _in_range(index: Arg, size: object) -> bool:
    """Coordinates and positions of extrema along axes of this size are in range by what they are."""
    node = index.node
    return node.op in ("coord", "argreduce", "nearest") and len(node.space) > 0 and node.space[-1] == size


@dataclass(frozen=True, slots=True)
class _Mixed:
    """`share` of the one-hot vector of `index` along `axis`, plus `rest`, the same everywhere."""

    axis: int
    index: Arg
    share: Product
    rest: Sum


def _smoothed(scope: Scope, node: Node) -> Outcome:
    """sum((a * one_hot + b) * x), which is a times x at the index, plus b times the sum of x"""
    if len(node.args) != 2 or node.kind is not Kind.REAL:
        return None
    for arg, x in (node.args, node.args[::-1]):
        if (
            arg.node.op not in ("add", "sub")
            or not scope.once(arg.node)
            or sorted(x.axes) != list(range(len(node.space)))
        ):
            continue
        mixed = _mixed(scope, scope.sum(arg))
        if mixed is not None and mixed.axis >= node.rank:
            return Match((mixed, x), (arg.node,))
    return None


def _mixed(scope: Scope, total: Sum) -> _Mixed | None:
    found: _Mixed | None = None
    rest = []
    for sign, term in total.terms:
        product = scope.product(term)
        hot = [(one, seen) for one in product.top if one.axes and (seen := one_hot(scope, one)) is not None]
        if not term.axes:
            rest.append((sign, term))
        elif len(hot) == 1 and found is None and not any(one.axes for one in product.bottom):
            ((part, (axis, index)),) = hot
            left = tuple(one for one in product.top if one != part)
            if any(one.axes for one in left):
                return None
            found = _Mixed(axis, index, Product(sign * product.number, left, product.bottom), Sum(0, ()))
        else:
            return None
    return replace(found, rest=Sum(total.number, tuple(rest))) if found is not None else None


def _build_smoothed(scope: Scope, node: Node, found: tuple[_Mixed, Arg]) -> Arg:
    mixed, x = found
    consumed = range(node.rank, len(node.space))
    picked = scope.reduce("sum", take(scope, x, mixed.axis, mixed.index), consumed)
    total = scope.multiply(replace(mixed.share, top=(picked, *mixed.share.top)))
    every = scope.reduce("sum", x, consumed)
    for sign, term in mixed.rest.terms:
        total = scope.apply("add" if sign > 0 else "sub", total, scope.apply("mul", every, term))
    if mixed.rest.number != 0:
        total = scope.apply("add", total, scope.apply("mul", every, scope.number(mixed.rest.number)))
    return total


@dataclass(frozen=True, slots=True)
class _Put:
    """What is added up (the product of `values`) where `index` says along `axis`, over what is consumed."""

    axis: int
    index: Arg
    values: tuple[Arg, ...]


def _scattered(scope: Scope, node: Node) -> Outcome:
    """one_hot @ values, along an axis that stays"""
    for k, arg in enumerate(node.args):
        found = one_hot(scope, arg)
        if found is not None and found[0] < node.rank:
            return _put(scope, node, _Put(*found, node.args[:k] + node.args[k + 1 :]), (arg.node,))
    return None


def _weighted(scope: Scope, node: Node) -> Outcome:
    """(weights * one_hot) @ values: one more operand"""
    for k, arg in enumerate(node.args):
        if arg.node.op in ("mul", "div", "neg") and scope.once(arg.node):
            product = scope.product(arg)
            hot = [one for one in product.top if one_hot(scope, one) is not None]
            if len(hot) == 1:
                rest = replace(product, top=tuple(one for one in product.top if one is not hot[0]))
                others = node.args[:k] + node.args[k + 1 :]
                return Match((hot[0], rest, others), product.nodes)
    return None


def _build_weighted(scope: Scope, node: Node, found: tuple[Arg, Product, tuple[Arg, ...]]) -> Arg:
    hot, rest, others = found
    operands = (hot, scope.multiply(rest), *others)
    consumed = range(node.rank, len(node.space))
    return scope.build("contract", operands, range(node.rank), consumed, kind=node.kind, attrs={"path": ()})


def _counted(scope: Scope, node: Node) -> Outcome:
    """sum(one_hot), or sum(where(axis == I, x, 0)), along an axis that stays"""
    (body,) = node.args
    found = one_hot(scope, body)
    if found is not None and found[0] < node.rank:
        return _put(scope, node, _Put(*found, ()), (body.node,))
    if body.node.op != "where":
        return None
    condition, x, no = scope.operands(body)
    found = _picks(scope, condition)
    if found is None or found[0] >= node.rank or not is_number(no, 0) or x.node.kind is not node.kind:
        return None
    return _put(scope, node, _Put(*found, (x,)), (body.node,))


def _put(scope: Scope, node: Node, found: _Put, parts: tuple[Node, ...]) -> Outcome:
    return Match(found, parts) if max(found.index.axes, default=-1) >= node.rank else None


def _build_put(scope: Scope, node: Node, found: _Put) -> Arg:
    consumed = set(range(node.rank, len(node.space)))
    read = [take(scope, one, found.axis, found.index) if found.axis in one.axes else one for one in found.values]
    gone = consumed & set(found.index.axes)
    x = contraction(scope, read, consumed - gone) if read else scope.number(1)
    attrs = {"axis": found.axis}
    operands = (x, found.index)
    return scope.build("put", operands, range(node.rank), sorted(gone), kind=node.kind, attrs=attrs, weak=node.weak)


def _picked(scope: Scope, node: Node) -> Outcome:
    """sum(where(axis == I, x, 0))"""
    (body,) = node.args
    if body.node.op != "where":
        return None
    condition, x, no = scope.operands(body)
    found = _picks(scope, condition)
    if found is None or not is_number(no, 0) or found[0] < node.rank or found[0] not in x.axes:
        return None
    return Match((found, x), (body.node,))


def _build_picked(scope: Scope, node: Node, found: tuple[OneHot, Arg]) -> Arg:
    (axis, index), x = found
    picked = take(scope, x, axis, index)
    return scope.reduce("sum", picked, set(range(node.rank, len(node.space))) - {axis}, kind=node.kind)


def _still(scope: Scope, node: Node) -> Outcome:
    """where(I == p, detach(E at I), E at I): the row p gets no gradient"""
    condition, yes, no = node.args
    if condition.node.op != "eq" or yes.node.op != "detach" or scope.operands(yes) != (no,):
        return None
    if no.node.op != "gather" or no.node.attr("fill") or len(no.node.args) != 2 or no.node.kind != Kind.REAL:
        return None
    table, index = scope.operands(no)
    for given, row in (scope.operands(condition), scope.operands(condition)[::-1]):
        number = constant(row.node)
        if given == index and type(number) is int and number >= 0 and len(table.axes) == 2 and index.axes:
            return Match((table, index, number), (yes.node, no.node))
    return None


def _build_still(scope: Scope, node: Node, found: tuple[Arg, Arg, int]) -> Arg:
    table, index, row = found
    attrs = {"axis": table.axes.index(-1), "row": row}
    return scope.build("embedding", (table, index), range(node.rank), kind=node.kind, attrs=attrs, weak=node.weak)


RULES = (
    Rule("row without gradient", "exact", ("where",), _still, _build_still),
    Rule("weights of one-hot vectors", "algebraic", ("contract",), _weighted, _build_weighted),
    Rule("gather", "algebraic", ("contract",), _gathered, _build_gathered),
    Rule("gather of smoothed vectors", "algebraic", ("contract",), _smoothed, _build_smoothed),
    Rule("index-add", "algebraic", ("contract",), _scattered, _build_put),
    Rule("gather", "exact", ("reduce sum",), _picked, _build_picked),
    Rule("index-add", "algebraic", ("reduce sum",), _counted, _build_put),
)
