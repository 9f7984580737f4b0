"""What a loss of classes takes in: a weight of the class, whether the target counts, the smoothing of the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import statistic
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.rules.losses.class_weights import (
    condition_of,
    counts_where,
    is_one,
    leaves_out,
    left_out,
    taken_in,
    weight_of,
)
from namedlayers.plan.rules.losses.classes import ClassLoss, build, read, seen
from namedlayers.plan.view import Product, Scope, is_number, size_of
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


def _loss(scope: Scope, arg: Arg) -> tuple[ClassLoss, int] | None:
    """`arg` as a loss, or as minus one: what is read at targets, or minus that."""
    product = scope.own_product(arg) if arg.node.op == "neg" else Product(1, (arg,), ())
    if product.number not in (1, -1) or len(product.top) != 1 or product.bottom:
        return None
    sign = 1 if product.number == 1 else -1
    (part,) = product.top
    loss = seen(scope, part)
    if loss is not None:
        return loss, sign
    loss = read(scope, part)
    return (loss, -sign) if loss is not None and scope.once(part.node) else None


def _times(scope: Scope, node: Node) -> Outcome:
    """A weight or a mask times the loss"""
    if node.kind is not Kind.REAL or node.rank == 0:
        return None
    product = scope.product(scope.whole())
    for k, part in enumerate(product.top):
        found = _loss(scope, part)
        if found is None or not scope.once(part.node):
            continue
        loss, sign = found
        others = [*product.top[:k], *product.top[k + 1 :]]
        more, left = taken_in(scope, loss, others)
        if len(left) < len(others):
            rest = replace(product, number=product.number * sign, top=tuple(left))
            return Match((more, rest), (part.node, *product.nodes))
        if any(one.node.kind is Kind.BOOL for one in others):
            return Near("targets that do not count are read too; a `where` would have to put 0 there")
    return None


def _build_times(scope: Scope, node: Node, found: tuple[ClassLoss, Product]) -> Arg:
    loss, rest = found
    return scope.multiply(replace(rest, top=(build(scope, loss), *rest.top)))


def _contracted(scope: Scope, node: Node) -> Outcome:
    """The sum of a weight or a mask times the loss"""
    for k, part in enumerate(node.args):
        found = _loss(scope, part)
        if found is None:
            continue
        loss, number = found
        left: list[Arg] = []
        for other in (*node.args[:k], *node.args[k + 1 :]):
            factors = scope.product(other)
            more, unused = taken_in(scope, loss, list(factors.top))
            if unused or factors.bottom:
                left.append(other)
            else:
                loss, number = more, number * factors.number  # type: ignore[assignment]
        if len(left) < len(node.args) - 1:
            return Match((loss, left, number), (part.node,))
    return None


def _build_contracted(scope: Scope, node: Node, found: tuple[ClassLoss, list[Arg], complex]) -> Arg:
    loss, left, number = found
    total = contraction(scope, [build(scope, loss), *left], set(range(node.rank, len(node.space))))
    return scope.multiply(Product(number, (total,), ()))


def _where(scope: Scope, node: Node) -> Outcome:
    """The loss where a condition holds, else 0"""
    mask, yes, no = node.args
    for part, other, positive in ((yes, no, True), (no, yes, False)):
        found = _loss(scope, part) if is_number(other, 0) else None
        more = left_out(scope, found[0], mask, positive) if found is not None else None
        if found is not None and more is not None:
            return Match((more, Product(found[1], (), ())), (part.node, mask.node))
    return None


# --- the smoothing of targets -----------------------------------------------------------------------------------------


def _smoothed(scope: Scope, node: Node) -> Outcome:
    """(1 - s) * loss - s * mean over classes of the log probabilities"""
    total = scope.own_sum(scope.whole())
    if len(total.terms) != 2 or total.number != 0 or node.kind is not Kind.REAL:
        return None
    for (sign, plain), (other, flat) in (total.terms, total.terms[::-1]):
        product = scope.product(plain)
        if len(product.top) != 1 or product.bottom:
            continue
        (part,) = product.top
        loss = seen(scope, part) or seen(scope, part, "mean")
        if loss is None or loss.within or "smoothing" in loss.others:
            continue
        average = scope.product(flat)
        share = _share(scope, loss, average, part.node.attr("reduction") == "mean")
        if share is None or isinstance(product.number, complex) or isinstance(average.number, complex):
            continue
        kept, s = sign * product.number, -other * average.number
        if abs(kept + s - 1) > 1e-12 or not 0 <= s <= 1:
            return Near("the two parts of a smoothed loss add up to 1")
        smoothing = scope.number(float(s))
        smoothed = replace(loss, others={**loss.others, "smoothing": smoothing})
        return Match((smoothed, str(part.node.attr("reduction"))), (plain.node, flat.node))
    return None


def _share(scope: Scope, loss: ClassLoss, average: Product, together: bool) -> Arg | None:
    """The mean over classes (and, `together`, over all else) of the loss's log probabilities, weighted alike, where its
    targets count."""
    left = list(average.top)
    if leaves_out(loss):
        masks = [
            one for one in left if one.node.kind is Kind.BOOL and counts_where(scope, loss, condition_of(scope, one))
        ]
        if len(masks) != 1:
            return None
        left.remove(masks[0])
    if len(left) != 1:
        return None
    (mean,) = left
    if "weight" not in loss.others:
        found = statistic(scope, mean, "mean")
        if found is None or average.bottom:
            return None
        x, gone = found
        if together:
            return mean if x.node is loss.x.node and len(set(x.axes)) == len(gone) and not leaves_out(loss) else None
        return mean if len(gone) == 1 and _over_classes(loss, x, gone[0]) else None
    if together:
        return None
    if mean.node.op != "contract" or len(mean.node.args) != 2 or len(scope.consumed(mean)) != 1:
        return None
    (c,) = scope.consumed(mean)
    if [size_of(one.node) for one in average.bottom] != [scope.sizes[c]]:
        return None
    for x, weight in (scope.operands(mean), scope.operands(mean)[::-1]):
        if weight.axes == (c,) and weight.node is loss.others["weight"].node and _over_classes(loss, x, c):
            return mean
    return None


def _over_classes(loss: ClassLoss, x: Arg, c: int) -> bool:
    return x.node is loss.x.node and tuple(-1 if p == c else p for p in x.axes) == loss.x.axes


def _build_smoothed(scope: Scope, node: Node, found: tuple[ClassLoss, str]) -> Arg:
    return build(scope, *found)


# --- their mean -------------------------------------------------------------------------------------------------------


def _weighted_mean(scope: Scope, node: Node) -> Outcome:
    """The sum of all losses over the sum of their weights"""
    product = scope.product(scope.whole())
    for part in product.top:
        loss = seen(scope, part, "sum")
        if loss is None or loss.within or not (leaves_out(loss) or "weight" in loss.others):
            continue
        for divisor in product.bottom:
            if _total_weight(scope, loss, divisor):
                return Match((loss, part, divisor, product), (part.node, divisor.node))
    return None


def _total_weight(scope: Scope, loss: ClassLoss, divisor: Arg) -> bool:
    """Whether `divisor` is the sum over all targets that count of their weights."""
    node = divisor.node
    if node.rank or not (node.op == "contract" or node.op == "reduce" and node.attr("op") == "sum"):
        return False
    factors: list[Arg] = []
    for operand in scope.operands(divisor):
        inner = scope.product(operand)
        if inner.number != 1 or inner.bottom:
            return False
        factors += inner.top
    gone = scope.consumed(divisor)
    needs = {"weight"} & loss.others.keys() | ({"mask"} if leaves_out(loss) else set())
    for names in _names(scope, loss, factors, gone):
        moved = _renamed(loss, names)
        found = []
        for factor in factors:
            weight = weight_of(scope, moved, factor)
            if weight is not None and not is_one(weight):
                found.append("weight" if weight == moved.others.get("weight") else "")
            elif weight is None:
                counts = factor.node.kind is Kind.BOOL and counts_where(scope, moved, condition_of(scope, factor))
                found.append("mask" if counts else "")
        if sorted(found) == sorted(needs):
            return True
    return False


def _names(scope: Scope, loss: ClassLoss, factors: list[Arg], gone: tuple[int, ...]) -> Iterator[dict[int, int]]:
    """How the loss's axes may be called in a sum over `gone`: as the targets, or the mask, are there."""
    wanted = loss.others.get("kept", loss.target)
    for factor in factors:
        condition = condition_of(scope, factor) if factor.node.kind is Kind.BOOL else None
        seen = [condition.base] if condition is not None else list(scope.operands(factor))
        for one in (*seen, *(inner for part in seen for inner in scope.operands(part) if part.node.op == "where")):
            if one.node is wanted.node and sorted(one.axes) == sorted(gone):
                yield dict(zip(wanted.axes, one.axes, strict=True))


def _renamed(loss: ClassLoss, names: Mapping[int, int]) -> ClassLoss:
    def moved(arg: Arg) -> Arg:
        return Arg(arg.node, tuple(names.get(c, c) for c in arg.axes))

    others = {role: moved(arg) for role, arg in loss.others.items()}
    return replace(loss, x=moved(loss.x), target=moved(loss.target), others=others)


def _build_weighted_mean(scope: Scope, node: Node, found: tuple[ClassLoss, Arg, Arg, Product]) -> Arg:
    loss, part, divisor, product = found
    top, bottom = list(product.top), list(product.bottom)
    top[top.index(part)] = build(scope, loss, "mean")
    bottom.remove(divisor)
    return scope.multiply(replace(product, top=tuple(top), bottom=tuple(bottom)))


RULES = (
    Rule("weighted loss of a class", "algebraic", ("mul", "div"), _times, _build_times),
    Rule("weighted loss of a class", "algebraic", ("contract",), _contracted, _build_contracted),
    Rule("loss of targets that count", "exact", ("where",), _where, _build_times),
    Rule("loss of a smoothed target", "algebraic", ("sub", "add"), _smoothed, _build_smoothed),
    Rule("weighted mean of losses", "algebraic", ("div",), _weighted_mean, _build_weighted_mean),
)
