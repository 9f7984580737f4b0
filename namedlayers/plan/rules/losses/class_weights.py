"""Which targets of a loss of classes count, and how much.

A mask counts where the target that it leaves out is read as one that there is, so that no error of the text is lost: as
class 0 through a `where`, or as it is if it is a number that is a class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from namedlayers.plan.rules.losses.classes import ClassLoss
from namedlayers.plan.view import Scope, constant, is_number
from namedlayers.program.graph import Arg
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class Condition:
    """That `base` is not `number`; without a number, that it is true."""

    base: Arg
    number: Arg | int | None
    positive: bool


def condition_of(scope: Scope, arg: Arg) -> Condition:
    if arg.node.op == "not":
        inner = condition_of(scope, scope.operands(arg)[0])
        return replace(inner, positive=not inner.positive)
    if arg.node.op in ("eq", "ne"):
        for base, number in (scope.operands(arg), scope.operands(arg)[::-1]):
            if base.node.kind is not Kind.INT or number.axes or not base.axes:
                continue
            value = _whole(number)
            if value is not None or number.node.kind is Kind.INT:
                return Condition(base, number if value is None else value, arg.node.op == "ne")
    return Condition(arg, None, True)


def _whole(number: Arg) -> int | None:
    """The whole number that a literal is."""
    value = constant(number.node)
    if isinstance(value, (bool, complex)) or value is None or value != int(value):
        return None
    return int(value)


def _chosen(scope: Scope, target: Arg) -> tuple[Condition, Arg] | None:
    """`(condition, T)` if `target` is T where the condition holds and 0 elsewhere."""
    if target.node.op != "where":
        return None
    asked, yes, no = scope.operands(target)
    condition = condition_of(scope, asked)
    kept, other = (yes, no) if condition.positive else (no, yes)
    if not is_number(other, 0) or constant(other.node) is False:
        return None
    return replace(condition, positive=True), kept


def _not_negative(scope: Scope, target: Arg, condition: Condition) -> tuple[Condition, Arg] | None:
    """`(condition, T)` if `target` is maximum(T, 0) and the condition that T is not negative."""
    asked = condition.base
    if target.node.op != "relu" or asked.node.op not in ("ge", "gt") or not condition.positive:
        return None
    (whole,), (left, right) = scope.operands(target), scope.operands(asked)
    return (condition, whole) if left == whole and is_number(right, 0 if asked.node.op == "ge" else -1) else None


def left_out(scope: Scope, loss: ClassLoss, mask: Arg, positive: bool = True) -> ClassLoss | None:
    """The loss where `mask` is true, else 0; what is read elsewhere is class 0, or one that there is."""
    condition = condition_of(scope, mask)
    condition = replace(condition, positive=condition.positive is positive)
    if leaves_out(loss):
        return None
    found = _chosen(scope, loss.target) or _not_negative(scope, loss.target, condition)
    if found is None:
        number = condition.number
        if condition.base != loss.target or not condition.positive or not isinstance(number, int) or number < 0:
            return None
        found = condition, loss.target
    if found[0] != condition:
        return None
    target = found[1]
    if condition.number is not None and condition.base == target:
        number = scope.number(condition.number) if isinstance(condition.number, int) else condition.number
        return replace(loss, target=target, others={**loss.others, "ignored": number})
    if condition.number is not None or sorted(mask.axes) != sorted(target.axes) or not positive:
        return None
    return replace(loss, target=target, others={**loss.others, "kept": mask})


def leaves_out(loss: ClassLoss) -> bool:
    return "ignored" in loss.others or "kept" in loss.others


def _weighted(scope: Scope, loss: ClassLoss, factor: Arg) -> ClassLoss | None:
    """The loss times the weight of the target's class."""
    weight = weight_of(scope, loss, factor)
    if weight is None or "weight" in loss.others or "smoothing" in loss.others:
        return None
    return loss if is_one(weight) else replace(loss, others={**loss.others, "weight": weight})


def weight_of(scope: Scope, loss: ClassLoss, factor: Arg) -> Arg | None:
    """What `factor` reads at the loss's targets: a weight of classes, refused where they are out of range."""
    if factor.node.op != "gather" or factor.node.attr("fill") or len(factor.node.args) != 2 or loss.within:
        return None
    weight, index = scope.operands(factor)
    if weight.axes != (-1,) or weight.node.kind is not Kind.REAL and not is_one(weight):
        return None
    return weight if index == loss.target or _where_kept(scope, loss, index) else None


def _where_kept(scope: Scope, loss: ClassLoss, index: Arg) -> bool:
    """Whether `index` is the loss's target where that counts."""
    found = _chosen(scope, index)
    return found is not None and found[1] == loss.target and counts_where(scope, loss, found[0])


def counts_where(scope: Scope, loss: ClassLoss, condition: Condition) -> bool:
    """Whether the condition is that a target is not left out."""
    if not condition.positive:
        return False
    if condition.number is not None:
        ignored = loss.others.get("ignored")
        value = _whole(ignored) if ignored is not None else None
        return condition.base == loss.target and condition.number == (ignored if value is None else value)
    return loss.others.get("kept") == condition.base


def is_one(weight: Arg) -> bool:
    return weight.node.op == "expand" and constant(weight.node.args[0].node) == 1


def taken_in(scope: Scope, loss: ClassLoss, factors: list[Arg]) -> tuple[ClassLoss, list[Arg]]:
    """The loss with as many of the factors as it takes, and those that are left."""
    left = list(factors)
    changed = True
    while changed and left:
        changed = False
        for factor in left:
            more = _weighted(scope, loss, factor)
            if more is None and factor.node.kind is Kind.BOOL:
                more = left_out(scope, loss, factor)
            if more is not None:
                left.remove(factor)
                loss, changed = more, True
                break
    return loss, left
