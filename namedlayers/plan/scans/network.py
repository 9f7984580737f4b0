"""The terms of a recurrent cell, and the node of the kernel that computes it.

In: a cell that was recognised, with its gates in torch's order. Out: why the kernel does not fit, or its node outside
and the carried values that it solves. What always holds: weights that lie as torch stores them are passed as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Near
from namedlayers.plan.scans.affine import SUMMED, Affine, Weighed, summands, weighed
from namedlayers.plan.scans.block import Block, ancestors
from namedlayers.plan.scans.cells import Cell
from namedlayers.plan.scans.held import Held, expanded
from namedlayers.plan.scans.layout import Rows, biases, rows
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.regions import DRAWS


@dataclass(frozen=True, slots=True)
class Found:
    """`state` and `memory` are carried values by number; `gates` in torch's order; `order` the label of each of the
    memory's axes; `enters` the summands that enter a GRU's new gate outside of the reset gate."""

    cell: Cell
    state: int
    memory: int | None
    order: tuple[int, ...]
    gates: tuple[Affine, ...]
    enters: tuple[tuple[int, Arg], ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of the gates, sorted into what a kernel takes."""

    block: Block
    found: Found

    @property
    def hidden(self) -> tuple[int, ...]:
        """The labels of the state's axes over which the first gate sums."""
        return self.found.gates[0].products[0].summed

    @property
    def recurrent(self) -> list[Weighed]:
        return [gate.products[0] for gate in self.found.gates]

    def free(self, number: int) -> list[tuple[int, Arg]]:
        """The summands of a gate that are free of carried values."""
        return [(sign * s, arg) for sign, one in self.found.gates[number].free for s, arg in summands(one)]

    def inputs(self) -> list[Weighed] | None:
        """For each gate the one product of weights and what changes from step to step."""
        found = []
        for number in range(len(self.found.gates)):
            enters = self.found.cell.op == "gru" and number == 2
            terms = list(self.found.enters) if enters else self.free(number)
            changing = [(s, arg) for s, arg in terms if self.changes(arg.node)]
            if len(changing) != 1:
                return None
            product = weighed(changing[0][1], changing[0][0], self.changes)
            if product is None:
                return None
            found.append(product)
        return found

    def constants(self, number: int) -> list[tuple[int, Arg]]:
        """The biases of a gate, those beside the state."""
        return [(s, arg) for s, arg in self.free(number) if not self.changes(arg.node)]

    def entering(self) -> list[tuple[int, Arg]]:
        """The biases that enter a GRU's new gate beside the input."""
        return [(s, arg) for s, arg in self.found.enters if not self.changes(arg.node)]

    def changes(self, node: Node) -> bool:
        """Whether a value free of carried ones differs from step to step."""
        for one in ancestors([node]):
            held = self.block.values.get(one.number)
            if one.op in DRAWS or (held is not None and one.op == "input" and held.stepped):
                return True
        return False

    def check(self) -> Near | None:
        hidden = self.hidden
        if not hidden or any(one.summed != hidden for one in self.recurrent):
            return Near("the gates do not sum over the same axes of the state")
        for one in self.recurrent:
            if sorted(label for label in one.weights.axes if label < SUMMED) != sorted(hidden):
                return Near("the weights of the state have further axes")
        given = self.inputs()
        if given is None:
            return Near("what a gate gets beside the state is not one product of weights and an input")
        first = given[0].value
        for one in given:
            same = one.value.node is first.node and one.summed == given[0].summed
            if not same or any(a != b for a, b in zip(one.value.axes, first.axes, strict=True) if a < SUMMED):
                return Near("the gates do not read the same input")
            if sorted(label for label in one.weights.axes if label < SUMMED) != sorted(hidden):
                return Near("the weights of the input have further axes")
        if set(first.axes) & set(hidden) or first.node.kind is not Kind.REAL:
            return Near("the input has the axes of the state")
        beside = [arg for k in range(len(self.found.gates)) for _, arg in self.constants(k)]
        if any(set(arg.axes) - set(hidden) for arg in (*beside, *(arg for _, arg in self.entering()))):
            return Near("a bias has further axes than the state's")
        if self.found.cell.op == "gru" and any(self.changes(arg.node) for _, arg in self.free(2)):
            return Near("the reset gate acts on the input, too; in torch's GRU it acts on what comes from the state")
        return None


def built(block: Block, found: Found) -> Node:
    """The node of the kernel, outside."""
    terms = Terms(block, found)
    given = terms.inputs()
    assert given is not None
    hidden, state = terms.hidden, block.inside.nodes[found.state]
    layout = Rows(block, hidden, state)
    features = given[0].summed
    x = block.value(given[0].value.node)
    into = rows(layout, [(one.sign, one.weights, one.value) for one in given])
    back = rows(layout, [(one.sign, one.weights, one.value) for one in terms.recurrent])
    count = len(terms.recurrent)
    beside = [terms.constants(k) for k in range(count)]
    first = [*beside[:2], terms.entering()] if found.cell.op == "gru" else beside
    second = [[], [], beside[2]] if found.cell.op == "gru" else [[] for _ in beside]
    pair = biases(layout, first, second)
    rank = state.rank + 1
    inner = tuple(range(rank + len(features), rank + len(features) + len(hidden)))
    places = {axis: rank + k for k, axis in enumerate(features)}
    value = given[0].value
    positions = [places[k] if k in places else value.axes[k] + 1 for k in range(value.node.rank)]
    starts = [block.start(found.state).arg(range(1, rank))]
    if found.memory is not None:
        starts.append(block.start(found.memory).arg([label + 1 for label in found.order]))
    args = [
        x.arg(positions, 0), *starts, into.arg([-1, *(places[k] for k in features)]), back.arg([-1, *inner]),
        *(bias.arg([-1]) for bias in pair),
    ]  # fmt: skip
    space = (
        block.steps.size,
        *state.space,
        *(value.node.sizes[k] for k in features),
        *(state.space[k] for k in hidden),
    )
    names = (
        block.steps.name,
        *state.names,
        *(value.node.names[k] for k in features),
        *(state.names[k] for k in hidden),
    )
    attrs: dict = {
        "axis": 0, "hidden": tuple(label + 1 for label in hidden), "inner": inner, "reverse": block.reverse,
    }  # fmt: skip
    if found.cell.op == "rnn":
        attrs["act"] = found.cell.act
    spans = block.update(found.state).node.spans or block.node.spans
    return block.outside.node(
        found.cell.op, tuple(args), space, rank, Kind.REAL, attrs=attrs, weak=False, names=names, spans=spans,
        rule=found.cell.op,
    )  # fmt: skip


def solve_memory(block: Block, found: Found, node: Node) -> None:
    """The cell after the last step, as it is at every step: nothing asks for it at another."""
    assert found.memory is not None
    state = block.inside.nodes[found.memory]
    positions = tuple(range(node.rank - 1))
    cell = block.outside.node(
        "cell", (Arg(node, (-1, *positions)),), node.sizes[1:], node.rank - 1, node.kind, weak=False,
        names=node.names[1 : node.rank], spans=node.spans, rule=node.rule,
    )  # fmt: skip
    block.values.setdefault(
        block.update(found.memory).node.number,
        expanded(
            block.outside, Held(cell, tuple(found.order[p] for p in block.update(found.memory).axes)), block.steps
        ),
    )
    assert state.rank == len(found.order)
    block.unsolved.remove(found.memory)
