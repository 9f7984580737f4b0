"""Products of one carried value with several weights become one product with all of them.

In: a body's graph. Out: a graph with the same inputs and results. What always holds: weights, and what is added to
the products, are free of carried values, so that they are put together before the loop; parts of one tensor are that
tensor; what is reduced along the weights' rows stays by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from namedlayers.plan.scans.block import ancestors, replacing
from namedlayers.plan.scans.joining import Joining
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph, Node


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
        """Products with one key can be one: all but the size of the first outer axis."""
        shape = tuple(self.weights.node.sizes[axis] for axis in self.outer[1:])
        free = tuple(k for k, position in enumerate(self.value.axes) if position < self.node.rank)
        summed = tuple(sorted(k for _, k in self.inner))
        return (self.value.node.number, summed, free, len(self.outer), shape, self.node.kind)


@dataclass(frozen=True, slots=True)
class _End:
    """A node that stands for a product, and which axis of the product's result each of its axes is."""

    node: Node
    order: tuple[int, ...]


def packed(graph: Graph, carries: int) -> Graph:
    """The body with such products packed; those that no carried value needs come after the loop, each by itself."""
    bound, users = _bound(graph, carries), graph.users()
    groups: dict[tuple, list[Product]] = {}
    for node in ancestors([arg.node for arg in graph.outputs[:carries]]):
        found = product(node, bound)
        if found is not None and not _is_reduced(found, bound, users):
            groups.setdefault(found.key, []).append(found)
    replaced: dict[int, Node] = {}
    for group in groups.values():
        if len({(one.weights.node.number, one.outer) for one in group}) > 1:
            replaced |= _pack(graph, group, bound)
    return replacing(graph, replaced) if replaced else graph


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


# --- helpers ----------------------------------------------------------------------------------------------------------


def _bound(graph: Graph, carries: int) -> set[int]:
    found = set(range(carries))
    for node in graph.nodes:
        if any(arg.node.number in found for arg in node.args):
            found.add(node.number)
    return found


def _is_reduced(one: Product, bound: set[int], users: Mapping[int, list[Node]]) -> bool:
    """Whether a product is reduced along the weights' rows, as norms and softmaxes are: they want it by itself, in one
    piece."""
    end = _End(one.node, tuple(range(one.node.rank)))
    while (found := _sum_around(end, users.get(end.node.number, []), bound)) is not None:
        end = found[0]
    rows = {k for k, position in enumerate(end.order) if position in {one.weights.axes[axis] for axis in one.outer}}
    reductions = [user for user in users.get(end.node.number, []) if user.op == "reduce"]
    return any(
        arg.node is end.node and any(arg.axes[k] >= user.rank for k in rows) for user in reductions for arg in user.args
    )


def _pack(graph: Graph, group: list[Product], bound: set[int]) -> dict[int, Node]:
    """For the node of each product, or the sum around it, one that takes its part of what is packed."""
    group = sorted(group, key=_offset)
    ends, added = _sums_around(graph, group, bound)
    first = group[0]
    scope = Scope(graph, first.node, lambda node: 1)
    places = [_places(one, first) for one in group]
    rows = first.weights.axes[first.outer[0]]
    sizes = [one.weights.node.sizes[one.outer[0]] for one in group]
    joining = Joining(scope, rows, sizes)
    meets = {k: first.value.axes[k] for _, k in first.inner}
    weights = joining.of([
        Arg(one.weights.node, _weight_axes(one, place, meets)) for one, place in zip(group, places, strict=True)
    ])  # fmt: skip
    weights = _laid(scope, weights, tuple(meets.values()))
    whole = scope.reduce("sum", scope.apply("mul", weights, first.value), meets.values(), kind=first.node.kind)
    for listed in added:
        moved = [Arg(arg.node, tuple(place[p] for p in arg.axes)) for arg, place in zip(listed, places, strict=True)]
        whole = scope.apply("add", whole, joining.of(moved))
    found: dict[int, Node] = {}
    own = whole.axes.index(joining.axis)
    for number, (end, place) in enumerate(zip(ends, places, strict=True)):
        back = {place[position]: axis for axis, position in enumerate(end.order)}
        axes = tuple(-1 if axis == joining.axis else back[axis] for axis in whole.axes)
        node = end.node
        found[node.number] = graph.node(
            "piece", (Arg(whole.node, axes),), node.sizes, node.rank, node.kind,
            attrs={"axis": back[rows], "number": number, "sizes": tuple(sizes)}, names=node.names[: node.rank],
            spans=node.spans,
        )  # fmt: skip
    assert whole.node.sizes[own] == joining.total
    return found


def _laid(scope: Scope, weights: Arg, inner: tuple[int, ...]) -> Arg:
    """Weights that are put together lie such that a step need not turn them: what is summed over comes first."""
    if weights.node.op != "concat":
        return weights
    pieces = []
    for arg in scope.operands(weights):
        along = arg.axes.index(-1)
        fresh = scope.fresh(arg.node.sizes[along], arg.node.names[along])
        axes = tuple(fresh if k == along else c for k, c in enumerate(arg.axes))
        result = sorted(axes)
        order = tuple(result.index(c) for c in (*inner, *(c for c in result if c not in inner)))
        piece = scope.build("ordered", (Arg(arg.node, axes),), result, kind=arg.node.kind, attrs={"axes": order})
        pieces.append(Arg(piece.node, tuple(-1 if c == fresh else c for c in result)))
    return scope.build("concat", pieces, weights.axes, kind=weights.node.kind, attrs=dict(weights.node.attrs))


def _places(one: Product, first: Product) -> dict[int, int]:
    """Where each axis of a product's result stands in the first one's."""
    rank = one.node.rank
    found = {mine: its for mine, its in zip(one.value.axes, first.value.axes, strict=True) if mine < rank}
    return found | {
        one.weights.axes[mine]: first.weights.axes[its] for mine, its in zip(one.outer, first.outer, strict=True)
    }


def _weight_axes(one: Product, place: Mapping[int, int], meets: Mapping[int, int]) -> tuple[int, ...]:
    """The coordinates of the axes of a product's weights."""
    met = {axis: meets[k] for axis, k in one.inner}
    return tuple(met[k] if k in met else place[position] for k, position in enumerate(one.weights.axes))


def _sums_around(graph: Graph, group: list[Product], bound: set[int]) -> tuple[list[_End], list[list[Arg]]]:
    """The nodes up to which all products are treated alike: something free is added to each, and nothing else is made
    of them; and what that is, its axes as positions of the products' results."""
    users = graph.users()
    results = {arg.node.number for arg in graph.outputs}
    ends = [_End(one.node, tuple(range(one.node.rank))) for one in group]
    added: list[list[Arg]] = []
    while all(end.node.number not in results for end in ends):
        found = [_sum_around(end, users.get(end.node.number, []), bound) for end in ends]
        sums = [one for one in found if one is not None]
        if len(sums) < len(ends):
            break
        ends = [end for end, _ in sums]
        added.append([arg for _, arg in sums])
    return ends, added


def _sum_around(end: _End, users: list[Node], bound: set[int]) -> tuple[_End, Arg] | None:
    """The one user of a node, if it adds something free; and that."""
    if len(users) != 1 or users[0].op != "add" or users[0].rank != end.node.rank or users[0].kind is not end.node.kind:
        return None
    left, right = users[0].args
    mine, other = (left, right) if left.node is end.node else (right, left)
    if mine.node is other.node or other.node.number in bound:
        return None
    order = {position: end.order[k] for k, position in enumerate(mine.axes)}
    return (
        _End(users[0], tuple(order[k] for k in range(users[0].rank))),
        Arg(other.node, tuple(order[p] for p in other.axes)),
    )


def _offset(one: Product) -> int:
    """Where weights that are part of a tensor stand in it."""
    node = one.weights.node
    if node.op != "index":
        return 0
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    value = entries[0][2].value
    return value if value is not None and len(entries) == 1 else 0
