"""softmax, log_softmax and logsumexp, however they are written.

`exp(X - logsumexp(X))` becomes log_softmax first, then softmax; `exp(X) / sum(exp(X))` becomes softmax; a maximum that
was subtracted for safety is dropped, since the kernels subtract it themselves. A row of -inf only gives 0.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import reduced, renaming
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Found = tuple[Arg, tuple[int, ...]]


def _logsumexp(scope: Scope, node: Node) -> Outcome:
    """log(sum(exp(x)))"""
    found = reduced(scope, node.args[0], "sum")
    if found is None or found[0].node.op != "exp" or node.kind != Kind.REAL:
        return None
    return Match((scope.operands(found[0])[0], found[1]), (node.args[0].node,))


def _unshifted_logsumexp(scope: Scope, node: Node) -> Outcome:
    """logsumexp(x - m) + m"""
    total = scope.own_sum(scope.whole())
    for sign, term in total.terms:
        found = reduced(scope, term, "logsumexp")
        if found is None or sign < 0 or len(total.terms) != 2 or total.number != 0 or found[0].node.op != "sub":
            continue
        x, shift = scope.operands(found[0])
        other = next(t for t in total.terms if t != (sign, term))
        if other == (1, shift) and not set(shift.axes) & set(found[1]):
            return Match((x, found[1]), (term.node,))
    return None


def _build_logsumexp(scope: Scope, node: Node, found: Found) -> Arg:
    x, consumed = found
    return scope.build("reduce", (x,), range(node.rank), consumed, kind=node.kind, attrs={"op": "logsumexp"})


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
    if found is None or top.node.op != "exp":
        return None
    names = renaming(found[0], top, found[1])
    (x,) = scope.operands(top)
    if names is None or x.node.kind != Kind.REAL:
        return None
    return Match((x, tuple(names.values())), (top.node, product.bottom[0].node))


def _divided_later(scope: Scope, node: Node) -> Outcome:
    """sum(exp(x) * y) / sum(exp(x)), which is sum(softmax(x) * y)"""
    weighted, total = node.args
    found = reduced(scope, total, "sum")
    if found is None or weighted.node.op != "contract" or not scope.once(weighted.node):
        return None
    gone = scope.consumed(weighted)
    for e, *others in (scope.operands(weighted), scope.operands(weighted)[::-1]):
        names = renaming(found[0], e, found[1]) if e.node.op == "exp" and len(others) == 1 else None
        (x,) = scope.operands(e) if e.node.op == "exp" else (e,)
        if names is not None and set(names.values()) == set(gone) and x.node.kind == Kind.REAL:
            return Match((x, others[0], gone), (weighted.node, total.node))
    return None


def _build_divided_later(scope: Scope, node: Node, found: tuple[Arg, Arg, tuple[int, ...]]) -> Arg:
    x, y, gone = found
    result = tuple(sorted(x.axes))
    axes = tuple(result.index(c) for c in sorted(gone))
    weights = scope.build("softmax", (x,), result, kind=Kind.REAL, attrs={"axes": axes})
    return scope.build("contract", (weights, y), range(node.rank), gone, kind=node.kind, attrs={"path": ()})


def _build(op: str) -> Callable[[Scope, Node, Found], Arg]:
    def build(scope: Scope, node: Node, found: Found) -> Arg:
        x, axes = found
        return scope.build(op, (x,), range(node.rank), kind=node.kind, attrs={"axes": tuple(sorted(axes))})

    return build


def _shifted(scope: Scope, node: Node) -> Outcome:
    """softmax(x - max(x))"""
    arg = node.args[0]
    if arg.node.op not in ("sub", "add"):
        return None
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    for total, (sign, term) in ((s, term) for s in scope.sums(arg) for term in s.terms):
        inner = scope.operands(term)[0] if term.node.op == "detach" else term
        found = reduced(scope, inner, "max")
        rest = tuple(t for t in total.terms if t != (sign, term))
        if found is None or sign > 0 or len(rest) != 1 or rest[0][0] < 0 or total.number != 0:
            continue
        x = rest[0][1]
        # The maximum may be taken over more axes than the softmax is: a shift is a shift.
        names = renaming(found[0], x, found[1])
        if names is not None and set(axes) <= set(names.values()):
            return Match((x, axes), (arg.node,))
    return None


def _build_shifted(scope: Scope, node: Node, found: Found) -> Arg:
    return scope.build(node.op, (found[0],), range(node.rank), kind=node.kind, attrs={"axes": found[1]})


def _below_maximum(scope: Scope, node: Node) -> Outcome:
    """exp(x - max(x)), not part of a softmax"""
    (body,) = node.args
    if body.node.op != "sub" or node.kind != Kind.REAL:
        return None
    x, shift = scope.operands(body)
    found = reduced(scope, scope.operands(shift)[0] if shift.node.op == "detach" else shift, "max")
    return Match((body, x), (body.node,)) if found and renaming(found[0], x, found[1]) else None


def _build_below_maximum(scope: Scope, node: Node, found: tuple[Arg, Arg]) -> Arg:
    """-inf less a maximum of -inf counts as -inf, in values and in gradients."""
    body, x = found
    bottom = scope.number(-inf)
    chosen = scope.apply("where", scope.apply("eq", x, bottom), bottom, body, kind=body.node.kind)
    return scope.build("exp", (chosen,), range(node.rank), kind=node.kind)


RULES = (
    Rule("logsumexp", "algebraic", ("log",), _logsumexp, _build_logsumexp),
    Rule("logsumexp", "algebraic", ("add",), _unshifted_logsumexp, _build_logsumexp),
    Rule("log_softmax", "exact", ("sub", "add"), _log_softmax, _build("log_softmax")),
    Rule("log_softmax", "algebraic", ("log",), _log_of_softmax, _build("log_softmax")),
    Rule("softmax", "exact", ("exp",), _exp_of_log_softmax, _build("softmax")),
    Rule("softmax", "algebraic", ("div", "mul"), _normalised_exp, _build("softmax")),
    Rule("softmax divided later", "algebraic", ("div",), _divided_later, _build_divided_later),
    Rule("softmax without its shift", "algebraic", ("softmax", "log_softmax"), _shifted, _build_shifted),
)
LEFT_OVER = (Rule("exponential below its maximum", "exact", ("exp",), _below_maximum, _build_below_maximum),)
