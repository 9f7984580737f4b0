"""Losses of classes: minus the logarithm of the probability of one class, the sum or the mean of all, their softmax.

`class_loss` is `-L[class = T]` for log probabilities L. It is seen where it stands alone; `weighted_losses` has what it
then takes in. In the end the `log_softmax` that L is becomes part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import averaged, count, reduced
from namedlayers.plan.view import Product, Scope, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

ROLES = ("ignored", "kept", "weight", "smoothing")
"""What operands may follow the log probabilities and the targets, in this order."""


@dataclass(frozen=True, slots=True)
class ClassLoss:
    """`x` with -1 at its axis of classes; `others` by role."""

    x: Arg
    target: Arg
    within: bool
    others: Mapping[str, Arg] = field(default_factory=dict)
    logits: bool = False

    @property
    def axis(self) -> int:
        return self.x.axes.index(-1)


def seen(scope: Scope, arg: Arg, reduction: str = "none") -> ClassLoss | None:
    """The loss that `arg` is."""
    node = arg.node
    if node.op != "class_loss" or node.attr("reduction") != reduction:
        return None
    x, target, *others = scope.operands(arg)
    roles = node.attr("roles")
    assert isinstance(roles, tuple)
    return ClassLoss(x, target, bool(node.attr("within")), dict(zip(roles, others, strict=True)))


def build(scope: Scope, loss: ClassLoss, reduction: str = "none") -> Arg:
    """Its node, over the axes of the targets, or of all of them."""
    axes = sorted(loss.target.axes)
    roles = tuple(role for role in ROLES if role in loss.others)
    attrs = {
        "axis": loss.axis,
        "roles": roles,
        "within": loss.within,
        "logits": loss.logits,
        "reduction": reduction,
    }
    args = (loss.x, loss.target, *(loss.others[role] for role in roles))
    result, consumed = (axes, ()) if reduction == "none" else ((), axes)
    return scope.build("class_loss", args, result, consumed, kind=Kind.REAL, attrs=attrs, weak=False)


# --- what it is -------------------------------------------------------------------------------------------------------


def read(scope: Scope, arg: Arg) -> ClassLoss | None:
    """`arg` as one value of x for each target, the same axes aside; out of range an error, or 0."""
    node = arg.node
    if node.op == "take":
        within = bool(node.attr("fill"))
    elif node.op == "gather" and len(node.args) == 2 + bool(node.attr("fill")):
        within = bool(node.attr("fill"))
        if within and not is_number(node.args[2], 0):
            return None
    else:
        return None
    x, target, *_ = scope.operands(arg)
    if target.node.kind is not Kind.INT or x.node.kind is not Kind.REAL or x.node.weak or x.axes.count(-1) != 1:
        return None
    aligned = sorted(target.axes) == sorted(set(x.axes) - {-1}) == sorted(set(arg.axes))
    return ClassLoss(x, target, within) if aligned and len(set(x.axes)) == len(x.axes) else None


def _along(node: Node, op: str, axis: int) -> bool:
    return node.op == op and node.attr("axes") == (axis,)


def _of_log_softmax(scope: Scope, node: Node) -> Outcome:
    """log_softmax(z) at the target"""
    found = read(scope, scope.whole())
    if found is None or not _along(found.x.node, "log_softmax", found.axis):
        return None
    return Match(found, (found.x.node,))


def _of_softmax(scope: Scope, node: Node) -> Outcome:
    """The logarithm of softmax(z) at the target"""
    (picked,) = node.args
    found = read(scope, picked)
    if found is None or found.within or not _along(found.x.node, "softmax", found.axis):
        return None
    (z,) = scope.operands(found.x)
    return Match(replace(found, x=_log_softmax(scope, z, z.axes.index(-1))), (picked.node, found.x.node))


def _below_logsumexp(scope: Scope, node: Node) -> Outcome:
    """z at the target less logsumexp(z), or the other way round"""
    total = scope.own_sum(scope.whole())
    if len(total.terms) != 2 or total.number != 0:
        return None
    for (sign, picked), (other, normaliser) in (total.terms, total.terms[::-1]):
        found, over = read(scope, picked), reduced(scope, normaliser, "logsumexp")
        if found is None or over is None or sign == other or len(over[1]) != 1 or not scope.once(normaliser.node):
            continue
        if found.x.node is over[0].node and found.x.axes == tuple(-1 if c in over[1] else c for c in over[0].axes):
            if found.within:
                return Near("a target that is out of range is read as 0 and not refused")
            loss = replace(found, x=_log_softmax(scope, found.x, found.axis))
            return Match((loss, sign), (picked.node, normaliser.node))
    return None


def _log_softmax(scope: Scope, z: Arg, axis: int) -> Arg:
    """log_softmax of z along its own axis `axis`, which is -1 in it."""
    c = scope.fresh(z.node.sizes[axis], z.node.names[axis])
    whole = Arg(z.node, tuple(c if k == axis else p for k, p in enumerate(z.axes)))
    result = sorted(whole.axes)
    made = scope.build("log_softmax", (whole,), result, kind=Kind.REAL, attrs={"axes": (result.index(c),)})
    return Arg(made.node, tuple(-1 if p == c else p for p in made.axes))


def _build_negative(scope: Scope, node: Node, found: ClassLoss) -> Arg:
    return scope.apply("neg", build(scope, found))


def _build_below(scope: Scope, node: Node, found: tuple[ClassLoss, int]) -> Arg:
    loss, sign = found
    made = build(scope, loss)
    return scope.apply("neg", made) if sign > 0 else made


def _negated(scope: Scope, node: Node) -> Outcome:
    """minus x at the target, whatever x is"""
    (picked,) = node.args
    found = read(scope, picked)
    if found is None or found.within or not scope.once(picked.node) or not node.rank:
        return None
    return Match(found, (picked.node,))


def _build_plain(scope: Scope, node: Node, found: ClassLoss) -> Arg:
    return build(scope, found)


# --- all of them together ---------------------------------------------------------------------------------------------


def _together(scope: Scope, node: Node) -> Outcome:
    """The sum or the mean over all targets"""
    (part,) = node.args
    if node.rank or node.op == "statistic" and node.attr("op") != "mean" or not scope.once(part.node):
        return None
    loss = seen(scope, part)
    if loss is not None:
        return Match((loss, 1), (part.node,))
    loss = read(scope, part)
    if loss is None or node.kind is not Kind.REAL:
        return None
    return Match((loss, -1), (part.node,))


def _build_together(scope: Scope, node: Node, found: tuple[ClassLoss, int]) -> Arg:
    loss, sign = found
    if node.op != "statistic":
        total = build(scope, loss, "sum")
    elif _all_count(loss):
        total = build(scope, loss, "mean")
    else:
        total = scope.apply("div", build(scope, loss, "sum"), scope.size(count(scope, loss.target.axes)))
    return total if sign > 0 else scope.apply("neg", total)


def _all_count(loss: ClassLoss) -> bool:
    """Whether the kernel's mean is that over all targets."""
    return not set(loss.others) - {"smoothing"}


def _averaged(scope: Scope, node: Node) -> Outcome:
    """The sum of all over how many there are"""
    product = scope.product(scope.whole())
    for part in product.top:
        loss = seen(scope, part, "sum")
        if loss is None or not _all_count(loss):
            continue
        rest = averaged(product, part, count(scope, loss.target.axes))
        if rest is not None:
            return Match((loss, rest), (part.node,))
    return None


def _build_averaged(scope: Scope, node: Node, found: tuple[ClassLoss, Product]) -> Arg:
    loss, rest = found
    return scope.multiply(replace(rest, top=(build(scope, loss, "mean"), *rest.top)))


# --- and the softmax before it ----------------------------------------------------------------------------------------


def _with_softmax(scope: Scope, node: Node) -> Outcome:
    """The log_softmax that nothing else needs"""
    x = node.args[0]
    if node.attr("logits") or not scope.once(x.node) or not _along(x.node, "log_softmax", x.axes.index(-1)):
        return None
    return Match(scope.operands(x)[0], (x.node,))


def _build_with_softmax(scope: Scope, node: Node, z: Arg) -> Arg:
    attrs = dict(node.attrs) | {"logits": True, "axis": z.axes.index(-1)}
    consumed = range(node.rank, len(node.space))
    args = (z, *node.args[1:])
    return scope.build("class_loss", args, range(node.rank), consumed, kind=node.kind, attrs=attrs, weak=False)


RULES = (
    Rule("loss of a class", "exact", ("gather", "take"), _of_log_softmax, _build_negative),
    Rule("loss of a class", "algebraic", ("log",), _of_softmax, _build_negative),
    Rule("loss of a class", "exact", ("sub", "add"), _below_logsumexp, _build_below),
    Rule("losses of all targets", "algebraic", ("reduce sum", "statistic"), _together, _build_together),
    Rule("mean of losses", "algebraic", ("div", "mul"), _averaged, _build_averaged),
)
LAST = (
    Rule("loss of a class", "exact", ("neg",), _negated, _build_plain),
    Rule("cross entropy", "exact", ("class_loss",), _with_softmax, _build_with_softmax),
)
