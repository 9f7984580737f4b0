"""Comparisons of coordinates, in one form: what is added on each side, by `<` and `<=` alone; no `not` in a choice.

`s - t <= 0`, `t >= s`, `s + 1 <= t + 1`, `s < t + 1` and `not s > t` all say `s <= t`, exactly, for they are integers;
so rules that want to know which positions see which need to know one form.
"""

from __future__ import annotations

from math import inf

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope, is_number
from namedlayers.plan.windows import Affine, affine
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

_MIRRORED = {"gt": "lt", "ge": "le", "lt": "lt", "le": "le", "eq": "eq", "ne": "ne"}
_OPPOSITE = {"lt": "ge", "ge": "lt", "le": "gt", "gt": "le", "eq": "ne", "ne": "eq"}

Side = tuple[tuple[tuple[int, SizeExpr], ...], SizeExpr]
"""Coordinates with their coefficients, which are not negative, and what is added to the sum of these."""


def _comparison(scope: Scope, node: Node) -> Outcome:
    """left op right, both sums of coordinates, sizes and numbers"""
    sides = [_integer(scope, arg) for arg in node.args]
    if any(side is None or len(set(arg.axes)) < len(arg.axes) for side, arg in zip(sides, node.args, strict=True)):
        return None
    first, second = sides[::-1] if node.op in ("gt", "ge") else sides
    assert first is not None and second is not None
    found = _simplest(_MIRRORED[node.op], first, second)
    if found is None or {c for side in found[1:] for c, _ in side[0]} != set(range(node.rank)):
        return None
    op, left, right = found
    built = (_node(scope, left), _node(scope, right))
    return Match((op, built)) if (op, built) != (node.op, node.args) else None


def _integer(scope: Scope, arg: Arg) -> Affine | None:
    return affine(scope, arg) if arg.node.kind == Kind.INT else None


def _simplest(op: str, first: Affine, second: Affine) -> tuple[str, Side, Side] | None:
    """`first op second` with every coordinate on one side, the number on the right."""
    terms = dict(first.terms)
    for coordinate, coefficient in second.terms:
        terms[coordinate] = terms.get(coordinate, const(0)) - coefficient
    rest = {c: k for c, k in terms.items() if k.value != 0}
    offset = second.offset - first.offset
    if any(not k.nonnegative and not (-k).nonnegative for k in rest.values()):
        return None
    left = tuple((c, k) for c, k in sorted(rest.items()) if k.nonnegative)
    right = tuple((c, -k) for c, k in sorted(rest.items()) if not k.nonnegative)
    if op in ("eq", "ne") and (not left or right and right[0][0] < left[0][0]):
        left, right, offset = right, left, -offset
    if (op, offset.value) == ("lt", 1):
        op, offset = "le", const(0)
    elif (op, offset.value) == ("le", -1):
        op, offset = "lt", const(0)
    return op, (left, const(0)), (right, offset)


def _node(scope: Scope, side: Side) -> Arg:
    terms, offset = side
    total: Arg | None = None
    for coordinate, coefficient in terms:
        term = scope.coordinate(coordinate)
        if coefficient.value != 1:
            term = scope.apply("mul", term, scope.size(coefficient))
        total = term if total is None else scope.apply("add", total, term)
    if total is None:
        return scope.size(offset)
    return total if offset.value == 0 else scope.apply("add", total, scope.size(offset))


def _build(scope: Scope, node: Node, found: tuple[str, tuple[Arg, Arg]]) -> Arg:
    op, sides = found
    return scope.build(op, sides, range(node.rank), kind=Kind.BOOL)


def _negated(scope: Scope, node: Node) -> Outcome:
    """not left op right"""
    (inner,) = node.args
    integers = inner.node.op in _OPPOSITE and all(arg.node.kind < Kind.REAL for arg in inner.node.args)
    return Match((_OPPOSITE[inner.node.op], scope.operands(inner)), (inner.node,)) if integers else None


def _choice(scope: Scope, node: Node) -> Outcome:
    """where(not c, x, y)"""
    condition, yes, no = node.args
    if condition.node.op != "not":
        return None
    (inner,) = scope.operands(condition)
    return Match((inner, no, yes), (condition.node,)) if inner.node.kind == Kind.BOOL else None


def _counted(scope: Scope, node: Node) -> Outcome:
    """where(a * b, x, y), where(1 - a, x, y) of conditions that are counted"""
    condition, yes, no = node.args
    found = _condition(scope, condition) if condition.node.kind is Kind.INT else None
    return Match((found, yes, no), (condition.node,)) if found is not None else None


def _condition(scope: Scope, arg: Arg, once: bool = False) -> Arg | None:
    """The condition under which what conditions are multiplied or added to is not 0; `once`: and then is 1."""
    if arg.node.kind is Kind.BOOL:
        return arg
    if arg.node.op not in ("mul", "sub") and (once or arg.node.op != "add"):
        return None
    first, second = scope.operands(arg)
    if arg.node.op == "sub":
        holds = _condition(scope, second) if is_number(first, 1) and second.node.kind is Kind.BOOL else None
        return scope.apply("not", holds, kind=Kind.BOOL) if holds is not None else None
    parts = [_condition(scope, one, once) for one in (first, second)]
    found = [part for part in parts if part is not None]
    return scope.apply("and" if arg.node.op == "mul" else "or", *found, kind=Kind.BOOL) if len(found) == 2 else None


def _log(scope: Scope, node: Node) -> Outcome:
    """log(c), log(where(c, 1, 0))"""
    (arg,) = node.args
    if arg.node.op == "where":
        condition, *sides = scope.operands(arg)
        for (one, other), turned in ((sides, False), (sides[::-1], True)):
            if is_number(one, 1) and is_number(other, 0) and condition.node.kind is Kind.BOOL:
                return Match((condition, turned), (arg.node,))
        return None
    found = _condition(scope, arg, once=True)
    return Match((found, False)) if found is not None else None


def _build_log(scope: Scope, node: Node, found: tuple[Arg, bool]) -> Arg:
    condition, turned = found
    sides = (scope.number(0.0), scope.number(-inf))
    args = (condition, *(sides[::-1] if turned else sides))
    return scope.build("where", args, range(node.rank), kind=node.kind, weak=node.weak)


def _build_choice(scope: Scope, node: Node, args: tuple[Arg, ...]) -> Arg:
    return scope.build("where", args, range(node.rank), kind=node.kind, weak=node.weak)


RULES = (
    Rule("comparison of coordinates", "exact", tuple(_MIRRORED), _comparison, _build),
    Rule("negated comparison", "exact", ("not",), _negated, _build),
    Rule("choice by conditions that are counted", "exact", ("where",), _counted, _build_choice),
    Rule("logarithm of a condition", "exact", ("log",), _log, _build_log),
    Rule("choice by a negated condition", "exact", ("where",), _choice, _build_choice),
)
