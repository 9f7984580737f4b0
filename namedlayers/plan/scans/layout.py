"""Weights as torch's recurrent kernels store them: the gates and the state's axes in rows.

In: for each gate a weight or a bias, as values of the body. Out: one value outside, its first axis the rows. What
always holds: weights that are parts of one tensor which lies so already are that tensor; others are put together, once
a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from namedlayers.plan.scans.affine import SUMMED
from namedlayers.plan.scans.block import Block
from namedlayers.plan.scans.cutting import piece, selected
from namedlayers.plan.scans.held import Held
from namedlayers.plan.scans.joining import common
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

Term = tuple[int, Arg]
Weight = tuple[int, Arg, Arg | None]
"""A sign, weights, and the value that they meet, whose axes with labels from `SUMMED` on are theirs, too."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What rows stand for: the axes of the state that bear these labels, the last varying fastest."""

    block: Block
    hidden: tuple[int, ...]
    state: Node

    @property
    def graph(self) -> Graph:
        return self.block.inside

    @property
    def sizes(self) -> tuple[SizeExpr, ...]:
        return tuple(self.state.space[label] for label in self.hidden)

    @property
    def count(self) -> SizeExpr:
        """How many rows a gate has."""
        total = const(1)
        for size in self.sizes:
            total = total * size
        return total


def rows(layout: Rows, weights: Sequence[Weight]) -> Held:
    """The weights of all gates: rows first, then the axes that they are summed over, in the order of the value's."""
    found = _stored(layout, weights) or _joined(layout, weights)
    inside = layout.block.value(found.node)
    return Held(inside.node, tuple(inside.where[k] for k in found.axes))


def biases(layout: Rows, first: Sequence[Sequence[Term]], second: Sequence[Sequence[Term]]) -> list[Held]:
    """The two biases that a kernel adds, none where there is none. `second` are those that have to be the second's;
    those of `first` may be either's where the gate has none in `second`."""
    if not any((*first, *second)):
        return []
    columns = _in_columns(first, second)
    return [
        rows(layout, [(1, _total(layout, terms), None) for terms in column]) if any(column) else _none(layout, column)
        for column in columns
    ]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _stored(layout: Rows, weights: Sequence[Weight]) -> Arg | None:
    """The one tensor that all are parts of, in order: its node, and as labels which axis stands where."""
    if any(sign < 0 for sign, _, _ in weights) or len({_roles(layout, one) for one in weights}) > 1:
        return None
    nodes = [arg.node for _, arg, _ in weights]
    roles = _roles(layout, weights[0])
    if any(-2 - k not in roles for k in range(len(layout.hidden))):
        return None
    if len(nodes) == 1:
        return _merged(layout, nodes[0], roles, -1) if len(layout.hidden) > 1 else _ordered(nodes[0], roles)
    found = common(nodes)
    if found is not None:
        whole, gate = found
        (arg,) = nodes[0].args
        every = tuple(-1 if k == gate else roles[position] for k, position in enumerate(arg.axes))
        return _merged(layout, whole, every, gate)
    return _stacked(layout, nodes, roles)


def _stacked(layout: Rows, nodes: Sequence[Node], roles: tuple[int, ...]) -> Arg | None:
    """The tensor of which the gates' rows lie one after the other along an axis."""
    strides, total = {}, const(1)
    for k, size in reversed(list(enumerate(layout.sizes))):
        strides[-2 - k] = total
        total = total * size
    axis = -1
    for number, node in enumerate(nodes):
        if node.op != "index" or node.args != nodes[0].args:
            return None
        entries = node.attr("entries")
        assert isinstance(entries, tuple)
        if len(entries) != 1 or entries[0][2] != total * number or axis not in (-1, entries[0][0]):
            return None
        axis = entries[0][0]
        if {roles[position]: step for position, step in entries[0][1]} != strides:
            return None
    (arg,) = nodes[0].args
    if arg.node.sizes[axis] != total * len(nodes):
        return None
    return _ordered(arg.node, tuple(-1 if k == axis else roles[position] for k, position in enumerate(arg.axes)))


def _joined(layout: Rows, weights: Sequence[Weight]) -> Arg:
    """The gates' weights put one behind the other."""
    gates = [_gate(layout, one) for one in _cut(layout, weights)]
    if len(gates) == 1:
        return gates[0]
    graph = layout.graph
    first = gates[0].node
    inner = tuple(first.sizes[k] for k in gates[0].axes[1:])
    args = []
    for gate in gates:
        axes = [0] * gate.node.rank
        for position, own in enumerate(gate.axes):
            axes[own] = position if position else -1
        args.append(Arg(gate.node, tuple(axes)))
    kind = max((gate.node.kind for gate in gates), key=lambda kind: kind.value)
    made = graph.node(
        "concat", tuple(args), (layout.count * len(gates), *inner), 1 + len(inner), kind, attrs={"axis": 0},
        names=("rows", *(first.names[k] for k in gates[0].axes[1:])), spans=first.spans,
    )  # fmt: skip
    return Arg(made, tuple(range(made.rank)))


def _cut(layout: Rows, weights: Sequence[Weight]) -> list[Weight]:
    """The same, where parts of one tensor, in another order than the kernel's, are cut from it at once."""
    nodes = [arg.node for _, arg, _ in weights]
    axis = selected(nodes[0])
    if axis >= 0 and all(selected(node) == axis and node.args == nodes[0].args for node in nodes):
        pieces = [piece(layout.graph, node, axis) for node in nodes]
    else:
        pieces = _slices(layout, nodes) or nodes
    return [(sign, Arg(one, arg.axes), value) for one, (sign, arg, value) in zip(pieces, weights, strict=True)]


def _slices(layout: Rows, nodes: Sequence[Node]) -> list[Node] | None:
    """Slices as long as a gate, side by side in one tensor, as pieces of one cut."""
    numbers = {layout.count * k: k for k in range(len(nodes))}
    found = []
    for node in nodes:
        entries = node.attr("entries") if node.op == "index" and node.args == nodes[0].args else ()
        assert isinstance(entries, tuple)
        if len(entries) != 1 or len(entries[0][1]) != 1 or entries[0][2] not in numbers:
            return None
        (axis, ((position, step),), offset) = entries[0]
        arg = node.args[0]
        if step != 1 or node.sizes[position] != layout.count or arg.node.sizes[axis] != layout.count * len(nodes):
            return None
        attrs = {"axis": position, "number": numbers[offset], "sizes": (layout.count,) * len(nodes)}
        found.append(
            layout.graph.node(
                "piece", (arg,), node.sizes, node.rank, node.kind, attrs=attrs, names=node.names[: node.rank],
                spans=node.spans,
            )
        )  # fmt: skip
    return found


def _gate(layout: Rows, weight: Weight) -> Arg:
    """One gate's weights: rows first; with their sign."""
    sign, arg, _ = weight
    node, roles = arg.node, _roles(layout, weight)
    graph = layout.graph
    missing = [k for k in range(len(layout.hidden)) if -2 - k not in roles]
    if missing:
        space = (*node.sizes, *(layout.sizes[k] for k in missing))
        names = (*node.names[: node.rank], *(layout.state.names[layout.hidden[k]] for k in missing))
        positions = tuple(range(node.rank, len(space)))
        own = tuple(range(node.rank))
        node = graph.node(
            "expand", (Arg(node, own),), space, len(space), node.kind, attrs={"axes": positions}, weak=node.weak,
            names=names, spans=node.spans,
        )  # fmt: skip
        roles = (*roles, *(-2 - k for k in missing))
    if sign < 0:
        own = tuple(range(node.rank))
        node = graph.node(
            "neg", (Arg(node, own),), node.sizes, node.rank, node.kind, names=node.names[: node.rank], spans=node.spans
        )
    return _merged(layout, node, roles, -1) if len(layout.hidden) > 1 else _ordered(node, roles)


def _roles(layout: Rows, weight: Weight) -> tuple[int, ...]:
    """For each axis of the weights: -2, -3, … for the state's first, second, … axis; else the value's own axis."""
    _, arg, value = weight
    found = []
    for label in arg.axes:
        if label >= SUMMED:
            assert value is not None
            found.append(value.axes.index(label))
        else:
            found.append(-2 - layout.hidden.index(label))
    return tuple(found)


def _ordered(node: Node, roles: tuple[int, ...]) -> Arg:
    """Rows first (the one negative role), then the others in order: as axes, the node's own in that order."""
    order = sorted(range(len(roles)), key=lambda k: (roles[k] >= 0, roles[k]))
    return Arg(node, tuple(order))


def _merged(layout: Rows, node: Node, roles: tuple[int, ...], gate: int) -> Arg:
    """The axes `gate` and those of the state as rows, then the others."""
    inner = sorted(k for k in range(node.rank) if roles[k] >= 0)
    inner.sort(key=lambda k: roles[k])
    group = ([gate] if gate >= 0 else []) + [roles.index(-2 - k) for k in range(len(layout.hidden))]
    if len(group) == 1:
        return _ordered(node, roles)
    axes = [0] * node.rank
    for position, own in enumerate(inner):
        axes[own] = 1 + position
    for number, own in enumerate(group):
        axes[own] = 1 + len(inner) + number
    size = layout.count * (node.sizes[gate] if gate >= 0 else 1)
    space = (size, *(node.sizes[k] for k in inner), *(node.sizes[k] for k in group))
    names = ("rows", *(node.names[k] for k in inner), *(node.names[k] for k in group))
    consumed = tuple(range(1 + len(inner), len(space)))
    made = layout.graph.node(
        "merge", (Arg(node, tuple(axes)),), space, 1 + len(inner), node.kind, attrs={"axes": consumed, "into": 0},
        weak=node.weak, names=names, spans=node.spans,
    )  # fmt: skip
    return Arg(made, tuple(range(made.rank)))


def _in_columns(first: Sequence[Sequence[Term]], second: Sequence[Sequence[Term]]) -> tuple[list, list]:
    """Two columns: where a gate has two biases and may choose, each goes where its tensor's other parts go."""
    left: list[list[Term]] = []
    right: list[list[Term]] = []
    fixed = [_home(terms[0]) for terms in second if len(terms) == 1]
    for mine, others in zip(first, second, strict=True):
        if others or len(mine) != 2:
            left.append(list(mine))
            right.append(list(others))
            continue
        ordered = sorted(mine, key=_home)
        if fixed and _home(ordered[0]) in fixed:
            ordered.reverse()
        left.append(ordered[:1])
        right.append(ordered[1:])
    return left, right


def _home(term: Term) -> int:
    """The tensor that a bias is a part of."""
    node = term[1].node
    return node.args[0].node.number if node.op == "index" else node.number


def _total(layout: Rows, terms: Sequence[Term]) -> Arg:
    """The sum of biases over the state's axes."""
    graph = layout.graph
    if not terms:
        return Arg(_zero(graph), ())
    if len(terms) == 1 and terms[0][0] > 0:
        return terms[0][1]
    result: Arg | None = None
    for sign, arg in sorted(terms, key=lambda term: -term[0]):
        if result is None:
            result = arg if sign > 0 else _elementwise(layout, "neg", (arg,))
        else:
            result = _elementwise(layout, "add" if sign > 0 else "sub", (result, arg))
    assert result is not None
    return result


def _elementwise(layout: Rows, op: str, args: tuple[Arg, ...]) -> Arg:
    labels = sorted({label for arg in args for label in arg.axes})
    state = layout.state
    made = layout.graph.node(
        op, tuple(Arg(arg.node, tuple(labels.index(label) for label in arg.axes)) for arg in args),
        tuple(state.space[label] for label in labels), len(labels), Kind.REAL,
        names=tuple(state.names[label] for label in labels), spans=args[0].node.spans,
    )  # fmt: skip
    return Arg(made, tuple(labels))


def _none(layout: Rows, column: Sequence[Sequence[Term]]) -> Held:
    """A bias that is 0, for as many gates."""
    size = layout.count * len(column)
    zeros = layout.graph.node(
        "expand", (Arg(_zero(layout.graph), ()),), (size,), 1, Kind.REAL, attrs={"axes": (0,)}, weak=True,
        names=("rows",),
    )  # fmt: skip
    return layout.block.value(zeros)


def _zero(graph: Graph) -> Node:
    return graph.node("const", (), (), 0, Kind.REAL, attrs={"kind": "float", "digits": (0.0).hex()})
