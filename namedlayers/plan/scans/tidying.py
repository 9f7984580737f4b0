"""A body without what changes nothing: factors 1, double negations and the like, which would hide what a step is.

In: a body's graph. Out: one with the same inputs and results; itself where there is nothing to tidy.
"""

from __future__ import annotations

from namedlayers.plan.rewrite import Rewriter
from namedlayers.plan.rules.arithmetic import identity
from namedlayers.program.graph import Graph


def tidied(graph: Graph, algebraic: bool) -> Graph:
    """The graph after the rules of identities."""
    target = Graph()
    for node in graph.nodes:
        if node.op == "input":
            target.node(
                "input", (), node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
                names=node.names, spans=node.spans,
            )  # fmt: skip
    rewriter = Rewriter(target, lambda node: True)
    outputs = rewriter.rewrite(
        graph.outputs, [rule for rule in identity.RULES if algebraic or rule.numerics == "exact"]
    )
    if not any(not event.near for event in rewriter.events):
        return graph
    target.outputs += outputs
    return target
