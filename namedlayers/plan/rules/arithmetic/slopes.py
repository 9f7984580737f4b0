"""The derivative of an activation times something: torch's kernel multiplies in the same pass.

In: a product of which one factor is a `slope` that nothing else needs. Out: `slope_times`. What always holds: both have
all axes of the result.
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.passes import whole
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node


def _match(scope: Scope, node: Node) -> Outcome:
    for factor, other in (node.args, node.args[::-1]):
        if factor.node.op == "slope" and scope.once(factor.node):
            x, *numbers = scope.operands(factor)
            found = whole((other, x), 2, range(node.rank))
            if found is not None:
                return Match((factor.node.attr("function"), (*found.found, *numbers)), (factor.node,))
    return None


def _build(scope: Scope, node: Node, found: tuple[str, tuple[Arg, ...]]) -> Arg:
    function, args = found
    return scope.build("slope_times", args, range(node.rank), kind=node.kind, attrs={"function": function})


RULES = (Rule("slope and factor", "algebraic", ("mul",), _match, _build),)
