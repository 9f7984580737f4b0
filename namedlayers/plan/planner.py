"""From a graph to a plan: the best form of every value, for all sizes or for most, and what happened on the way.

In: a numbered program. Out: a `Plan`. What always holds: the graph that comes in is not touched; results keep their
axes, kinds and order; the last variant has no guards. Rules that need sizes they cannot prove go into the variants
before the last; the last one is made without them. Contractions get their paths here, several where sizes decide.
A body is planned once, however often it is run; what it needs of sizes is decided inside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from namedlayers.plan import paths
from namedlayers.plan.alternatives import alternatives
from namedlayers.plan.hints import hints
from namedlayers.plan.paths import Choice
from namedlayers.plan.plan import Event, Gradient, Guard, Plan, Variant
from namedlayers.plan.regions import LAST_STEPS, region_of, regions
from namedlayers.plan.requirements import impossible, requirements, together
from namedlayers.plan.rewrite import Rewriter, live_nodes, permitted
from namedlayers.plan.rule import Numerics as Class
from namedlayers.plan.rules import JOINING, MERGING, ORDERED, PHASES
from namedlayers.plan.rules.joining import last_step
from namedlayers.plan.rules.normalising.norms import by_states
from namedlayers.plan.running import Held, held_inside, keep_running
from namedlayers.plan.scans import open_scans
from namedlayers.plan.scans.gradient import NoGradient, gradient
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.size import SizeExpr, const

Numerics = Literal["default", "strict", "fast"]

MOST_VARIANTS = 4
FURTHER_VARIANTS = 8
"""Where four orders are far from the best, in a graph of few nodes: a star or a cycle of four, a Tucker score."""
FEW_NODES = 64

_ALLOWED: dict[Numerics, frozenset[Class]] = {
    "strict": frozenset({"exact"}),
    "default": frozenset({"exact", "algebraic"}),
    "fast": frozenset({"exact", "algebraic", "conditioned"}),
}


def plan(graph: Graph, *, numerics: Numerics = "default") -> Plan:
    """The plan of a graph; `numerics` says which rules may take part."""
    return _plan(graph, numerics, {}, Held(graph.states, graph.stored))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _plan(
    graph: Graph, numerics: Numerics, made: dict[Region, Plan], held: Held, differentiated: bool = True
) -> Plan:  # fmt: skip
    """`made`: the plans of bodies that are planned already; `differentiated`: scans get gradients."""
    main = _rewritten(graph, numerics, held, lambda node: not any(map(impossible, requirements(node))))
    needed = together(guard for outputs in main.results for node in live_nodes(outputs) for guard in requirements(node))
    further = FURTHER_VARIANTS * (max(map(len, map(live_nodes, main.results))) <= FEW_NODES)
    found = [
        Variant((*needed, *choice.guards), _with_paths(main, choice), _why(bool(needed), bool(choice.guards)))
        for choice in paths.choices(_weighed(main), MOST_VARIANTS - bool(needed), further)
    ]
    if needed:
        safe = _rewritten(graph, numerics, held, lambda node: not requirements(node))
        (choice,) = paths.choices(_weighed(safe), 1)
        found.append(Variant((), _with_paths(safe, choice), "any sizes, empty axes and short ones included"))
    bodies: dict[Region, Plan] = {}
    inside = held_inside([variant.graph for variant in found], held)
    for region in regions(node for variant in found for node in variant.graph.live()):
        if region not in made:
            made[region] = _plan(region.graph, numerics, made, inside.get(region, _NOTHING), differentiated)
        bodies |= {**made[region].bodies, region: made[region]}
    noted = (*main.events, *hints(found[0].graph, main.events))
    if not differentiated or numerics == "strict":
        return Plan(tuple(found), noted, bodies, algebraic="algebraic" in _ALLOWED[numerics])
    gradients, events = _gradients(found, bodies, lambda graph: _plan(graph, numerics, made, _NOTHING, False))
    return Plan(tuple(found), (*noted, *events), bodies, gradients, "algebraic" in _ALLOWED[numerics])


_NOTHING = Held(frozenset(), frozenset())


def _gradients(
    variants: Sequence[Variant], bodies: dict[Region, Plan], planned: Callable[[Graph], Plan]
) -> tuple[dict[Node, Gradient], list[Event]]:
    """The gradients of the scans in some variants, whose plans join `bodies`; where there is one, and where not."""
    parts: dict[Node, dict[Node, None]] = {}
    for variant in variants:
        for node in variant.graph.live():
            if node.op in ("part", "final") and node.args[0].node.op == "scan":
                parts.setdefault(node.args[0].node, {})[node] = None
    found: dict[Node, Gradient] = {}
    events = []
    for scan, own in parts.items():
        body = bodies[region_of(scan)]
        made = gradient(scan, list(own), body)
        if isinstance(made, NoGradient):
            events.append(Event("gradient as a loop of its own", "algebraic", scan.spans, made.reason))
            continue
        found[scan] = made
        back = planned(made.backward.graph)
        known = _known(scan, body)
        bodies |= {region: _settled_for(one, known) for region, one in (*back.bodies.items(), (made.backward, back))}
        events.append(Event("gradient as a loop of its own", "algebraic", scan.spans))
    return found, events


def _known(scan: Node, body: Plan) -> frozenset[Guard]:
    """What holds of sizes where the gradient of a scan is asked for: there is a step, and what its gradient needs."""
    size = scan.attr("size")
    assert isinstance(size, SizeExpr)
    needed = (guard for node in body.variants[0].graph.live() for guard in requirements(node))
    return frozenset((Guard(size, ">=", const(1)), *needed))


def _settled_for(plan: Plan, known: frozenset[Guard]) -> Plan:
    """Without the variant for sizes that there are not, so that what is left may run in place."""
    first, *others = plan.variants
    needed = {guard for node in first.graph.live() for guard in requirements(node)}
    return replace(plan, variants=(first,)) if len(others) == 1 and needed and needed <= known else plan


@dataclass(frozen=True, slots=True)
class _Rewritten:
    """`results`: the same ones once or, where sizes decide which are cheaper, twice."""

    graph: Graph
    results: tuple[Sequence[Arg], ...]
    events: tuple[Event, ...]
    admit: Callable[[Node], bool]


def _rewritten(graph: Graph, numerics: Numerics, held: Held, admit: Callable[[Node], bool]) -> _Rewritten:
    """The graph after all phases."""
    allowed = _ALLOWED[numerics]
    opened = open_scans(graph, allowed, admit)
    target = Graph()
    rewriter = Rewriter(target, admit, list(opened.events))
    results: tuple[Sequence[Arg], ...] = (opened.graph.outputs,)
    for phase in PHASES:
        rules = permitted((*phase, *by_states(held.states)), allowed)
        before, results = results, tuple(rewriter.rewrite(outputs, rules) for outputs in results)
        if phase is MERGING and "algebraic" in allowed:
            results = alternatives(
                target, before[0], results[0], rules, admit, rewriter.events, "conditioned" in allowed
            )
    results = tuple(rewriter.rewrite(outputs, LAST_STEPS) for outputs in results)
    if "algebraic" in allowed:
        results = tuple(keep_running(target, outputs, held, admit, rewriter.events) for outputs in results)
    results = tuple(rewriter.rewrite(outputs, permitted(JOINING, allowed)) for outputs in results)
    return _Rewritten(target, results, _settled(rewriter.events), admit)


def _settled(events: list[Event]) -> tuple[Event, ...]:
    """Without near misses of rules that fired at the same place later."""
    fired = {(event.rule, event.spans) for event in events if not event.near}
    return tuple(e for e in events if not e.near or (e.rule, e.spans) not in fired)


def _weighed(rewritten: _Rewritten) -> list[list[Node]]:
    """What costs are the sum of: where results are there in one way only, its contractions; else everything."""
    live = [live_nodes(outputs) for outputs in rewritten.results]
    return live if len(live) > 1 else [[node for node in live[0] if node.op == "contract"]]


def _with_paths(rewritten: _Rewritten, choice: Choice) -> Graph:
    """The graph with a path at every contraction; graphs of variants share the nodes that do not differ."""
    graph, results = rewritten.graph, rewritten.results[choice.graph]
    contractions = (node.number for node in live_nodes(results) if node.op == "contract")
    path_of = dict(zip(contractions, choice.paths, strict=True))
    new: dict[int, Node] = {}
    for node in live_nodes(results):
        path = path_of.get(node.number)
        if path is None and all(new[a.node.number] is a.node for a in node.args):
            new[node.number] = node
            continue
        new[node.number] = graph.node(
            node.op,
            tuple([Arg(new[a.node.number], a.axes) for a in node.args]),
            node.space,
            node.rank,
            node.kind,
            attrs=dict(node.attrs) | ({} if path is None else {"path": path}),
            weak=node.weak,
            names=node.names,
            spans=node.spans,
            rule=node.rule,
        )
    outputs: Sequence[Arg] = [Arg(new[a.node.number], a.axes) for a in results]
    if last_step.has_long(live_nodes(outputs)):
        outputs = Rewriter(graph, rewritten.admit).rewrite(outputs, ORDERED)
    return Graph(graph.nodes, list(outputs), _table=graph._table)


def _why(needed: bool, ordered: bool) -> str:
    sizes = "axes long enough for their kernels" if needed else "any sizes"
    return f"{sizes}, and this order of contractions the cheapest" if ordered else sizes
