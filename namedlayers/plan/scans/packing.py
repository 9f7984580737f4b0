"""Products of one carried value with several weights become one product with all of them.

In: a body's graph. Out: a graph with the same inputs and results. What always holds: the weights are free of carried
values, so that they are put together once, before the loop; weights that are parts of one tensor are that tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from namedlayers.plan.scans.block import copied
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.size import SizeExpr, const


@dataclass(frozen=True, slots=True)
class Product:
    """`node` is the sum of `weights * value`; `outer` are the weights' own axes that the value has not, `inner` for
    each other axis of the weights the value's axis that it meets."""

    node: Node
    weights: Arg
    value: Arg
    outer: tuple[int, ...]
    inner: tuple[tuple[int, int], ...]

    @property
    def key(self) -> tuple:
        """Products with one key can be one."""
        shape = tuple(self.weights.node.sizes[axis] for axis in self.outer)
        free = tuple(k for k, position in enumerate(self.value.axes) if position < self.node.rank)
        return (self.value.node.number, tuple(sorted(k for _, k in self.inner)), free, shape, self.node.kind)


def packed(graph: Graph, carries: int) -> Graph:
    """The body with such products packed."""
    bound = _bound(graph, carries)
    groups: dict[tuple, list[Product]] = {}
    for node in graph.live():
        found = product(node, bound)
        if found is not None:
            groups.setdefault(found.key, []).append(found)
    replaced: dict[int, Arg] = {}
    for group in groups.values():
        if len(group) > 1 and len({one.weights for one in group}) > 1:
            replaced |= _pack(graph, group)
    return _with(graph, replaced) if replaced else graph


def product(node: Node, bound: set[int]) -> Product | None:
    """A sum over axes of weights times a value that depends on carried ones."""
    if node.op != "reduce" or node.attr("op") != "sum" or node.args[0].node.op != "mul":
        return None
    (body,) = node.args
    pair = [Arg(arg.node, tuple(body.axes[p] for p in arg.axes)) for arg in body.node.args]
    for weights, value in (pair, pair[::-1]):
        if weights.node.number in bound or value.node.number not in bound:
            continue
        shared = [axis for axis in weights.axes if axis in value.axes]
        gone = set(range(node.rank, len(node.space)))
        if set(shared) != gone or len(shared) == len(weights.axes):
            return None
        outer = tuple(k for k, axis in enumerate(weights.axes) if axis not in gone)
        inner = tuple((weights.axes.index(axis), value.axes.index(axis)) for axis in shared)
        return Product(node, weights, value, outer, inner)
    return None


def common(weights: Sequence[Node]) -> tuple[Node, int] | None:
    """`(whole, axis)` if the weights are what one tensor is at 0, 1, … along an axis, all of it."""
    first = weights[0]
    if first.op != "index":
        return None
    found: list[tuple[int, SizeExpr]] = []
    for one in weights:
        if one.op != "index" or one.args != first.args:
            return None
        entries = one.attr("entries")
        assert isinstance(entries, tuple)
        if len(entries) != 1 or entries[0][1]:
            return None
        found.append((entries[0][0], entries[0][2]))
    whole, axis = first.args[0].node, found[0][0]
    if {own for own, _ in found} != {axis} or whole.sizes[axis] != len(weights):
        return None
    return (whole, axis) if [offset for _, offset in found] == [const(k) for k in range(len(weights))] else None


# --- helpers ----------------------------------------------------------------------------------------------------------


def _bound(graph: Graph, carries: int) -> set[int]:
    found = set(range(carries))
    for node in graph.nodes:
        if any(arg.node.number in found for arg in node.args):
            found.add(node.number)
    return found


def _pack(graph: Graph, group: list[Product]) -> dict[int, Arg]:
    """For each product's node a node that takes its part of the packed one."""
    group = sorted(group, key=_offset)
    weights, gate, order = _stacked(graph, group)
    first = group[0]
    value, rank = first.value, first.node.rank
    # The index space: the first product's, with the new axis after its result.
    moved = {p: p if p < rank else p + 1 for p in range(len(first.node.space))}
    axes = [0] * weights.rank
    own = [k for k in range(weights.rank) if k != gate]
    for k, axis in zip(own, order, strict=True):
        axes[k] = moved[first.weights.axes[axis]]
    axes[gate] = rank
    count = const(len(group))
    space = (*first.node.sizes, count, *first.node.space[rank:])
    names = (*first.node.names[:rank], "gate", *first.node.names[rank:])
    spans, kind = first.node.spans, first.node.kind
    args = (Arg(weights, tuple(axes)), Arg(value.node, tuple(moved[p] for p in value.axes)))
    body = graph.node("mul", args, space, len(space), kind, names=names, spans=spans)
    whole = graph.node(
        "reduce", (Arg(body, tuple(range(len(space)))),), space, rank + 1, kind, attrs={"op": "sum"}, names=names,
        spans=spans,
    )  # fmt: skip
    found: dict[int, Arg] = {}
    for number, one in enumerate(group):
        # Where each axis of this product's result stands in the first one's.
        places = {one.value.axes[k]: value.axes[k] for k in range(value.node.rank) if one.value.axes[k] < rank}
        places |= {
            one.weights.axes[mine]: first.weights.axes[its] for mine, its in zip(one.outer, first.outer, strict=True)
        }
        back = {its: mine for mine, its in places.items()}
        entry = (rank, (), const(number))
        taken = graph.node(
            "index", (Arg(whole, (*(back[p] for p in range(rank)), -1)),), one.node.sizes, rank, kind,
            attrs={"entries": (entry,)}, names=one.node.names[:rank], spans=one.node.spans,
        )  # fmt: skip
        found[one.node.number] = Arg(taken, tuple(range(rank)))
    return found


def _offset(one: Product) -> int:
    """Where weights that are part of a tensor stand in it."""
    node = one.weights.node
    if node.op != "index":
        return 0
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    value = entries[0][2].value
    return value if value is not None and len(entries) == 1 else 0


def _stacked(graph: Graph, group: list[Product]) -> tuple[Node, int, Sequence[int]]:
    """All weights in one tensor, its axis that numbers them, and for each other axis which of the first one's it is."""
    first = group[0]
    aligned = all(
        one.outer == first.outer and sorted(one.inner) == sorted(first.inner) and one.weights.node.rank
        == first.weights.node.rank for one in group
    )  # fmt: skip
    whole = common([one.weights.node for one in group]) if aligned else None
    if whole is not None:
        (arg,) = first.weights.node.args
        return (*whole, [axis for axis in arg.axes if axis >= 0])
    node = first.weights.node
    args = []
    for one in group:
        where = dict(zip(one.outer, first.outer, strict=True))
        meets = {k: axis for axis, k in first.inner}
        where |= {axis: meets[k] for axis, k in one.inner}
        args.append(Arg(one.weights.node, tuple(where[k] for k in range(node.rank))))
    space = (*node.sizes, const(len(group)))
    kind = max((one.weights.node.kind for one in group), key=lambda kind: kind.value)
    names = (*node.names[: node.rank], "gate")
    made = graph.node(
        "stack", tuple(args), space, len(space), kind, attrs={"axis": node.rank}, names=names, spans=node.spans
    )
    return made, node.rank, range(node.rank)


def _with(graph: Graph, replaced: dict[int, Arg]) -> Graph:
    """The graph with nodes replaced by others of the same axes, in an order in which operands are older."""
    target = Graph()
    new: dict[int, Node] = {}

    def make(node: Node) -> None:
        args = tuple(Arg(new[_now(arg.node, replaced).number], arg.axes) for arg in node.args)
        new[node.number] = target.node(
            node.op, args, node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak, names=node.names,
            spans=node.spans, rule=node.rule,
        )  # fmt: skip

    for node in graph.nodes:
        if node.op == "input":
            make(node)
    waiting = [_now(arg.node, replaced) for arg in reversed(graph.outputs)]
    while waiting:
        node = waiting[-1]
        missing = [one for arg in node.args if (one := _now(arg.node, replaced)).number not in new]
        if node.number in new or not missing:
            waiting.pop()
            if node.number not in new:
                make(node)
        else:
            waiting += missing
    target.outputs += [Arg(new[_now(arg.node, replaced).number], arg.axes) for arg in graph.outputs]
    return copied(target)


def _now(node: Node, replaced: dict[int, Arg]) -> Node:
    return replaced[node.number].node if node.number in replaced else node
