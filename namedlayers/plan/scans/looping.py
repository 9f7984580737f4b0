"""The loop that is left: only what the carried values need at each step, on operands computed before it.

In: a `Block` with unsolved carried values. Out: a smaller `scan` outside, and all that is asked for solved. What always
holds: what depends on no carried value of the loop is computed outside, at all steps at once, and so is what no carried
value needs; products that would be larger than their factors, and numbers, stay where they are used, and so do places
at which a carried value is read, if they are a step away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from namedlayers.plan.rule import Match
from namedlayers.plan.rules.windows import shifts
from namedlayers.plan.scans.block import Block, ancestors
from namedlayers.plan.scans.held import Held, free_name
from namedlayers.plan.scans.moving import moved
from namedlayers.plan.scans.runs import bundle, region_of
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import Body, Input, Output
from namedlayers.program.regions import DRAWS


@dataclass(frozen=True, slots=True)
class Loop:
    """A scan to be made: the nodes inside, the nodes outside that it reads, and what it gives beside carried values."""

    carries: tuple[int, ...]
    inside: tuple[Node, ...]
    reads: tuple[Node, ...]
    exports: tuple[Node, ...]


def loop(block: Block, carries: Sequence[int], wanted: Iterable[Node]) -> Loop:
    """The loop over these carried values; afterwards `wanted` can be had outside."""
    updates = [block.update(carry).node for carry in carries]
    inside, reads = _inside(block, carries, updates)
    own = {node.number for node in inside}
    exports: dict[int, Node] = {}
    waiting = list(wanted)
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node.number in seen or not block.open(node, carries) or node.op == "input":
            continue
        seen.add(node.number)
        if node.number in own:
            exports[node.number] = node
        else:
            waiting += [arg.node for arg in node.args]
    for update in updates:
        exports.pop(update.number, None)
    return Loop(tuple(carries), inside, reads, tuple(exports[number] for number in sorted(exports)))


def run(block: Block, found: Loop, region: Region) -> Node:
    """The node of the loop; its carried values and exports are solved. `region` is what `region_for` made of it."""
    operands = [block.start(carry) for carry in found.carries] + [block.value(node) for node in found.reads]
    places = tuple(held.arg(range(len(held.where))).axes for held in operands)
    site = block.node.attr("site") if draws(found.inside) else 0
    attrs = {
        "carries": len(found.carries), "places": places, "region": region, "reverse": block.reverse, "site": site,
        "size": block.steps.size,
    }  # fmt: skip
    node = bundle(block.outside, block.node, operands, attrs)
    parts = [_part(block, node, number, arg) for number, arg in enumerate(region.graph.outputs)]
    count = len(found.carries)
    for carry, part in zip(found.carries, parts[:count], strict=True):
        block.solve(carry, part)
    block.values |= {node.number: part for node, part in zip(found.exports, parts[count:], strict=True)}
    return node


def region_for(block: Block, found: Loop) -> Region:
    """The body of the loop as a region."""
    old = region_of(block.node).body
    graph, inputs = Graph(), []
    values: dict[int, Held] = {}
    taken: list[str] = [given.name for given in old.inputs]
    for carry in found.carries:
        values[carry] = _input(graph, block.inside.nodes[carry], old.inputs[carry].name)
        inputs.append(old.inputs[carry])
    for node in found.reads:
        given = old.inputs[node.number] if node.op == "input" else _new_input(node, taken, old)
        values[node.number] = _input(graph, node, given.name)
        inputs.append(given)
        taken.append(given.name)
    for node in found.inside:
        if node.number not in values:
            values[node.number] = moved(graph, node, [values[arg.node.number] for arg in node.args], None)
    updates = [block.update(carry) for carry in found.carries]
    graph.outputs += [values[arg.node.number].arg(arg.axes) for arg in updates]
    graph.outputs += [values[node.number].arg(range(node.rank)) for node in found.exports]
    outputs = [old.outputs[carry] for carry in found.carries]
    outputs += [Output(_name(node, number), _axes(node)) for number, node in enumerate(found.exports)]
    return Region(Body(old.name, tuple(inputs), old.statements, tuple(outputs), old.span), graph)


def draws(nodes: Iterable[Node]) -> bool:
    """Whether random numbers are drawn anywhere in these nodes."""
    return any(node.op in DRAWS or dict(node.attrs).get("site") for node in nodes)


# --- helpers ----------------------------------------------------------------------------------------------------------

_LEAVES = frozenset({"const", "size", "coord"})


def _inside(block: Block, carries: Sequence[int], updates: Sequence[Node]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """The nodes that the loop computes, carried inputs among them, and those that it reads."""
    inside: dict[int, Node] = {}
    reads: dict[int, Node] = {}
    waiting = list(updates)
    while waiting:
        node = waiting.pop()
        if node.number in inside or node.number in reads:
            continue
        if block.open(node, carries) or _stays(block, node):
            inside[node.number] = node
            waiting += [arg.node for arg in node.args]
            if node.op == "gather" and _steps_away(block, node):
                places = {one.number: one for one in ancestors([arg.node for arg in node.args[1:]])}
                inside |= places
                reads = {number: one for number, one in reads.items() if number not in places}
        else:
            reads[node.number] = node
    return tuple(inside[k] for k in sorted(inside)), tuple(reads[k] for k in sorted(reads))


def _stays(block: Block, node: Node) -> bool:
    """Whether a node that could be computed outside is better off inside: it is free there, or large outside."""
    if node.op in _LEAVES:
        return True
    if node.op == "input" or node.number in block.values:
        return False
    if node.op == "expand" or (node.op == "mul" and node.rank > max(arg.node.rank for arg in node.args)):
        return True
    return node.weak and not node.rank and not node.space and not _drawn_or_stepped(block, node)


def _steps_away(block: Block, node: Node) -> bool:
    """Whether a value is read a fixed distance away, for which nothing is read, and no slope added, by number."""
    return any(isinstance(rule.match(Scope(block.inside, node, lambda _: 1), node), Match) for rule in shifts.RULES)


def _drawn_or_stepped(block: Block, node: Node) -> bool:
    """Whether a node is another at another step."""
    for one in ancestors([node]):
        held = block.values.get(one.number)
        if one.op in DRAWS or one.op == "part" or (held is not None and held.stepped):
            return True
    return False


def _input(graph: Graph, node: Node, name: str) -> Held:
    made = graph.node(
        "input", (), node.sizes, node.rank, node.kind, attrs={"name": name}, weak=node.weak,
        names=node.names[: node.rank], spans=node.spans,
    )  # fmt: skip
    return Held(made, tuple(range(node.rank)))


def _new_input(node: Node, taken: Sequence[str], body: Body) -> Input:
    name = free_name(f"v{node.number}", taken)
    span = node.spans[0] if node.spans else body.span
    return Input(name, tuple(zip(_axes(node), node.sizes, strict=True)), "data", node.kind, span)


def _axes(node: Node) -> tuple[str, ...]:
    """Names of a node's axes, each another."""
    found: list[str] = []
    for name in node.names[: node.rank]:
        found.append(free_name(name, found))
    return tuple(found)


def _name(node: Node, number: int) -> str:
    return f"v{node.number}"


def _part(block: Block, bundle_node: Node, number: int, output: Arg) -> Held:
    """A part, as what the output's node is at all steps."""
    rank = output.node.rank
    order = [output.axes.index(position) for position in range(rank)]
    sizes, names = [output.node.sizes[own] for own in order], [output.node.names[own] for own in order]
    made = block.outside.node(
        "part", (Arg(bundle_node, ()),), (block.steps.size, *sizes), rank + 1, output.node.kind,
        attrs={"number": number}, weak=output.node.weak, names=(block.steps.name, *names),
        spans=output.node.spans,
    )  # fmt: skip
    return Held(made, tuple(range(1, rank + 1)), 0)
