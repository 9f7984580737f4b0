"""What becomes of a carried value as `a * value + b`, with a and b free of it.

In: the node of an update, and which node is the carried value. Out: a `Linear`, whose parts are nodes of the same
graph, or None where the update is not linear in the value, element by element. What always holds: a and b may lack axes
along which they are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node


@dataclass(frozen=True, slots=True)
class Linear:
    """`factor` None: 0, unless `plain`, which says that it is 1; `rest` None: 0."""

    factor: Arg | None
    rest: Arg | None
    plain: bool = False


DEEPEST = 100
"""Updates nested deeper are not looked into."""


def linear(scope: Scope, arg: Arg, carried: Arg, depends: Callable[[Node], bool]) -> Linear | None:
    """`arg`, in coordinates, as a function of `carried`; `depends` tells which nodes need it."""
    known: dict[Arg, Linear | None] = {carried: Linear(None, None, plain=True)}

    def of(one: Arg, depth: int) -> Linear | None:
        if one not in known:
            known[one] = found(one, depth)
        return known[one]

    def found(one: Arg, depth: int) -> Linear | None:
        if not depends(one.node):
            return Linear(None, one)
        rule = _RULES.get(one.node.op)
        if rule is None or not depth:
            return None
        parts = [part for inner in scope.operands(one) if (part := of(inner, depth - 1)) is not None]
        return rule(scope, parts) if len(parts) == len(one.node.args) else None

    return of(arg, DEEPEST)


# --- helpers ----------------------------------------------------------------------------------------------------------

_Rule = Callable[[Scope, list[Linear]], Linear | None]


def _factor(scope: Scope, part: Linear) -> Arg | None:
    return scope.number(1.0) if part.plain else part.factor


def _free(part: Linear) -> bool:
    return part.factor is None and not part.plain


def _add(scope: Scope, parts: list[Linear]) -> Linear | None:
    left, right = parts
    if _free(left) or _free(right):
        rest = _sum(scope, "add", left.rest, right.rest)
        return Linear(left.factor or right.factor, rest, left.plain or right.plain)
    factor = _sum(scope, "add", _factor(scope, left), _factor(scope, right))
    return Linear(factor, _sum(scope, "add", left.rest, right.rest))


def _sub(scope: Scope, parts: list[Linear]) -> Linear | None:
    left, right = parts
    rest = _sum(scope, "sub", left.rest, right.rest)
    if _free(right):
        return Linear(left.factor, rest, left.plain)
    return Linear(_sum(scope, "sub", _factor(scope, left), _factor(scope, right)), rest)


def _neg(scope: Scope, parts: list[Linear]) -> Linear | None:
    (part,) = parts
    factor, rest = (None if x is None else scope.apply("neg", x) for x in (_factor(scope, part), part.rest))
    return Linear(factor, rest)


def _mul(scope: Scope, parts: list[Linear]) -> Linear | None:
    left, right = parts
    if not _free(left) and not _free(right):
        return None
    one, other = (left, right) if _free(right) else (right, left)
    return _scaled(scope, "mul", one, other.rest)


def _div(scope: Scope, parts: list[Linear]) -> Linear | None:
    left, right = parts
    return _scaled(scope, "div", left, right.rest) if _free(right) else None


def _scaled(scope: Scope, op: str, part: Linear, by: Arg | None) -> Linear:
    assert by is not None, "what is free of the carried value is its own rest"
    if part.plain and op == "mul":
        factor: Arg | None = by
    else:
        whole = _factor(scope, part)
        factor = None if whole is None else scope.apply(op, whole, by)
    return Linear(factor, None if part.rest is None else scope.apply(op, part.rest, by))


def _where(scope: Scope, parts: list[Linear]) -> Linear | None:
    condition, left, right = parts
    if not _free(condition):
        return None
    assert condition.rest is not None
    pairs = ((_factor(scope, left), _factor(scope, right)), (left.rest, right.rest))
    factor, rest = (_chosen(scope, condition.rest, a, b) for a, b in pairs)
    return Linear(factor, rest)


def _chosen(scope: Scope, condition: Arg, left: Arg | None, right: Arg | None) -> Arg | None:
    if left is None and right is None:
        return None
    kind = max((x.node.kind for x in (left, right) if x is not None), key=lambda kind: kind.value)
    return scope.apply("where", condition, left or scope.number(0.0), right or scope.number(0.0), kind=kind)


def _expand(scope: Scope, parts: list[Linear]) -> Linear | None:
    return parts[0]


def _sum(scope: Scope, op: str, left: Arg | None, right: Arg | None) -> Arg | None:
    if right is None:
        return left
    if left is None:
        return right if op == "add" else scope.apply("neg", right)
    positive = _negated(scope, right) if op == "add" else None
    return scope.apply(op, left, right) if positive is None else scope.apply("sub", left, positive)


def _negated(scope: Scope, arg: Arg) -> Arg | None:
    """What a value is the negative of, where it is a product with a negative: x + (-y) * z is x - y * z."""
    if arg.node.op != "mul":
        return None
    left, right = scope.operands(arg)
    for one, other in ((left, right), (right, left)):
        if one.node.op == "neg":
            return scope.apply("mul", *scope.operands(one), other)
    return None


_RULES: dict[str, _Rule] = {
    "add": _add, "sub": _sub, "neg": _neg, "mul": _mul, "div": _div, "where": _where, "expand": _expand,
}  # fmt: skip
