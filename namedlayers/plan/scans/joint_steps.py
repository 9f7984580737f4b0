"""A loop, and a linear recurrence behind it that is all that needs what the loop makes: as one loop.

In: a graph with stretches. Out: a graph in which each such pair is a node `joint`, which stands for both; the region of
a step of the two. What always holds: the parts of the stretch are those of the joint node; the nodes of the loop and of
the stretch are as they were, for whoever runs one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from namedlayers.plan.regions import region_of
from namedlayers.plan.scans.held import free_name
from namedlayers.plan.scans.runs import carries_of
from namedlayers.plan.scans.single_steps import Step
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import Body, Input, Kind


def joined(graph: Graph) -> Graph:
    """The graph with these pairs as one node each."""
    users, ends = graph.users(), {arg.node for arg in graph.outputs}
    pairs = {}
    for node in graph.live():
        scan = _loop_before(node, users, ends) if node.op == "stretch" else None
        if scan is not None and not any(map(_runs, _behind(node, users))):
            pairs[node] = scan
    return _with_joints(graph, pairs) if pairs else graph


@dataclass(frozen=True, slots=True)
class Joint:
    """The region of a step: `first` and `second` tell which of its inputs are the loop's and the stretch's, by their
    numbers; -1: what the loop makes."""

    region: Region
    first: tuple[int, ...]
    second: tuple[int, ...]


def made_by(scan: Node, stretch: Node) -> dict[int, Node]:
    """The parts of a loop that a stretch takes, by the numbers of its operands."""
    return {k: arg.node for k, arg in enumerate(stretch.args) if _is_part(arg.node, scan)}


def joint_step(scan: Node, planned: Graph, stretch: Node, step: Step) -> Joint:
    """A step of both; `planned` is that of the loop, `step` that of the stretch, which have no bodies of their own.
    States come first, the loop's before the other."""
    carries, first, second = carries_of(scan), region_of(scan).body, step.region.body
    made = made_by(scan, stretch)
    # The state comes first in a step, last in a stretch.
    taken = {k + 1: part for k, part in made.items()}
    graph = Graph()
    inputs: list[Input] = []
    places: dict[tuple[int, int], int] = {}
    values: tuple[dict[Node, Node], dict[Node, Node]] = ({}, {})
    sides = ((first, planned), (second, step.region.graph))
    own = [(0, k) for k in range(carries)] + [(1, 0)] + [(0, k) for k in range(carries, len(first.inputs))]
    for side, k in (*own, *((1, k) for k in range(1, len(second.inputs)) if k not in taken)):
        body, whole = sides[side]
        name = free_name(body.inputs[k].name, [one.name for one in inputs])
        places[side, k] = len(inputs)
        inputs.append(replace(body.inputs[k], name=name))
        values[side][whole.nodes[k]] = _copied(graph, whole.nodes[k], (), {"name": name})
    for node in planned.live():
        if node not in values[0]:
            args = tuple(Arg(values[0][arg.node], arg.axes) for arg in node.args)
            values[0][node] = _copied(graph, node, args, dict(node.attrs))
    ends = {k: planned.outputs[_number(part)] for k, part in taken.items()}
    given = {step.region.graph.nodes[k]: end for k, end in ends.items()}
    for node in step.region.graph.nodes[len(second.inputs) :]:
        args = tuple(_inside(arg, given, values) for arg in node.args)
        values[1][node] = _copied(graph, node, args, dict(node.attrs))
    graph.outputs += [Arg(values[0][arg.node], arg.axes) for arg in planned.outputs[:carries]]
    graph.outputs += [_inside(arg, given, values) for arg in step.region.graph.outputs]
    outputs = (*first.outputs[:carries], *second.outputs)
    body = Body(f"{first.name}_joint", tuple(inputs), (), outputs, first.span)
    count = len(stretch.args)
    seconds = [places[1, 0] if k == count - 1 else places.get((1, k + 1), -1) for k in range(count)]
    return Joint(Region(body, graph), tuple(places[0, k] for k in range(len(first.inputs))), tuple(seconds))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _loop_before(stretch: Node, users: dict[int, list[Node]], ends: set[Node]) -> Node | None:
    """The loop whose results a stretch alone needs, all of them at all steps; it draws nothing and runs nothing."""
    bundles = dict.fromkeys(arg.node.args[0].node for arg in stretch.args if arg.node.op == "part")
    for scan in bundles:
        if stretch.attr("ends") or scan.op != "scan" or scan.attr("site") or scan.attr("size") != stretch.attr("size"):
            continue
        if scan.attr("reverse") is not stretch.attr("reverse") or any(map(_runs, region_of(scan).graph.nodes)):
            continue
        parts = users[scan.number]
        if all(one.op == "part" and one not in ends and users[one.number] == [stretch] for one in parts):
            return scan
    return None


def _behind(node: Node, users: dict[int, list[Node]]) -> list[Node]:
    """All that is made of a node."""
    found: dict[Node, None] = {}
    waiting = [node]
    while waiting:
        for user in users.get(waiting.pop().number, ()):
            if user not in found:
                found[user] = None
                waiting.append(user)
    return list(found)


def _runs(node: Node) -> bool:
    return any(isinstance(value, Region) for _, value in node.attrs)


def _is_part(node: Node, scan: Node) -> bool:
    return node.op == "part" and node.args[0].node is scan


def _with_joints(graph: Graph, pairs: dict[Node, Node]) -> Graph:
    made = Graph(list(graph.nodes), [], graph.states, graph.stored, dict(graph._table))
    new: dict[Node, Node] = {}
    for node in graph.live():
        args = tuple(Arg(new.get(arg.node, arg.node), arg.axes) for arg in node.args)
        if node in pairs:
            scan = pairs[node]
            kept = [arg for arg in args if not _is_part(arg.node, scan)]
            begin = [Arg(arg.node, (-1,) * arg.node.rank) for arg in scan.args]
            attrs = {"scan": scan, "stretch": node, "region": region_of(node)}
            new[node] = made.node("joint", (*begin, *kept), (), 0, Kind.REAL, attrs=attrs, weak=False, spans=node.spans)
        elif any(arg.node in new for arg in node.args):
            new[node] = made.node(
                node.op, args, node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
                names=node.names, spans=node.spans, rule=node.rule,
            )  # fmt: skip
    made.outputs += [Arg(new.get(arg.node, arg.node), arg.axes) for arg in graph.outputs]
    return made


def _inside(arg: Arg, given: dict[Node, Arg], values: tuple[dict[Node, Node], dict[Node, Node]]) -> Arg:
    """An operand of a node of the stretch's step; what is given is a result of the loop's step."""
    end = given.get(arg.node)
    if end is None:
        return Arg(values[1][arg.node], arg.axes)
    return Arg(values[0][end.node], tuple(arg.axes[position] for position in end.axes))


def _copied(graph: Graph, node: Node, args: tuple[Arg, ...], attrs: dict) -> Node:
    return graph.node(
        node.op, args, node.space, node.rank, node.kind, attrs=attrs, weak=node.weak, names=node.names,
        spans=node.spans, rule=node.rule,
    )  # fmt: skip


def _number(part: Node) -> int:
    number = part.attr("number")
    assert isinstance(number, int)
    return number
