"""In which order tensors have their axes where a body begins and ends.

In: a node that runs a body, what its operands look like, which orders are wanted of its results. Out: `Orders`, and
what is wanted of the operands. What always holds: a carried value has one order from step to step; nothing else is
permuted on its way in; what comes out has the order of what went in, as far as that says anything.

Axes of a body are told apart by name, which is unique there; the axis that is scanned is called "".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from namedlayers.emit.attributes import listed
from namedlayers.emit.prologue import Orders
from namedlayers.plan.regions import region_of
from namedlayers.program.graph import Node

SCANNED = ""


def operand_names(node: Node) -> list[tuple[str, ...]]:
    """For each operand, for each axis of its node, what the body calls it."""
    inputs = region_of(node).body.inputs
    return [
        tuple(SCANNED if place < 0 else given.axes[place][0] for place in places)
        for given, places in zip(inputs, listed(node, "places"), strict=True)
    ]


def liked(node: Node, parts: Sequence[Node], wants: Mapping[int, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """For each operand the order of its axes that suits the orders which are wanted of the parts."""
    order = _first_seen(_wanted_names(node, part, wants) for part in parts)
    return [_sorted(names, order) for names in operand_names(node)]


def orders(
    node: Node, seen: Sequence[Sequence[int]], parts: Sequence[Node], wants: Mapping[int, tuple[int, ...]]
) -> Orders:
    """`seen`: for each operand the axes of its node as they lie; those that are missing come first."""
    names = [tuple(one[axis] for axis in axes) for one, axes in zip(operand_names(node), seen, strict=True)]
    body = region_of(node).body
    carries = node.attr("carries") if node.op == "scan" else 0
    assert isinstance(carries, int)
    # What says most about the order is what is seen step by step, and of that what has most axes.
    by_weight = sorted(names, key=lambda one: (SCANNED not in one, -len(one))) if node.op == "scan" else names
    order = _first_seen([*by_weight, *(_wanted_names(node, part, wants) for part in parts)])
    outputs = [_sorted(one.axes, order) for one in body.outputs]
    inputs = []
    for number, (given, one) in enumerate(zip(body.inputs, names, strict=True)):
        own = [name for name, _ in given.axes]
        lie = {name: place for place, name in enumerate(one)}
        inputs.append(outputs[number] if number < carries else _sorted(own, lie, missing=-1))
    return Orders(tuple(inputs), tuple(outputs))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _wanted_names(node: Node, part: Node, wants: Mapping[int, tuple[int, ...]]) -> tuple[str, ...]:
    number = part.attr("number")
    assert isinstance(number, int)
    scanned = (SCANNED,) if node.op == "scan" and part.op == "part" else ()
    names = (*scanned, *region_of(node).body.outputs[number].axes)
    return tuple(names[axis] for axis in wants.get(part.number, range(part.rank)))


def _first_seen(lists: Iterable[Sequence[str]]) -> dict[str, int]:
    """The places of names in the order in which they are first seen."""
    found = dict.fromkeys(name for one in lists for name in one)
    return {name: place for place, name in enumerate(found)}


def _sorted(names: Sequence[str], order: Mapping[str, int], missing: int | None = None) -> tuple[int, ...]:
    """The positions of names, ordered; unknown ones in their own order, behind or (`missing`) before the others."""
    last = len(order) if missing is None else missing
    return tuple(sorted(range(len(names)), key=lambda k: (order.get(names[k], last), k)))
