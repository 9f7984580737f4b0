"""What is added to a matrix product joins it: the kernel begins with the summand instead of with zeros.

X @[i] W + C, where C has all axes of the result; a bias, which has only those of the weights, is the matter of another
rule. In a loop over steps this is one operation less of three.
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Found = tuple[Arg, Arg]


def _onto(scope: Scope, node: Node) -> Outcome:
    for product, summand in (node.args, node.args[::-1]):
        inner = product.node
        if inner.op != "contract" or len(inner.args) != 2 or not scope.once(inner):
            continue
        if not (node.kind is inner.kind is summand.node.kind is Kind.REAL):
            continue
        result = set(range(node.rank))
        left, right = (set(one.axes) & result for one in scope.operands(product))
        if set(summand.axes) == left | right == result and left and right and not left & right:
            if scope.consumed(product):
                return Match((product, summand), (inner,))
    return None


def _build_onto(scope: Scope, node: Node, found: Found) -> Arg:
    product, summand = found
    operands = (*scope.operands(product), summand)
    return scope.build("linear", operands, range(node.rank), scope.consumed(product), kind=node.kind)


RULES = (Rule("sum in the kernel", "exact", ("add",), _onto, _build_onto),)
