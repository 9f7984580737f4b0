"""A scan as it is taken apart: its body in a graph of its own, what each value depends on, and what is known outside.

In: a node `scan` and its operands where they are now. Out: a `Block`. What always holds: `values` holds, for nodes of
the body, what they are outside at all steps; a node whose carried values are all solved can be had there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from namedlayers.plan.scans.held import Held, Steps, expanded
from namedlayers.plan.scans.moving import moved
from namedlayers.plan.scans.runs import carries_of
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.size import const, size_expr


@dataclass(slots=True)
class Block:
    """`inside`: the body's graph, `outside`: the graph around. `unsolved`: the carried values, by number, of which
    nothing is known outside yet."""

    node: Node
    outside: Graph
    inside: Graph
    operands: Sequence[Held]
    steps: Steps
    unsolved: list[int]
    values: dict[int, Held] = field(default_factory=dict)
    _masks: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for given, operand in zip(self.inside.nodes[self.carries :], self.operands[self.carries :], strict=False):
            self.values[given.number] = operand

    @property
    def carries(self) -> int:
        return carries_of(self.node)

    @property
    def reverse(self) -> bool:
        return bool(self.node.attr("reverse"))

    def update(self, carry: int) -> Arg:
        """What a carried value becomes: its axes at their positions in the carried input."""
        return self.inside.outputs[carry]

    def start(self, carry: int) -> Held:
        return self.operands[carry]

    def needs(self, node: Node) -> int:
        """The carried values that a node of the body depends on, as bits."""
        waiting = [node]
        while waiting:
            one = waiting[-1]
            if one.number in self._masks:
                waiting.pop()
                continue
            missing = [arg.node for arg in one.args if arg.node.number not in self._masks]
            if missing:
                waiting += missing
                continue
            mask = 1 << one.number if one.op == "input" and one.number < self.carries else 0
            for arg in one.args:
                mask |= self._masks[arg.node.number]
            self._masks[one.number] = mask
            waiting.pop()
        return self._masks[node.number]

    def open(self, node: Node, carries: Iterable[int] | None = None) -> bool:
        """Whether a node depends on one of these carried values (by default on an unsolved one)."""
        wanted = self.unsolved if carries is None else carries
        return bool(self.needs(node) & sum(1 << carry for carry in wanted))

    def value(self, node: Node) -> Held:
        """A node of the body outside; it depends on nothing unsolved."""
        for one in ancestors([node], stop=self.values):
            operands = [self.values[arg.node.number] for arg in one.args]
            self.values[one.number] = moved(self.outside, one, operands, self.steps)
        return self.values[node.number]

    def solve(self, carry: int, trajectory: Held) -> None:
        """`trajectory` is a carried value after each step, its axes in the order of the carried input."""
        update = self.update(carry)
        own = tuple(trajectory.where[position] for position in update.axes)
        self.values.setdefault(update.node.number, Held(trajectory.node, own, trajectory.step))
        self.values[carry] = self._before(carry, trajectory)
        self.unsolved.remove(carry)

    def _before(self, carry: int, trajectory: Held) -> Held:
        """The carried value before each step: it starts, and then is one step behind."""
        graph, given, size = self.outside, self.inside.nodes[carry], self.steps.size
        after = expanded(graph, trajectory, self.steps)
        first = expanded(graph, self.start(carry), Steps(const(1), self.steps.name))
        positions = range(1, given.rank + 1)
        pair = [first.arg(positions), after.arg(positions)]
        names = (self.steps.name, *given.names)
        joined = graph.node(
            "concat", tuple(reversed(pair) if self.reverse else pair), (size + 1, *given.space), given.rank + 1,
            given.kind, attrs={"axis": 0}, names=names, spans=self.node.spans,
        )  # fmt: skip
        entry = (0, ((0, const(1)),), size_expr(int(self.reverse)))
        shifted = graph.node(
            "index", (Arg(joined, (-1, *positions)),), (size, *given.space), given.rank + 1, given.kind,
            attrs={"entries": (entry,)}, names=names, spans=self.node.spans,
        )  # fmt: skip
        return Held(shifted, tuple(positions), 0)


def ancestors(roots: Iterable[Node], stop: Mapping[int, object] | None = None) -> list[Node]:
    """The nodes that `roots` need, themselves among them, in order; without those in `stop`."""
    found: dict[int, Node] = {}
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node.number not in found and (stop is None or node.number not in stop):
            found[node.number] = node
            waiting += [arg.node for arg in node.args]
    return [found[number] for number in sorted(found)]


def copied(region_graph: Graph) -> Graph:
    """A graph to which nodes can be added; its inputs stand first."""
    graph = Graph()
    new: dict[int, Node] = {}
    inputs = [node for node in region_graph.nodes if node.op == "input"]
    for node in (*inputs, *(node for node in region_graph.live() if node.op != "input")):
        new[node.number] = graph.node(
            node.op, tuple(Arg(new[arg.node.number], arg.axes) for arg in node.args), node.space, node.rank, node.kind,
            attrs=dict(node.attrs), weak=node.weak, names=node.names, spans=node.spans, rule=node.rule,
        )  # fmt: skip
    graph.outputs += [Arg(new[arg.node.number], arg.axes) for arg in region_graph.outputs]
    return graph


def replacing(graph: Graph, replaced: Mapping[int, Node]) -> Graph:
    """The graph with nodes replaced by others of the same axes, in an order in which operands are older."""
    target = Graph()
    new: dict[int, Node] = {}

    def now(node: Node) -> Node:
        return replaced.get(node.number, node)

    def make(node: Node) -> None:
        args = tuple(Arg(new[now(arg.node).number], arg.axes) for arg in node.args)
        new[node.number] = target.node(
            node.op, args, node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak, names=node.names,
            spans=node.spans, rule=node.rule,
        )  # fmt: skip

    for node in graph.nodes:
        if node.op == "input":
            make(node)
    waiting = [now(arg.node) for arg in reversed(graph.outputs)]
    while waiting:
        node = waiting[-1]
        missing: Sequence[Node] = [one for arg in node.args if (one := now(arg.node)).number not in new]
        if node.number in new or not missing:
            waiting.pop()
            if node.number not in new:
                make(node)
        else:
            waiting += missing
    target.outputs += [Arg(new[now(arg.node).number], arg.axes) for arg in graph.outputs]
    return copied(target)
