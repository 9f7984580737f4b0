"""Large values that are asked for again when something has been made of them: computed anew each time.

In: a planned graph and the numbers of the nodes whose values are large. Out: groups of nodes, as `parts.groups` makes
them, which share large values. What always holds: what a group makes of large values does not depend on anything that
it makes of others; so a matrix that is summed along one axis, then along the other with what that gave, is gone through
twice. Nothing that is drawn is drawn anew.
"""

from __future__ import annotations

from collections.abc import Collection

from namedlayers.plan.parts import GLUED, Group
from namedlayers.plan.scans.looping import draws
from namedlayers.program.graph import Graph


def phases(graph: Graph, large: Collection[int], alone: Collection[int] = ()) -> tuple[Group, ...]:
    """The groups, in the order in which they can be run; none where large values cannot be computed anew. Of those
    `alone` only what is made on the way to them is large."""
    live = graph.live()
    results = {arg.node.number for arg in graph.outputs}
    if draws([node for node in live if node.number in large]):
        return ()
    there: dict[int, int] = {}  # from which phase on a value may be asked for
    ends: dict[int, list[int]] = {}  # what each phase makes of large values
    made_of: dict[int, set[int]] = {}  # the large values on the way to a value
    for node in live:
        number, args = node.number, [arg.node.number for arg in node.args]
        phase = max((there[one] for one in args), default=0)
        before = {one for one in args if one in large}
        made_of[number] = before.union(*(made_of[one] for one in before))
        is_end = number in alone or (number not in large and bool(before)) or (number in large and number in results)
        if (is_end or number in large) and (node.op in GLUED or any(graph.nodes[one].op in GLUED for one in args)):
            return ()
        if is_end:
            ends.setdefault(phase, []).append(number)
        there[number] = phase + (is_end and number not in large)
    return tuple(group for phase in sorted(ends) for group in _sharing(ends[phase], made_of))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _sharing(ends: list[int], made_of: dict[int, set[int]]) -> list[Group]:
    """Those that need the same large values, together with these."""
    found: list[set[int]] = []
    for end in ends:
        group = {end} | made_of[end]
        apart = [one for one in found if not one & group]
        found = [*apart, group.union(*(one for one in found if one & group))]
    return [frozenset(one) for one in found]
