"""A `call` or a `scan` inside a body, run for all steps of the scan around it at once: its own body gets the axis.

In: a node `call`, `scan` or `part` and where its operands are now. Out: the node there. What always holds: a body whose
inputs are the same at all steps, and that draws no random numbers, stays the region that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from namedlayers.plan.scans.held import Held, Steps, expanded, free_name
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import AxesOf, Output

Move = Callable[[Graph, Node, Sequence[Held], Steps | None], Held]


def moved_run(graph: Graph, node: Node, operands: Sequence[Held], steps: Steps | None, move: Move) -> Held:
    """A `call` or `scan`: with one axis more in each input whose operand has one. `move` moves what is inside."""
    region, site = region_of(node), node.attr("site")
    flags = tuple(operand.stepped for operand in operands)
    if steps is not None and (any(flags) or site):
        region, flags = _lifted(region, flags, steps, carries_of(node), move)
        operands = [
            expanded(graph, operand, steps) if flag else operand for operand, flag in zip(operands, flags, strict=True)
        ]
        site = -1 - len(graph.nodes) if site else 0
    old = node.attr("places")
    assert isinstance(old, tuple)
    places = tuple(
        operand.arg([p + 1 if p >= 0 and flag else p for p in listed], 0).axes
        for operand, listed, flag in zip(operands, old, flags, strict=True)
    )
    attrs = dict(node.attrs) | {"region": region, "places": places, "site": site}
    return Held(bundle(graph, node, operands, attrs), ())


def moved_part(graph: Graph, node: Node, whole: Held, steps: Steps | None) -> Held:
    """What a part takes has the axis of the steps after that of the scan that it is a part of."""
    number = node.attr("number")
    assert isinstance(number, int)
    before, after = (region_of(one).graph.outputs[number].node for one in (node.args[0].node, whole.node))
    stepped, own = after.rank > before.rank, int(whole.node.op == "scan")
    space, names = list(node.space), list(node.names)
    if stepped:
        assert steps is not None
        space.insert(own, steps.size)
        names.insert(own, steps.name)
    made = graph.node(
        "part", (Arg(whole.node, ()),), tuple(space), len(space), node.kind, attrs=dict(node.attrs), weak=node.weak,
        names=tuple(names), spans=node.spans,
    )  # fmt: skip
    return Held(made, tuple(k + (stepped and k >= own) for k in range(node.rank)), own if stepped else -1)


def moved_pulled(graph: Graph, node: Node, operands: Sequence[Held], steps: Steps | None, move: Move) -> Held:
    """A `pulled_back`: for all steps at once, something comes back to its operand from each step apart."""
    region, number, places = region_of(node), node.attr("number"), node.attr("places")
    assert isinstance(number, int) and isinstance(places, tuple)
    stepped = steps is not None and any(operand.stepped for operand in operands)
    more = int(stepped)
    flags = tuple(operand.stepped for operand in operands)
    if stepped:
        assert steps is not None
        flags = tuple(flag or k in (number, len(flags) - 1) for k, flag in enumerate(flags))
        region, _ = _lifted(region, flags[:-1], steps, 0, move)
        operands = [expanded(graph, one, steps) if flag else one for one, flag in zip(operands, flags, strict=True)]
    places = tuple(
        one.arg([p + int(flag) for p in listed], 0).axes
        for one, listed, flag in zip(operands, places, flags, strict=True)
    )
    along = [steps] if stepped and steps is not None else []
    made = graph.node(
        node.op, tuple(Arg(one.node, (-1,) * one.node.rank) for one in operands),
        (*(one.size for one in along), *node.space), node.rank + more, node.kind,
        attrs={"region": region, "places": places, "number": number}, weak=node.weak,
        names=(*(one.name for one in along), *node.names), spans=node.spans, rule=node.rule,
    )  # fmt: skip
    return Held(made, tuple(range(more, made.rank)), more - 1)


def bundle(graph: Graph, like: Node, operands: Sequence[Held], attrs: dict) -> Node:
    """A node `call` or `scan`."""
    args = tuple(Arg(operand.node, (-1,) * operand.node.rank) for operand in operands)
    return graph.node(like.op, args, (), 0, like.kind, attrs=attrs, weak=like.weak, spans=like.spans)


def region_of(node: Node) -> Region:
    region = node.attr("region")
    assert isinstance(region, Region)
    return region


def carries_of(node: Node) -> int:
    """How many of the inputs of a run are carried from step to step."""
    carries = dict(node.attrs).get("carries", 0)
    assert isinstance(carries, int)
    return carries


# --- helpers ----------------------------------------------------------------------------------------------------------


def _lifted(
    region: Region, flags: tuple[bool, ...], steps: Steps, carries: int, move: Move
) -> tuple[Region, tuple[bool, ...]]:
    """The region with one axis more, the first, in the inputs that `flags` tells and in what is carried with it."""
    while True:
        graph = Graph()
        values = {
            given.number: _input(graph, given, flag, steps)
            for given, flag in zip(region.graph.nodes, flags, strict=False)
        }
        for node in region.graph.live():
            if node.number not in values:
                values[node.number] = move(graph, node, [values[arg.node.number] for arg in node.args], steps)
        found = [values[arg.node.number] for arg in region.graph.outputs]
        grown = (*(flag or one.stepped for flag, one in zip(flags[:carries], found, strict=False)), *flags[carries:])
        if grown == flags:
            break
        flags = grown
    found[:carries] = [
        expanded(graph, one, steps) if flag else one for one, flag in zip(found[:carries], flags, strict=False)
    ]
    graph.outputs += [
        held.arg([axis + held.stepped for axis in arg.axes], 0)
        for held, arg in zip(found, region.graph.outputs, strict=True)
    ]
    inputs = (
        replace(given, axes=_with(steps, given.axes)) if flag else given
        for given, flag in zip(region.body.inputs, flags, strict=True)
    )
    outputs = (
        Output(output.value, (free_name(steps.name, output.axes), *output.axes)) if held.stepped else output
        for held, output in zip(found, region.body.outputs, strict=True)
    )
    return Region(replace(region.body, inputs=tuple(inputs), outputs=tuple(outputs)), graph), flags


def _input(graph: Graph, node: Node, flag: bool, steps: Steps) -> Held:
    more = int(flag)
    made = graph.node(
        "input", (), (*(steps.size,) * more, *node.space), node.rank + more, node.kind, attrs=dict(node.attrs),
        weak=node.weak, names=(*(steps.name,) * more, *node.names), spans=node.spans,
    )  # fmt: skip
    return Held(made, tuple(range(more, made.rank)), more - 1)


def _with(steps: Steps, axes: AxesOf) -> AxesOf:
    return ((free_name(steps.name, [name for name, _ in axes]), steps.size), *axes)
