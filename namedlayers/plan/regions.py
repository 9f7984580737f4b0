"""Bodies inside a plan: which are run, and what of their results is needed.

In: nodes. Out: regions, and a rule. What always holds: a body is a graph of its own, which the rules around it do not
look into; what is read at the last step only is not collected at the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node, Region


def regions(nodes: Iterable[Node]) -> tuple[Region, ...]:
    """The regions that some nodes run, each once."""
    return tuple(dict.fromkeys(region_of(node) for node in nodes if node.op in ("call", "scan")))


def region_of(node: Node) -> Region:
    """The region that a `call` or `scan` runs."""
    found = node.attr("region")
    assert isinstance(found, Region)
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


def _last_step(scope: Scope, node: Node) -> Outcome:
    """Y[time = -1] of what a scan over time made; Y[time = 0] if it went backwards."""
    (arg,) = node.args
    part = arg.node
    if part.op != "part" or arg.axes != (-1, *range(node.rank)):
        return None
    (bundle,) = (a.node for a in part.args)
    if bundle.op != "scan":
        return None
    last = 0 if bundle.attr("reverse") else part.sizes[0] - 1
    return Match((bundle, part.attr("number")), (part,)) if node.attr("entries") == ((0, (), last),) else None


def _build_last_step(scope: Scope, node: Node, found: tuple[Node, int]) -> Arg:
    bundle, number = found
    return scope.build(
        "final", (Arg(bundle, ()),), range(node.rank), kind=node.kind, attrs={"number": number}, weak=node.weak
    )


LAST_STEP = Rule("last step", "exact", ("index",), _last_step, _build_last_step)
