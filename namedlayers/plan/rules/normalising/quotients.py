"""Quotients of what is made of powers: a mean by a softmax that is divided last, and the logarithm of a quotient.

`sum(exp(X) * Y) / sum(exp(X))`, also among other factors, is `sum(softmax(X) * Y)`: no power is too large, and
attention and means by outer sums are found in it. `log(softmax(X) / softmax(Y))`, as in a divergence, is a difference
of two log_softmax: no quotient is 0 by 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import reduced, renaming
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.rules.masks import chosen, masked
from namedlayers.plan.view import Product, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Found = tuple[Arg, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Powers:
    """`exp(x)`, and 0 where one of `allows` is false."""

    x: Arg
    allows: tuple[Arg, ...] = ()

    def logits(self, scope: Scope) -> Arg:
        return masked(scope, self.x, self.allows)


def powers(scope: Scope, arg: Arg) -> Powers | None:
    """exp(x), where(allow, exp(x), 0), exp(x) * allow"""
    allows: list[Arg] = []
    while arg.node.op != "exp":
        part = chosen(scope, arg, 0)
        if part is None and arg.node.op == "mul":
            first, second = sorted(scope.operands(arg), key=lambda one: one.node.kind.value)
            part = (first, second) if first.node.kind == Kind.BOOL else None
        if part is None:
            return None
        allows.append(part[0])
        arg = part[1]
    (x,) = scope.operands(arg)
    return Powers(x, tuple(allows)) if x.node.kind == Kind.REAL else None


def _divided_later(scope: Scope, node: Node) -> Outcome:
    """sum(exp(x) * y) / sum(exp(x)), which is sum(softmax(x) * y), among other factors"""
    product = scope.product(scope.whole(), scope.once)
    for total in product.bottom:
        found = reduced(scope, total, "sum")
        for weighted in product.top:
            outcome = _weighted(scope, weighted, found) if found is not None else None
            if outcome is None:
                continue
            top, bottom = list(product.top), list(product.bottom)
            top.remove(weighted)
            bottom.remove(total)
            rest = replace(product, top=tuple(top), bottom=tuple(bottom))
            return Match((*outcome, rest), (weighted.node, total.node, *product.nodes))
    return None


def _weighted(scope: Scope, weighted: Arg, total: Found) -> tuple[Powers, list[Arg], tuple[int, ...]] | None:
    """The powers of a sum of products with them, the other factors, and what is summed over, if `total` is the sum of
    the powers."""
    if weighted.node.op != "contract" or not scope.once(weighted.node):
        return None
    gone, factors = scope.consumed(weighted), scope.operands(weighted)
    for k, factor in enumerate(factors):
        for e, beside in _factors(scope, factor):
            names = renaming(total[0], e, total[1])
            part = powers(scope, e) if names is not None and set(names.values()) == set(gone) else None
            if part is not None:
                return part, [*factors[:k], *beside, *factors[k + 1 :]], gone
    return None


def _factors(scope: Scope, arg: Arg) -> Iterator[tuple[Arg, list[Arg]]]:
    """A value, and each factor of it with what is beside it."""
    yield arg, []
    if arg.node.op in ("mul", "div") and scope.once(arg.node):
        product = scope.own_product(arg)
        for one in product.top:
            top = list(product.top)
            top.remove(one)
            if top or product.bottom:
                yield one, [scope.multiply(replace(product, top=tuple(top)))]


def _build_divided_later(scope: Scope, node: Node, found: tuple[Powers, list[Arg], tuple[int, ...], Product]) -> Arg:
    part, others, gone, rest = found
    x = part.logits(scope)
    result = tuple(sorted(x.axes))
    axes = tuple(result.index(c) for c in sorted(gone))
    weights = scope.build("softmax", (x,), result, kind=Kind.REAL, attrs={"axes": axes})
    mean = contraction(scope, [weights, *others], set(gone))
    return scope.multiply(replace(rest, top=(mean, *rest.top)))


def _log_of_quotient(scope: Scope, node: Node) -> Outcome:
    """log(softmax(x) / softmax(y)), of any number of either"""
    (body,) = node.args
    if body.node.op not in ("mul", "div") or not scope.once(body.node):
        return None
    product = scope.product(body, scope.once)
    factors = (*product.top, *product.bottom)
    if product.number != 1 or not product.top or any(factor.node.op != "softmax" for factor in factors):
        return None
    return Match(product, product.nodes)


def _build_log_of_quotient(scope: Scope, node: Node, product: Product) -> Arg:
    total, *others = (scope.apply("log", factor) for factor in product.top)
    for other in others:
        total = scope.apply("add", total, other)
    for factor in product.bottom:
        total = scope.apply("sub", total, scope.apply("log", factor))
    return total


RULES = (
    Rule("softmax divided later", "algebraic", ("div", "mul"), _divided_later, _build_divided_later),
    Rule("log_softmax of a quotient", "algebraic", ("log",), _log_of_quotient, _build_log_of_quotient),
)
