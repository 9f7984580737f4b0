"""A logarithm of a softmax whose x is a sum, of which the logsumexp was subtracted in the midst: a + (b - lse(a + b)).

The terms of the sum and those of what the logsumexp is of are compared one by one, at any grouping and order.
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import reduced
from namedlayers.plan.view import Scope, Sum
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Terms = tuple[tuple[int, Arg], ...]


def _log_softmax(scope: Scope, node: Node) -> Outcome:
    """terms of x, less logsumexp(x)"""
    if node.kind is not Kind.REAL:
        return None
    total = scope.sum(scope.whole())
    for k, (sign, normaliser) in enumerate(total.terms):
        found = reduced(scope, normaliser, "logsumexp") if sign < 0 else None
        if found is None or len(total.terms) < 3:
            continue
        inner, consumed = found
        names = _alike(scope.sum(inner), total, total.terms[:k] + total.terms[k + 1 :], consumed)
        if names is not None:
            x = Arg(inner.node, tuple(names.get(c, c) for c in inner.axes))
            if sorted(x.axes) == list(range(node.rank)):
                return Match((x, tuple(sorted(names.values()))), (normaliser.node, *total.nodes))
    return None


def _alike(inner: Sum, total: Sum, outer: Terms, consumed: tuple[int, ...]) -> dict[int, int] | None:
    """How to name `consumed` so that the terms of both sums are the same."""
    if len(inner.terms) != len(outer) or inner.number != total.number:
        return None
    names: dict[int, int] = {}
    left = list(outer)
    for sign, term in inner.terms:
        for other in left:
            more = _renaming(term, other[1], consumed, names) if other[0] == sign else None
            if more is not None:
                names = more
                left.remove(other)
                break
        else:
            return None
    return names if len(names) == len(consumed) == len(set(names.values())) else None


def _renaming(term: Arg, other: Arg, consumed: tuple[int, ...], names: dict[int, int]) -> dict[int, int] | None:
    if term.node is not other.node:
        return None
    found = dict(names)
    for a, b in zip(term.axes, other.axes, strict=True):
        if (found.setdefault(a, b) if a in consumed else a) != b:
            return None
    return found


def _build(scope: Scope, node: Node, found: tuple[Arg, tuple[int, ...]]) -> Arg:
    x, axes = found
    return scope.build("log_softmax", (x,), range(node.rank), kind=node.kind, attrs={"axes": axes})


RULES = (Rule("log_softmax of a sum", "algebraic", ("add", "sub"), _log_softmax, _build),)
