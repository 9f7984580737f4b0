"""Scans are opened: what needs no loop leaves it, and what has a kernel of its own gets it.

In: a graph as numbered, with what the planner may do. Out: a graph with the same inputs and results in which scans are
as small as they can be, or gone. What always holds: the graph that comes in, and its regions, are not touched; a scan
that cannot be made smaller stays the node that it is, so that opening again changes nothing; inner scans are opened,
too; runs of a `call` stay as they are.

Carried values are solved one by one: those that do not depend on themselves and those that are linear in themselves
need no loop; then cells for which there is a kernel; what is left goes into one loop; linear values that the loop does
not read come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from namedlayers.plan.plan import Event
from namedlayers.plan.rewrite import merged_spans
from namedlayers.plan.rule import Numerics
from namedlayers.plan.scans import kernels
from namedlayers.plan.scans.block import Block, copied
from namedlayers.plan.scans.drawing import with_draws_apart
from namedlayers.plan.scans.held import Held, Steps, expanded
from namedlayers.plan.scans.looping import Loop, loop, region_for, run
from namedlayers.plan.scans.moving import moved
from namedlayers.plan.scans.regrouping import regrouped, with_parts_apart
from namedlayers.plan.scans.runs import carries_of, region_of
from namedlayers.plan.scans.solving import linear_form, recurrence, solve_free
from namedlayers.plan.scans.tidying import tidied
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.size import SizeExpr, const

MOST_PASSES = 8
"""How often a graph is gone through: what an inner scan gives free, an outer one may, too."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The graph, and what happened."""

    graph: Graph
    events: tuple[Event, ...]


def open_scans(
    graph: Graph,
    allowed: Iterable[Numerics] = ("exact", "algebraic"),
    admit: Callable[[Node], bool] = lambda node: True,
) -> Opened:
    """The graph with its scans opened. `allowed`: classes of rules; `admit` may refuse a kernel (for the sizes that it
    needs)."""
    if not any(node.op == "scan" for node in graph.nodes):
        return Opened(graph, ())
    opener = _Opener("algebraic" in set(allowed), admit)
    return Opened(opener.graph(graph), tuple(dict.fromkeys(opener.events)))


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Opener:
    algebraic: bool
    admit: Callable[[Node], bool]
    events: list[Event] = field(default_factory=list)
    settled: dict[Region, Region] = field(default_factory=dict)

    def graph(self, graph: Graph) -> Graph:
        for _ in range(MOST_PASSES):
            opened = self.once(graph)
            if opened is None:
                break
            graph = opened
        return graph

    def once(self, graph: Graph) -> Graph | None:
        """The graph with each scan opened once; None where that changes nothing."""
        target = Graph()
        values: dict[int, Held] = {}
        found: dict[int, dict[int, Held]] = {}
        parts: dict[int, dict[int, Node]] = {}
        live = graph.live()
        for node in live:
            if node.op == "part" and node.args[0].node.op == "scan":
                parts.setdefault(node.args[0].node.number, {})[_number(node)] = node
        inputs = [node for node in graph.nodes if node.op == "input"]
        for node in (*inputs, *(node for node in live if node.op != "input")):
            operands = [values[arg.node.number] for arg in node.args]
            if node.op == "part" and node.args[0].node.number in found:
                values[node.number] = found[node.args[0].node.number][_number(node)]
                continue
            if node.op == "scan":
                own = parts[node.number]
                results = self.scan(target, node, operands, own, _last_only(graph, live, own, node))
                if results is not None:
                    found[node.number] = results
                    values[node.number] = Held(node, ())
                    continue
            values[node.number] = moved(target, node, operands, None)
        target.outputs += [values[arg.node.number].arg(arg.axes) for arg in graph.outputs]
        return target if found else None

    def scan(
        self, graph: Graph, node: Node, operands: list[Held], parts: dict[int, Node], last: dict[int, bool]
    ) -> dict[int, Held] | None:
        """The results of a scan by the numbers of its parts, in whose axes' order they are; None: it stays. `last`
        tells of which parts only the last step is used."""
        steps = _steps(node, parts)
        region = region_of(node)
        inner = self.settled.get(region)
        if inner is None:
            inner = self.settled[region] = self.region(region)
        apart = with_draws_apart(copied(inner.graph), carries_of(node))
        inside = regrouped(apart, carries_of(node)) if self.algebraic else apart
        placed = [_placed(node, number, operand) for number, operand in enumerate(operands)]
        block = Block(node, graph, inside, placed, steps, [])
        block.unsolved += _live_carries(block, parts)
        wanted = [inside.outputs[number] for number in parts]
        count = len(block.unsolved)
        self.events += solve_free(block, self.algebraic)
        if block.unsolved and self.algebraic:
            body = with_parts_apart(copied(inner.graph), carries_of(node))
            results = [body.outputs[number] for number in parts]
            ends = [body.outputs[number].node for number in parts if last.get(number)]
            self.events += kernels.solve(block, body, results, ends, self.admit)
        if block.unsolved:
            after = _linear_after(block) if self.algebraic else []
            carries = [carry for carry in block.unsolved if carry not in after]
            forms = {carry: linear_form(block, carry) for carry in after}
            ends = [part.node for form in forms.values() if form for part in (form.factor, form.rest) if part]
            ends += [arg.node for arg in wanted if arg.node.number not in block.values]
            rest = loop(block, carries, ends)
            made = region_for(block, rest)
            if count == len(carries) and _same(made, region, rest, block, parts):
                return None
            run(block, rest, made)
            self.events += _moves(block, rest, wanted)
            for carry in reversed(after):
                form = linear_form(block, carry)
                assert form is not None
                block.solve(carry, recurrence(block, carry, form))
        return {number: _result(block, inside.outputs[number]) for number in parts}

    def region(self, region: Region) -> Region:
        graph = self.graph(tidied(region.graph, self.algebraic))
        return region if graph is region.graph else Region(region.body, graph)


def _moves(block: Block, rest: Loop, wanted: list[Arg]) -> list[Event]:
    """What the loop has lost: products and the like, before it and after it."""
    inside = {node.number for node in (*rest.inside, *rest.exports)}
    before = [node for node in rest.reads if node.op != "input"]
    after = [arg.node for arg in wanted if arg.node.number not in inside and block.needs(arg.node)]
    pairs = (("computed before the loop", before), ("computed after the loop", after))
    return [Event(rule, "exact", merged_spans(nodes)) for rule, nodes in pairs if nodes]


def _last_only(graph: Graph, live: list[Node], parts: dict[int, Node], scan: Node) -> dict[int, bool]:
    """Of which parts only what they are after the last step is used."""
    size = scan.attr("size")
    assert isinstance(size, SizeExpr)
    end = const(0) if scan.attr("reverse") else size - 1
    found = {number: all(arg.node is not part for arg in graph.outputs) for number, part in parts.items()}
    numbers = {part.number: number for number, part in parts.items()}
    for node in live:
        for arg in node.args:
            number = numbers.get(arg.node.number)
            if number is not None:
                entries = dict(node.attrs).get("entries", ()) if node.op == "index" else ()
                assert isinstance(entries, tuple)
                found[number] &= any(own == 0 and not listed and offset == end for own, listed, offset in entries)
    return found


def _number(part: Node) -> int:
    number = part.attr("number")
    assert isinstance(number, int)
    return number


def _steps(node: Node, parts: dict[int, Node]) -> Steps:
    size = node.attr("size")
    assert isinstance(size, SizeExpr)
    return Steps(size, next(iter(parts.values())).names[0])


def _placed(node: Node, number: int, operand: Held) -> Held:
    """An operand as the body sees it: by the axes of the body's input."""
    places = node.attr("places")
    assert isinstance(places, tuple)
    own = {place: operand.where[axis] for axis, place in enumerate(places[number])}
    step = own.pop(-1, -1)
    return Held(operand.node, tuple(own[place] for place in sorted(own)), step)


def _live_carries(block: Block, parts: Iterable[int]) -> list[int]:
    """The carried values that results need, directly or by others."""
    mask, waiting = 0, [block.inside.outputs[number].node for number in parts]
    while waiting:
        more = block.needs(waiting.pop()) & ~mask
        mask |= more
        waiting += [block.update(carry).node for carry in range(block.carries) if more >> carry & 1]
    wanted = set(parts)
    return [carry for carry in range(block.carries) if mask >> carry & 1 or carry in wanted]


def _linear_after(block: Block) -> list[int]:
    """Carried values that no other needs and that are linear in themselves, the last ones first."""
    after: list[int] = []
    changed = True
    while changed:
        changed = False
        for carry in block.unsolved:
            others = [one for one in block.unsolved if one not in after and one != carry]
            if carry in after or not others:
                continue
            alone = not any(block.needs(block.update(one).node) >> carry & 1 for one in others)
            if alone and linear_form(block, carry) is not None:
                after.append(carry)
                changed = True
    return after


def _result(block: Block, output: Arg) -> Held:
    """A result of the scan: the steps first, then the axes in the order of the output."""
    held = expanded(block.outside, block.value(output.node), block.steps)
    order = tuple(held.where[output.axes.index(position)] for position in range(output.node.rank))
    return Held(held.node, (held.step, *order))


def _same(made: Region, region: Region, rest: Loop, block: Block, parts: dict[int, Node]) -> bool:
    """Whether the loop does what the scan does, so that nothing is won."""
    if any(node.op != "input" for node in rest.reads) or len(made.body.inputs) != len(region.body.inputs):
        return False
    results = {block.inside.outputs[number].node.number for number in parts}
    given = {block.update(carry).node.number for carry in rest.carries} | {node.number for node in rest.exports}
    return (
        results <= given and len(given) == len(region.graph.outputs) and _outline(made.graph) == _outline(region.graph)
    )


def _outline(graph: Graph) -> list[tuple]:
    """All that a graph computes, in order."""
    place = {node.number: k for k, node in enumerate(graph.live())}
    return [
        (node.op, node.attrs, tuple((place[arg.node.number], arg.axes) for arg in node.args), node.space, node.rank)
        for node in graph.live()
    ]
