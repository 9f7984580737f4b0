"""Conditions that choose between a value and a number, as masks do.

In: nodes of any spelling (`where` either way round, `not`, comparisons). Out: the condition under which the value
stands, or a value under conditions. What always holds: conditions are boolean; a comparison of whole numbers is turned
around by the opposite comparison, so that masks by coordinates look alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from namedlayers.plan.view import Number, Scope, is_number
from namedlayers.program.graph import Arg
from namedlayers.program.program import Kind

_OPPOSITE = {"lt": "ge", "ge": "lt", "le": "gt", "gt": "le"}


def chosen(scope: Scope, arg: Arg, otherwise: Number) -> tuple[Arg, Arg] | None:
    """`(condition, x)` if `arg` is x where the condition holds, and this number elsewhere."""
    if arg.node.op != "where":
        return None
    condition, yes, no = scope.operands(arg)
    if condition.node.kind != Kind.BOOL:  # a number, which holds where it is not 0
        if not is_number(no, otherwise) and not is_number(yes, otherwise):
            return None
        condition = scope.apply("ne", condition, scope.number(0), kind=Kind.BOOL)
    if is_number(no, otherwise):
        return condition, yes
    return (negated(scope, condition), no) if is_number(yes, otherwise) else None


def negated(scope: Scope, condition: Arg) -> Arg:
    """The opposite condition."""
    if condition.node.op == "not":
        return scope.operands(condition)[0]
    if condition.node.op == "or":
        return scope.apply("and", *(negated(scope, part) for part in scope.operands(condition)), kind=Kind.BOOL)
    opposite = _OPPOSITE.get(condition.node.op)
    if opposite is not None and all(a.node.kind < Kind.REAL for a in condition.node.args):
        return scope.apply(opposite, *scope.operands(condition))
    return scope.apply("not", condition, kind=Kind.BOOL)


def together(scope: Scope, conditions: Iterable[Arg]) -> Arg | None:
    """All of the conditions as one, if there are any."""
    every: Arg | None = None
    for condition in conditions:
        every = condition if every is None else scope.apply("and", every, condition, kind=Kind.BOOL)
    return every


def masked(scope: Scope, x: Arg, conditions: Iterable[Arg]) -> Arg:
    """x, and -inf where one of the conditions does not hold."""
    every = together(scope, conditions)
    return x if every is None else scope.apply("where", every, x, scope.number(-inf), kind=x.node.kind)
