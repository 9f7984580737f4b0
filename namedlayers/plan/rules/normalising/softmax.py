"""softmax, log_softmax and logsumexp, however they are written.

`exp(X - logsumexp(X))` becomes log_softmax first, then softmax; `exp(X) / sum(exp(X))` becomes softmax, also where a
condition leaves some of the powers out; a maximum that was subtracted for safety is dropped, since the kernels subtract
it themselves. A row of -inf only gives 0, and so does one of which everything is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import inf

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import count, reduced, renaming, statistic
from namedlayers.plan.rules.linear_forms import triangle
from namedlayers.plan.rules.masks import chosen
from namedlayers.plan.rules.normalising import quotients
from namedlayers.plan.rules.normalising.quotients import Found, Powers, powers
from namedlayers.plan.view import Scope, Sum
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


def _logsumexp(scope: Scope, node: Node) -> Outcome:
    """log(sum(exp(x)))"""
    found = reduced(scope, node.args[0], "sum")
    if found is None or found[0].node.op != "exp" or node.kind != Kind.REAL:
        return None
    return Match((scope.operands(found[0])[0], found[1]), (node.args[0].node,))


def _build_logsumexp(scope: Scope, node: Node, found: Found) -> Arg:
    x, consumed = found
    return scope.build("reduce", (x,), range(node.rank), consumed, kind=node.kind, attrs={"op": "logsumexp"})


def _logmeanexp(scope: Scope, node: Node) -> Outcome:
    """log(mean(exp(x)))"""
    found = statistic(scope, node.args[0], "mean")
    if found is None or found[0].node.op != "exp" or node.kind != Kind.REAL:
        return None
    return Match((scope.operands(found[0])[0], found[1]), (node.args[0].node,))


def _build_logmeanexp(scope: Scope, node: Node, found: Found) -> Arg:
    values = scope.apply("log", scope.size(count(scope, found[1])), kind=node.kind)
    return scope.apply("sub", _build_logsumexp(scope, node, found), values)


def _logaddexp(scope: Scope, node: Node) -> Outcome:
    """log(exp(x) + exp(y)), of any number of them"""
    total = scope.sum(node.args[0])
    are_powers = all(sign > 0 and term.node.op == "exp" and term.node.kind is Kind.REAL for sign, term in total.terms)
    if len(total.terms) < 2 or total.number != 0 or not are_powers:
        return None
    return Match(tuple(scope.operands(term)[0] for _, term in total.terms), total.nodes)


def _build_logaddexp(scope: Scope, node: Node, found: tuple[Arg, ...]) -> Arg:
    return reduce(lambda x, y: scope.apply("logaddexp", x, y), found)


def _unshifted_logsumexp(scope: Scope, node: Node) -> Outcome:
    """logsumexp(x - m) + m, among other summands; not where the whole is a log_softmax of x - m"""
    if _log_softmax(scope, node) is not None:
        return None
    for total in scope.sums(scope.whole()):
        for sign, term in total.terms:
            found = reduced(scope, term, "logsumexp")
            if found is None or found[0].node.op != "sub":
                continue
            x, shift = scope.operands(found[0])
            rest = list(total.terms)
            rest.remove((sign, term))
            if (sign, shift) in rest and not set(shift.axes) & set(found[1]):
                rest.remove((sign, shift))
                if any(one.node is x.node for _, one in rest) or rest and not _levels(scope, shift, x):
                    continue  # a softmax, of which an infinite shift may leave nothing
                return Match((sign, x, found[1], Sum(total.number, tuple(rest))), (term.node, *total.nodes))
    return None


def _build_unshifted(scope: Scope, node: Node, found: tuple[int, Arg, tuple[int, ...], Sum]) -> Arg:
    sign, x, consumed, rest = found
    total = scope.reduce("logsumexp", x, consumed, node.kind)
    if sign < 0:
        total = scope.apply("neg", total)
    for other, term in rest.terms:
        total = scope.apply("add" if other > 0 else "sub", total, term)
    return total if rest.number == 0 else scope.apply("add", total, scope.number(rest.number))


def _log_softmax(scope: Scope, node: Node) -> Outcome:
    """x - logsumexp(x)"""
    total = scope.own_sum(scope.whole())
    if len(total.terms) != 2 or total.number != 0:
        return None
    for (sign, x), (other, normaliser) in (total.terms, total.terms[::-1]):
        found = reduced(scope, normaliser, "logsumexp")
        if sign > 0 > other and found is not None and x.node.kind == Kind.REAL:
            names = renaming(found[0], x, found[1])
            if names is not None:
                return Match((x, tuple(names.values())), (normaliser.node,))
    return None


def _log_of_softmax(scope: Scope, node: Node) -> Outcome:
    inner = node.args[0]
    if inner.node.op != "softmax":
        return None
    axes = inner.node.attr("axes")
    assert isinstance(axes, tuple)
    return Match((scope.operands(inner)[0], tuple(inner.axes[p] for p in axes)), (inner.node,))


def _exp_of_log_softmax(scope: Scope, node: Node) -> Outcome:
    inner = node.args[0]
    if inner.node.op != "log_softmax":
        return None
    axes = inner.node.attr("axes")
    assert isinstance(axes, tuple)
    return Match((scope.operands(inner)[0], tuple(inner.axes[p] for p in axes)), (inner.node,))


def _normalised_exp(scope: Scope, node: Node) -> Outcome:
    """exp(x) / sum(exp(x))"""
    product = scope.product(scope.whole(), lambda n: not n.rank or n.op == "div")
    if product.number != 1 or len(product.top) != 1 or len(product.bottom) != 1 or node.kind != Kind.REAL:
        return None
    top, found = product.top[0], reduced(scope, product.bottom[0], "sum")
    part = powers(scope, top) if found is not None else None
    names = renaming(found[0], top, found[1]) if found is not None else None
    if part is None or names is None:
        return None
    return Match((part, tuple(names.values())), (top.node, product.bottom[0].node))


def _build_normalised(scope: Scope, node: Node, found: tuple[Powers, tuple[int, ...]]) -> Arg:
    part, axes = found
    return _build("softmax")(scope, node, (part.logits(scope), axes))


def _build(op: str) -> Callable[[Scope, Node, Found], Arg]:
    def build(scope: Scope, node: Node, found: Found) -> Arg:
        x, axes = found
        return scope.build(op, (x,), range(node.rank), kind=node.kind, attrs={"axes": tuple(sorted(axes))})

    return build


def _shifted(scope: Scope, node: Node) -> Outcome:
    """softmax(x - max(x)), also under a mask of -inf, and of what else says how large all of x are"""
    arg, allows = node.args[0], []
    while (part := chosen(scope, arg, -inf)) is not None:
        allows.append(part[0])
        arg = part[1]
    if arg.node.op not in ("sub", "add"):
        return None
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    for total, (sign, term) in ((s, term) for s in scope.sums(arg) for term in s.terms):
        inner = scope.operands(term)[0] if term.node.op == "detach" else term
        found = _level(scope, inner)
        rest = tuple(t for t in total.terms if t != (sign, term))
        if found is None or sign > 0 or len(rest) != 1 or rest[0][0] < 0 or total.number != 0:
            continue
        x = rest[0][1]
        # The maximum may be taken over more axes than the softmax is: a shift is a shift.
        names = renaming(found[0], x, found[1])
        if names is not None and set(axes) <= set(names.values()):
            return Match((Powers(x, tuple(allows)), axes), (arg.node,))
    return None


def _levels(scope: Scope, shift: Arg, x: Arg) -> bool:
    found = _level(scope, shift)
    return found is not None and renaming(found[0], x, found[1]) is not None


def _level(scope: Scope, arg: Arg) -> Found | None:
    """`(operand, consumed)` of what is finite where its operands are."""
    found = next((one for op in ("max", "min", "logsumexp") if (one := reduced(scope, arg, op)) is not None), None)
    return found or statistic(scope, arg, "mean")


def _build_shifted(scope: Scope, node: Node, found: tuple[Powers, tuple[int, ...]]) -> Arg:
    x = found[0].logits(scope)
    return scope.build(node.op, (x,), range(node.rank), kind=node.kind, attrs={"axes": found[1]})


def _masked_twice(scope: Scope, node: Node) -> Outcome:
    """where(allow, softmax(where(allow, x, -inf)), 0), softmax(…) * allow: what is left out is 0 already"""
    whole = scope.whole()
    part = chosen(scope, whole, 0)
    pairs = [part] if part is not None else [whole.node.args, whole.node.args[::-1]] if node.op == "mul" else []
    for allow, weights in pairs:
        if weights.node.op == "softmax" and allow.node.kind is Kind.BOOL and sorted(weights.axes) == list(whole.axes):
            (logits,) = scope.operands(weights)
            if any(_within(scope, one, allow) for one in _allowed(scope, logits)):
                axes = weights.node.attr("axes")
                assert isinstance(axes, tuple)
                return Match((logits, tuple(weights.axes[p] for p in axes)), (weights.node,))
    return None


def _within(scope: Scope, one: Arg, other: Arg) -> bool:
    """Whether a condition is another, or says more."""
    inner, outer = (triangle(scope, condition) for condition in (one, other))
    return one == other or inner is not None and outer is not None and inner.lies_in(outer)


def _allowed(scope: Scope, logits: Arg) -> list[Arg]:
    """The conditions without which a logit is -inf, by a choice or by a summand."""
    found = []
    while (part := chosen(scope, logits, -inf)) is not None:
        found.append(part[0])
        logits = part[1]
    parts = [chosen(scope, term, -inf) for sign, term in scope.sum(logits).terms if sign > 0]
    return [*found, *(part[0] for part in parts if part is not None)]


def _below_maximum(scope: Scope, node: Node) -> Outcome:
    """exp(x - max(x)), not part of a softmax"""
    (body,) = node.args
    if body.node.op != "sub" or node.kind != Kind.REAL:
        return None
    x, shift = scope.operands(body)
    found = reduced(scope, scope.operands(shift)[0] if shift.node.op == "detach" else shift, "max")
    return Match((x, shift), (body.node,)) if found and renaming(found[0], x, found[1]) else None


def _build_below_maximum(scope: Scope, node: Node, found: tuple[Arg, Arg]) -> Arg:
    """-inf less a maximum of -inf counts as -inf, in values and in gradients: such a maximum, below which there is
    nothing else, is left out."""
    x, shift = found
    bottom = scope.apply("eq", shift, scope.number(-inf))
    shift = scope.apply("where", bottom, scope.number(0.0), shift, kind=shift.node.kind)
    return scope.build("exp", (scope.apply("sub", x, shift),), range(node.rank), kind=node.kind)


RULES = (
    Rule("logsumexp", "algebraic", ("log",), _logsumexp, _build_logsumexp),
    Rule("logsumexp", "algebraic", ("log",), _logmeanexp, _build_logmeanexp),
    Rule("logsumexp", "algebraic", ("add", "sub"), _unshifted_logsumexp, _build_unshifted),
    Rule("logaddexp", "algebraic", ("log",), _logaddexp, _build_logaddexp),
    Rule("log_softmax", "exact", ("sub", "add"), _log_softmax, _build("log_softmax")),
    Rule("log_softmax", "algebraic", ("log",), _log_of_softmax, _build("log_softmax")),
    Rule("softmax", "exact", ("exp",), _exp_of_log_softmax, _build("softmax")),
    Rule("softmax", "algebraic", ("div", "mul"), _normalised_exp, _build_normalised),
    *quotients.RULES,
    Rule("softmax without its shift", "algebraic", ("softmax", "log_softmax"), _shifted, _build_shifted),
    Rule("weights masked twice", "algebraic", ("where", "mul"), _masked_twice, _build("softmax")),
)
LEFT_OVER = (Rule("exponential below its maximum", "exact", ("exp",), _below_maximum, _build_below_maximum),)
