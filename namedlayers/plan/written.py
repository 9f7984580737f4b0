"""The plan of a graph as its text has it: what a formula costs that nobody has thought about.

In: a numbered program. Out: a `Plan` of one variant. What always holds: every operation of the text is one operation,
but for a product that is summed, which is one contraction, as `torch.einsum` has it, its operands taken from left to
right; nothing else is recognised.
"""

from __future__ import annotations

from namedlayers.plan.plan import Plan, Variant
from namedlayers.plan.regions import regions
from namedlayers.plan.rewrite import Rewriter, live_nodes
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.contractions.contraction import FORMING
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph, Node, Region


def written(graph: Graph) -> Plan:
    """The plan without what a planner knows: to compare with, never to be what runs by default."""
    return _written(graph, {})


# --- helpers ----------------------------------------------------------------------------------------------------------


def _written(graph: Graph, made: dict[Region, Plan]) -> Plan:
    target = Graph()
    rewriter = Rewriter(target, lambda node: True)
    outputs = rewriter.rewrite(rewriter.rewrite(graph.outputs, FORMING), (IN_ORDER,))
    bodies: dict[Region, Plan] = {}
    for region in regions(live_nodes(outputs)):
        if region not in made:
            made[region] = _written(region.graph, made)
        bodies |= {**made[region].bodies, region: made[region]}
    whole = Graph(target.nodes, list(outputs), _table=target._table)
    return Plan((Variant((), whole, "as it is written"),), (), bodies)


def _without_path(scope: Scope, node: Node) -> Outcome:
    return Match(None) if len(node.args) > 1 and not node.attr("path") else None


def _build_in_order(scope: Scope, node: Node, found: None) -> Arg:
    # What two operands make goes to the end, so that the first step alone is of the first two.
    last = len(node.args) - 1
    path = ((0, 1), *((0, last - k) for k in range(1, last)))
    operands = list(scope.operands(scope.whole()))
    return scope.build(
        "contract", operands, range(node.rank), scope.consumed(scope.whole()), kind=node.kind, attrs={"path": path}
    )


IN_ORDER = Rule("in order", "exact", ("contract",), _without_path, _build_in_order)
