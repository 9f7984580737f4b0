"""What is made right before it is used for the first time.

In: the fx graph of a program. Out: the same graph in another order. What always holds: whatever is moved stands behind
all that it is made of.

The planner numbers all operands of a product of several before its first step. What is large beside what it is made of
is better made when its step comes: what the steps before needed is not held any longer, its memory is still in the
caches and is taken again; backwards it is let go in the same order.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import fx

from namedlayers.emit.calls import wish_for

LATE = "late"
"""Where a node notes that it is made late."""


def move_late(graph: fx.Graph, fresh: Callable[[str], str] = str) -> None:
    """`fresh` makes a name that no other node has of the one that is wished.

    >>> graph = fx.Graph()
    >>> x = graph.placeholder("x")
    >>> early, other = graph.call_function(abs, (x,)), graph.call_function(round, (x,))
    >>> early.meta[LATE] = True
    >>> _ = graph.output((other, graph.call_function(max, (other, early))))
    >>> move_late(graph)
    >>> [node.name for node in graph.nodes]
    ['x', 'round_1', 'abs_1', 'max_1', 'output']
    """
    for node in reversed([node for node in graph.nodes if node.meta.get(LATE) and node.users]):
        places = {one: place for place, one in enumerate(graph.nodes)}
        first = min(node.users, key=places.__getitem__)
        first.prepend(node)
        for other, place in places.items():
            crosses = places[node] < place < places[first] <= max(map(places.__getitem__, other.users), default=-1)
            tensor = other.op == "call_function" and other.meta.get("axes") is not None
            if crosses and tensor and other.meta.get("inline"):  # computed before, and so printed
                other.meta["inline"] = False
                other.name = fresh(wish_for(other.target))
