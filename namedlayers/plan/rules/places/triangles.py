"""Triangular masks: sums, products, extrema and logsumexp up to each place are cumulative; what a mask leaves of a
matrix is its triangle.

`sum[j](where(j <= i, X, 0))` takes as many steps as X has elements, and not the square of that. A strict comparison
leaves the place itself out, `j >= i` runs from the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.linear_forms import Triangle, triangle
from namedlayers.plan.view import Number, Scope, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

_NEUTRAL: dict[str, Number] = {"sum": 0, "prod": 1, "max": -inf, "min": inf, "logsumexp": -inf}


@dataclass(frozen=True, slots=True)
class _Running:
    """`x` along `gone`, up to each `place`; or from it on if `back`, and without it if `strict`."""

    x: Arg
    gone: int
    place: int
    op: str
    back: bool
    strict: bool


def _chosen(scope: Scope, node: Node) -> Outcome:
    """op over j of where(j <= i, X, what counts for nothing)"""
    (body,) = node.args
    op = str(node.attr("op"))
    if body.node.op != "where" or len(node.space) != node.rank + 1:
        return None
    condition, yes, no = scope.operands(body)
    found = triangle(scope, condition)
    for x, other, where in ((yes, no, found), (no, yes, found.opposite if found is not None else None)):
        if where is not None and is_number(other, _NEUTRAL[op]) and x.node.rank:
            return _running(scope, x, where, node.rank, op, (body.node, condition.node))
    return None


def _running(scope: Scope, x: Arg, where: Triangle, gone: int, op: str, parts: tuple[Node, ...]) -> Outcome:
    if gone not in (where.row, where.column):
        return None
    place = where.row if gone == where.column else where.column
    if x.axes.count(gone) != 1 or place in x.axes or scope.sizes[gone] != scope.sizes[place]:
        return None
    if where.diagonal not in (const(0), const(-1)):
        return Near(f"{scope.names[gone]} ends {where.diagonal} after {scope.names[place]}, not at it or one before")
    running = _Running(x, gone, place, op, gone == where.row, where.diagonal == -1)
    return Match(running, parts)


def _contracted(scope: Scope, node: Node) -> Outcome:
    """The sum of a triangle of 1 times X; of logarithms, a triangle of 0 plus X"""
    logs = node.op == "log_contract"
    if len(node.args) != 2 or len(node.space) != node.rank + 1:
        return None
    linear = node.attr("linear") if logs else (True, True)
    assert isinstance(linear, tuple)
    for k, mask in enumerate(node.args):
        x = node.args[1 - k]
        found = _mask(scope, mask, linear[k])
        if found is not None and (not logs or not linear[1 - k]):
            op = "logsumexp" if logs else "sum"
            return _running(scope, x, found, node.rank, op, (mask.node,))
    return None


def _mask(scope: Scope, mask: Arg, linear: bool) -> Triangle | None:
    """Where a mask is 1 (or 0, if it is a logarithm) and not 0 (or -inf)."""
    if mask.node.op != "where":
        return triangle(scope, mask) if linear else None
    one, nothing = (1, 0) if linear else (0, -inf)
    condition, yes, no = scope.operands(mask)
    found = triangle(scope, condition)
    if found is None:
        return None
    if is_number(yes, one) and is_number(no, nothing):
        return found
    return found.opposite if is_number(no, one) and is_number(yes, nothing) else None


def _build_running(scope: Scope, node: Node, found: _Running) -> Arg:
    place = found.place
    x = Arg(found.x.node, tuple(place if c == found.gone else c for c in found.x.axes))
    x = turned(scope, x, place) if found.back else x
    x = _accumulated(scope, node, x, place, found)
    return turned(scope, x, place) if found.back else x


def _accumulated(scope: Scope, node: Node, x: Arg, place: int, found: _Running) -> Arg:
    if not found.strict:
        return _cumulative(scope, x, place, found.op, node.kind)
    size = scope.sizes[place]
    longer = scope.fresh(size + 1, scope.names[place])
    result = sorted(longer if c == place else c for c in x.axes)
    attrs = {"axis": result.index(longer), "before": const(1), "after": const(0), "mode": "constant"}
    neutral = scope.number(_NEUTRAL[found.op])
    padded = scope.build("pad", (_spoken(x, place), neutral), result, kind=x.node.kind, attrs=attrs, weak=x.node.weak)
    whole = _cumulative(scope, padded, longer, found.op, node.kind)
    return _read(scope, whole, longer, place, const(1), const(0))


def _cumulative(scope: Scope, x: Arg, place: int, op: str, kind: Kind) -> Arg:
    result = sorted(x.axes)
    attrs = {"axis": result.index(place), "op": op}
    return scope.build("cumulative", (x,), result, kind=kind, attrs=attrs, weak=x.node.weak)


def turned(scope: Scope, x: Arg, place: int) -> Arg:
    """x with its coordinate `place` read from the end."""
    return _read(scope, x, place, place, const(-1), scope.sizes[place] - 1)


def _read(scope: Scope, x: Arg, along: int, place: int, step: SizeExpr, offset: SizeExpr) -> Arg:
    """x at `along` = step * place + offset."""
    result = sorted(place if c == along else c for c in x.axes)
    entries = ((x.axes.index(along), ((result.index(place), step),), offset),)
    return scope.build(
        "index", (_spoken(x, along),), result, kind=x.node.kind, attrs={"entries": entries}, weak=x.node.weak
    )


def _spoken(x: Arg, place: int) -> Arg:
    return Arg(x.node, tuple(-1 if c == place else c for c in x.axes))


def _end(scope: Scope, node: Node) -> Outcome:
    """cumsum[i](X)[i = -1], which is sum[i](X)"""
    (whole,) = node.args
    running = whole.node
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    if running.op != "cumulative" or not scope.once(running) or len(entries) != 1:
        return None
    ((own, terms, offset),) = entries
    last = running.sizes[own] - 1
    return Match(own, (running,)) if own == running.attr("axis") and not terms and offset == last else None


def _build_end(scope: Scope, node: Node, own: int) -> Arg:
    (whole,) = node.args
    place = scope.fresh(whole.node.sizes[own], whole.node.names[own])
    (x,) = scope.operands(Arg(whole.node, tuple(place if k == own else c for k, c in enumerate(whole.axes))))
    return scope.reduce(str(whole.node.attr("op")), x, (place,), node.kind)


# --- what is left of a matrix -----------------------------------------------------------------------------------------


def _left_by_choice(scope: Scope, node: Node) -> Outcome:
    """where(j <= i, X, 0)"""
    condition, yes, no = node.args
    found = triangle(scope, condition)
    for x, other, where in ((yes, no, found), (no, yes, found.opposite if found is not None else None)):
        if where is not None and is_number(other, 0) and _has(node, x, where):
            return Match((x, where), (condition.node,))
    return None


def _left_by_factor(scope: Scope, node: Node) -> Outcome:
    """X * (j <= i)"""
    for x, condition in (node.args, node.args[::-1]):
        found = _mask(scope, condition, True)
        if found is not None and _has(node, x, found):
            return Match((x, found), (condition.node,))
    return None


def _has(node: Node, x: Arg, where: Triangle) -> bool:
    fits = sorted(x.axes) == list(range(node.rank)) and {where.row, where.column} <= set(x.axes)
    return fits and x.node.kind is node.kind and x.node.kind is not Kind.BOOL and x.node.weak == node.weak


def _build_left(scope: Scope, node: Node, found: tuple[Arg, Triangle]) -> Arg:
    x, where = found
    attrs = {"row": where.row, "column": where.column, "diagonal": where.diagonal}
    return scope.build("triangle", (x,), range(node.rank), kind=node.kind, attrs=attrs, weak=node.weak)


def _rule(roots: tuple[str, ...], numerics: str, match: Callable[[Scope, Node], Outcome]) -> Rule:
    return Rule("cumulative", numerics, roots, match, _build_running)  # type: ignore[arg-type]


RULES = (
    _rule(tuple(f"reduce {op}" for op in _NEUTRAL), "exact", _chosen),
    _rule(("contract", "log_contract"), "algebraic", _contracted),
    Rule("end of what runs along", "exact", ("index",), _end, _build_end),
)
LAST = (
    Rule("triangle", "exact", ("where",), _left_by_choice, _build_left),
    Rule("triangle", "algebraic", ("mul",), _left_by_factor, _build_left),
)
