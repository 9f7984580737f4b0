"""(1 - w) * A + w * B and A + w * (B - A) are a mean of two: gates and moving averages, in one operation of four or
three.

Where A is infinite and w is 0, or B - A overflows, the one is NaN or infinite and the other is not.
"""

from __future__ import annotations

from collections.abc import Iterator

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Found = tuple[Arg, Arg, Arg]


def _lerp(scope: Scope, node: Node) -> Outcome:
    for kept, new in (node.args, node.args[::-1]) if node.op == "add" else ():
        for start, rest in _factors(scope, kept):
            if rest.node.op != "sub" or not is_number(rest.node.args[0], 1):
                continue
            weight = scope.operands(rest)[1]
            for end, other in _factors(scope, new):
                if other == weight and all(one.node.kind is Kind.REAL for one in (start, end, weight)):
                    return Match((start, end, weight), (kept.node, new.node, rest.node))
    return _moved(scope, node)


def _moved(scope: Scope, node: Node) -> Outcome:
    """A + w * (B - A), A - w * (A - B)."""
    adds = node.op == "add"
    for start, product in (node.args, node.args[::-1])[: 2 if adds else 1]:
        for weight, step in _factors(scope, product):
            if step.node.op != "sub" or not scope.once(step.node):
                continue
            end, begin = scope.operands(step)[:: 1 if adds else -1]
            if begin == start and start.axes and end.axes:
                if all(one.node.kind is Kind.REAL for one in (start, end, weight)):
                    return Match((start, end, weight), (product.node, step.node))
    return None


def _factors(scope: Scope, product: Arg) -> Iterator[tuple[Arg, Arg]]:
    """The operands of a product that nothing else needs, in both orders."""
    if product.node.op == "mul" and scope.once(product.node):
        left, right = scope.operands(product)
        yield left, right
        yield right, left


def _build_lerp(scope: Scope, node: Node, found: Found) -> Arg:
    return scope.build("lerp", found, range(node.rank), kind=node.kind)


RULES = (Rule("interpolation", "algebraic", ("add", "sub"), _lerp, _build_lerp),)
