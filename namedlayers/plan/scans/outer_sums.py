"""Running sums of outer products that queries read (linear attention as a scan): no state is held for all steps.

In: a planned graph. Out: a graph in which such a sum, from a start or from nothing, and the contraction that reads it
are a node `outer_states` (`outer_states.py`), whose other result is the last sum. What always holds: nothing else needs
the sums; only those are taken that scans were made into, which are sums in any order; the graph that comes in is not
touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from namedlayers.plan.scans.outer_states import Read, bundle, read
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.size import const


def summed(graph: Graph) -> Graph:
    """The graph with such sums in blocks of steps, one after the other, as one may be made of another."""
    tried: set[int] = set()
    while True:
        waiting = [node for node in graph.live() if node.op == "cumulative" and node.number not in tried]
        if not waiting:
            return graph
        tried.add(waiting[0].number)
        found = _found(waiting[0], graph.users(), {arg.node for arg in graph.outputs})
        graph = graph if found is None else _made(graph, found)


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sum:
    """`lasts`: what takes the last of all sums."""

    read: Read
    step: int
    start: Arg | None
    lasts: tuple[Node, ...]


def _found(total: Node, users: Mapping[int, Sequence[Node]], ends: set[Node]) -> _Sum | None:
    step = total.attr("axis")
    if total.attr("op") != "sum" or total.rule != "linear recurrence" or total in ends:
        return None
    assert isinstance(step, int)
    states, start = total, None
    readers = users[total.number]
    if len(readers) == 1 and readers[0].op == "add":
        states = readers[0]
        others = [arg for arg in states.args if arg.node is not total]
        if len(others) != 1 or step in others[0].axes or Arg(total, tuple(range(states.rank))) not in states.args:
            return None
        start, readers = others[0], users.get(states.number, ())
    lasts = tuple(node for node in readers if _is_last(node, states, step))
    rest = [node for node in readers if node not in lasts]
    if len(rest) != 1 or states in ends:
        return None
    told = read(rest[0], states, step, total.args[0])
    return None if told is None else _Sum(told, step, start, lasts)


def _is_last(node: Node, states: Node, step: int) -> bool:
    entries = ((step, (), states.space[step] - const(1)),)
    if node.op != "index" or node.attr("entries") != entries or len(node.space) != node.rank:
        return False
    return tuple(at for k, at in enumerate(node.args[0].axes) if k != step) == tuple(range(node.rank))


def _made(graph: Graph, found: _Sum) -> Graph:
    """The graph as it was where something that runs a body would have to be made again."""
    made = Graph(list(graph.nodes), [], graph.states, graph.stored, dict(graph._table))
    last, told = bundle(made, found.read, found.step, None, found.start, False, {})
    new = {found.read.reader: told, **dict.fromkeys(found.lasts, last)}
    for node in graph.live():
        if node not in new and any(arg.node in new for arg in node.args):
            if any(isinstance(value, Region) for _, value in node.attrs):
                return graph
            args = tuple(Arg(new.get(arg.node, arg.node), arg.axes) for arg in node.args)
            new[node] = made.node(
                node.op, args, node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
                names=node.names, spans=node.spans, rule=node.rule,
            )  # fmt: skip
    made.outputs += [Arg(new.get(arg.node, arg.node), arg.axes) for arg in graph.outputs]
    return made
