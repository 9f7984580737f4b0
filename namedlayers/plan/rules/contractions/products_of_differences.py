"""Products of sums and differences that are larger than their terms, taken apart: a product each, and nothing between.

`sum[n](a * (X - C))`, the residuals of vectors from centres (NetVLAD), holds a difference for each vector, centre and
coordinate; `a @[n] X - sum[n](a) * C` none. `W @ (X[near] - X)` (edges of a graph) multiplies each difference;
`(W @ X)[near] - W @ X` each row. But what X and C have in common cancels after it is added up, and not before: the
error is of the size of the terms, where the text's is of the size of their difference. So it takes `numerics="fast"`;
elsewhere the planner says that it would apply. (Reassociation as the planner does it adds up the same products in
another order: each keeps its digits.)
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

NAME = "product of a difference as a difference of products, in error by up to n eps sum |a| (|x| + |c|)"

Found = tuple[Arg, tuple[Arg, ...]]
"""The difference, or sum, and what it is multiplied by."""


def _taken_apart(scope: Scope, node: Node) -> Outcome:
    if node.kind is not Kind.REAL:
        return None
    consumed = set(range(node.rank, len(node.space)))
    for k, arg in enumerate(node.args):
        if arg.node.op not in ("add", "sub") or not scope.once(arg.node):
            continue
        others = node.args[:k] + node.args[k + 1 :]
        parts = scope.operands(arg)
        beside = {axis for one in others for axis in one.axes}
        reals = all(one.node.kind is Kind.REAL and one.node.rank for one in (*parts, *others))
        if reals and _is_larger(scope, arg, parts) and all(consumed <= beside | set(one.axes) for one in parts):
            return Match((arg, others), (arg.node,))
    return None


def _is_larger(scope: Scope, arg: Arg, parts: tuple[Arg, ...]) -> bool:
    """Whether a sum is larger than its terms, or than the table of which a term reads rows and another has some."""
    ranks = [one.node.rank for one in parts]
    if arg.node.rank > max(ranks):
        return True
    larger = parts[ranks.index(max(ranks))].node
    return min(ranks) < max(ranks) and larger.op == "gather" and len(larger.args) == 2 and scope.once(larger)


def _build(scope: Scope, node: Node, found: Found) -> Arg:
    whole, others = found
    consumed = set(range(node.rank, len(node.space)))
    first, second = (contraction(scope, [*others, part], set(consumed)) for part in scope.operands(whole))
    return scope.apply(whole.node.op, first, second)


RULES = (Rule(NAME, "conditioned", ("contract",), _taken_apart, _build, "what the terms have in common costs digits"),)
