"""Which values of a graph to look through when contractions are planned, and whether that is better for all sizes.

In: results whose contractions are formed and merged. Out: one or two sets of results that are the same: where it is
cheaper for all sizes assumed to multiply sums and products out, they are; where that depends on sizes, the second set
has it and the first has not. What always holds: the cost of a graph counts every live operation once, contractions by
their best order at each of the sizes assumed; a graph without shared or divided products costs nothing to look at.

A value is worth a try if it is a contraction, an outer product or a quotient, and everything that it goes into, through
products, numerators and sums, are contractions and sums over axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from namedlayers.plan import paths
from namedlayers.plan.plan import Event
from namedlayers.plan.rewrite import Rewriter, live_nodes
from namedlayers.plan.rule import Rule
from namedlayers.plan.rules.contractions import factoring
from namedlayers.plan.rules.contractions.expansion import DEEPEST, THROUGH, is_sum
from namedlayers.plan.rules.contractions.sharing import NAME, is_outer, multiplied_out
from namedlayers.plan.rules.places import prefixes, waves
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind

Results = Sequence[Arg]

MOST_TRIES = 12
GAIN = 0.05
"""By how much the cost has to be smaller, as a mean of logarithms over sizes, to be worth anything."""
EVEN = 1.01
"""A cost that is no more than so many times another is no dearer."""
WORTH = 0.9
"""What grows less with the lengths, which are often larger than the sizes assumed, is of use if for any of these its
cost is no more than so many times the other."""
NEAR = 1.5
"""Nor one that is no more than so many times another where it grows less."""


def alternatives(
    graph: Graph, before: Results, merged: Results, rules: Sequence[Rule], admit: Callable[[Node], bool],
    events: list[Event], conditioned: bool = False,
) -> tuple[Results, ...]:  # fmt: skip
    """The results as they are best, and as they are better for some sizes. `rules`: those that merge contractions,
    which made `merged` of `before`. `conditioned`: digits may be lost."""
    own: list[Event] = []
    found = _multiplied_out(graph, before, merged, rules, admit, own)
    noted: list[Event] = []
    rewriter = Rewriter(graph, admit, noted)
    apart = rewriter.rewrite(before, waves.RULES)
    if not noted:
        events += own
        return found
    parted = _multiplied_out(graph, apart, rewriter.rewrite(apart, rules), rules, admit, noted)
    spread = frozenset(node.number for node in live_nodes(apart) if waves.is_product(node) or is_outer(node))
    through = Rewriter(graph, admit).rewrite(apart, [multiplied_out(spread), *rules])
    through = _factored(graph, through, admit, noted)
    as_is, first, second = _least(found, parted, (through,))
    others, cost = (parted, first) if _gain(first, second) < 0 else ((through,), second)
    costs = list(zip(as_is, cost, strict=True))
    held = all(any(map(waves.is_product, live_nodes(one))) for one in others)
    if held or all(b > a * WORTH for a, b in costs):
        events += own
        return found
    if not conditioned and any(event.numerics == "conditioned" for event in noted):
        events += own + [waves.refused(event) for event in noted if event.numerics == "conditioned"]
        return found
    events += noted
    return others if all(b <= a * NEAR for a, b in costs) else (found[0], others[-1])


# --- helpers ----------------------------------------------------------------------------------------------------------


def _least(*groups: Sequence[Results]) -> list[list[float]]:
    """What the cheapest of each group costs at each of the sizes assumed."""
    costs = iter(paths.sampled_costs([live_nodes(one) for group in groups for one in group]))
    return [[min(each) for each in zip(*(next(costs) for _ in group), strict=True)] for group in groups]


def _multiplied_out(
    graph: Graph, before: Results, merged: Results, rules: Sequence[Rule], admit: Callable[[Node], bool],
    events: list[Event],
) -> tuple[Results, ...]:  # fmt: skip
    best, other = _up_to_each_place(graph, before, merged, rules, admit, events)
    refused: set[frozenset[int]] = set()
    for _ in range(MOST_TRIES):
        chosen = next((one for one in _candidates(other or best) if one not in refused), None)
        if chosen is None:
            break
        refused.add(chosen)
        noted: list[Event] = []
        found = Rewriter(graph, admit, noted).rewrite(other or best, [multiplied_out(chosen), *rules])
        costs = paths.sampled_costs([live_nodes(other or best), live_nodes(found)])
        if _gain(costs[0], list(map(min, *costs))) < GAIN:
            spans = tuple(s for number in sorted(chosen) for s in graph.nodes[number].spans)
            events.append(Event(NAME, "algebraic", spans, "this value is cheaper held than multiplied out"))
            continue
        if all(b <= a * EVEN for a, b in zip(*costs, strict=True)):
            best, other = (found, None) if other is None else (best, found)
        else:
            other = found
        events += noted
    return (best,) if other is None else (best, other)


def _factored(
    graph: Graph, found: Results, admit: Callable[[Node], bool], events: list[Event]
) -> Results:  # fmt: skip
    """The same with contractions joined that have factors in common, if that is cheaper."""
    noted: list[Event] = []
    joined = Rewriter(graph, admit, noted).rewrite(found, factoring.RULES)
    if not noted or _gain(*paths.sampled_costs([live_nodes(found), live_nodes(joined)])) < GAIN:
        return found
    events += noted
    return joined


def _up_to_each_place(
    graph: Graph, before: Results, merged: Results, rules: Sequence[Rule], admit: Callable[[Node], bool],
    events: list[Event],
) -> tuple[Results, Results | None]:  # fmt: skip
    """The results as they are best, and as they are better for some sizes, where sums of products under a triangular
    mask take time that is linear in its axes."""
    noted: list[Event] = []
    rewriter = Rewriter(graph, admit, noted)
    found = rewriter.rewrite(before, prefixes.RULES)
    if not any(event.rule == prefixes.NAME and not event.near for event in noted):
        events += noted
        return merged, None
    found = rewriter.rewrite(found, rules)
    costs = paths.sampled_costs([live_nodes(merged), live_nodes(found)])
    if all(b > a * WORTH for a, b in zip(*costs, strict=True)):
        return merged, None
    events += [event for event in noted if event not in events]
    return (found, None) if all(b <= a * NEAR for a, b in zip(*costs, strict=True)) else (merged, found)


def _gain(before: Sequence[float], after: Sequence[float]) -> float:
    return sum(math.log(a / b) for a, b in zip(before, after, strict=True)) / len(before)


def _candidates(outputs: Results) -> Iterator[frozenset[int]]:
    """Sets of nodes, the first of which goes into sums only; the others are contractions that it is added to."""
    live = live_nodes(outputs)
    users: dict[int, list[Node]] = {}
    for node in live:
        for number in dict.fromkeys(arg.node.number for arg in node.args):
            users.setdefault(number, []).append(node)
    results = {arg.node.number for arg in outputs}
    for node in live:
        if node.kind in (Kind.REAL, Kind.COMPLEX) and (is_sum(node) or is_outer(node) or _is_divided(node)):
            between = _between(node, users, results)
            merged = is_sum(node) and not between and [user.op for user in users.get(node.number, ())] in _MERGED
            if between is not None and not merged:
                beside = (arg.node for one in between for arg in one.args if one.op in ("add", "sub"))
                joined = (one.number for one in beside if one.op == "contract" and len(users[one.number]) == 1)
                yield frozenset({node.number, *joined})


_MERGED = (["contract"], ["reduce"])
"""Users of a contraction that have become one with it already."""


def _is_divided(node: Node) -> bool:
    """Whether a node divides by less than it has axes, and by more than a number."""
    return node.op == "div" and 0 < node.args[1].node.rank < node.rank


def _between(node: Node, users: dict[int, list[Node]], results: Iterable[int]) -> list[Node] | None:
    """What stands between a node and the sums that it goes into; None if it goes into anything else."""
    found: dict[int, Node] = {}
    waiting = [(node, 0)]
    while waiting:
        one, depth = waiting.pop()
        if one.number in results or depth > DEEPEST:
            return None
        for user in users.get(one.number, ()):
            if is_sum(user):
                continue
            if user.op not in THROUGH or user.op == "div" and user.args[1].node is one:
                return None
            if user.number not in found:
                found[user.number] = user
                waiting.append((user, depth + 1))
    return list(found.values())
