"""Linear recurrences with what is made only for them and of them, as one function of a stretch of steps.

In: a planned graph. Out: a graph in which each such group is a node `stretch`: a bundle that runs a region, whose
inputs are sequences, values that are the same at all steps, and the state before the first one; its first result is the
state after the last one, the others are sequences. What always holds: the region computes the same for any number of
steps, as all in it goes along the steps one by one but for the recurrence itself; the graph that comes in is not
touched.

So factors such as exp(delta * A) and sums such as C @ h need never be there for all steps at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from namedlayers.plan.scans.held import free_name
from namedlayers.plan.scans.outer_states import in_blocks
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import Body, Input, Kind, Output
from namedlayers.program.size import SizeExpr, size_expr, symbol
from namedlayers.program.terms import BINARY_NAMES, UNARY_NAMES

STRETCH = 1 << 18
"""About so many states a stretch has: what is made of them stays near the processor."""

SHORTEST = 16
"""Steps that a stretch has at least: what a call costs by itself is little beside them."""


def stretched(graph: Graph) -> Graph:
    """The graph with these groups as bundles."""
    tried: set[int] = set()
    while True:
        waiting = [node for node in graph.live() if node.op == "recurrence" and node.number not in tried]
        if not waiting:
            return graph
        tried.add(waiting[0].number)
        found = _group(graph, waiting[0])
        if found is not None:
            graph = _with_stretch(graph, found) or graph


# --- helpers ----------------------------------------------------------------------------------------------------------

_POINTWISE = frozenset({
    *UNARY_NAMES, *BINARY_NAMES, "where", "lerp", "relu", "sigmoid", "silu", "gelu", "softplus", "expand",
})  # fmt: skip

_LEAVES = frozenset({"const", "size"})
"""What is made again wherever it is needed."""

_SUMS = frozenset({"contract", "linear", "reduce"})
"""What may be made of the states, if it does not sum over the steps."""

Key = tuple[Node, int]
"""What a group takes, and which of its axes are the steps (-1: none)."""


@dataclass(frozen=True, slots=True)
class _Group:
    """`steps`: for each node, which of its axes are the steps; `results`: those that others need; `lasts`: what takes
    the last of all states and nothing else of them."""

    recurrence: Node
    steps: Mapping[Node, int]
    results: tuple[Node, ...]
    lasts: tuple[Node, ...] = ()

    @property
    def nodes(self) -> list[Node]:
        return sorted(self.steps, key=lambda node: node.number)

    def taken(self) -> Iterator[tuple[Node, Arg, int]]:
        """What each node takes from outside, but for the start, and where that has the steps; -2: more than once."""
        for node in self.nodes:
            for arg in node.args[:2] if node is self.recurrence else node.args:
                if arg.node not in self.steps:
                    places = [k for k, axis in enumerate(arg.axes) if axis == self.steps[node]]
                    yield node, arg, -2 if len(places) > 1 else places[0] if places else -1


def _group(graph: Graph, recurrence: Node) -> _Group | None:
    live, users = graph.live(), graph.users()
    axis, ends = recurrence.attr("axis"), {arg.node for arg in graph.outputs}
    assert isinstance(axis, int)
    size = recurrence.space[axis]
    steps = {recurrence: axis}
    place = live.index(recurrence)
    for node in reversed(live[:place]):
        if node.op in _POINTWISE and node not in ends:
            at = _needed_along(node, users.get(node.number, ()), steps)
            if at >= 0:
                steps[node] = at
    before = len(steps)
    behind, down = {recurrence}, {recurrence}
    for node in live[place + 1 :]:
        if any(arg.node in behind for arg in node.args):
            behind.add(node)
            at = _made_along(node, steps, behind, down, recurrence.rank)
            if at >= 0:
                steps[node] = at
                down.add(node)
    others = {node: [one for one in users.get(node.number, ()) if one not in steps] for node in steps}
    results = tuple(node for node in sorted(steps, key=lambda node: node.number) if others[node] or node in ends)
    lasts = tuple(node for node in others[recurrence] if _is_last(node, recurrence))
    if lasts and len(lasts) == len(others[recurrence]) and recurrence not in ends:
        read = _Group(recurrence, steps, tuple(one for one in results if one is not recurrence), lasts)
        if _of_any_length(read, size) and in_blocks(_region(read, _keys(read))) is not None:
            return read
    found = _Group(recurrence, steps, results)
    large = any(node.rank >= recurrence.rank and node is not recurrence for node in list(steps)[:before])
    worth = large or recurrence not in results
    return found if worth and _of_any_length(found, size) else None


def _is_last(node: Node, recurrence: Node) -> bool:
    """Whether a node is the state after all steps, its axes in order."""
    axis = recurrence.attr("axis")
    assert isinstance(axis, int)
    end = size_expr(0) if recurrence.attr("reverse") else recurrence.space[axis] - 1
    if node.op != "index" or node.attr("entries") != ((axis, (), end),):
        return False
    (arg,) = node.args
    kept = tuple(place for k, place in enumerate(arg.axes) if k != axis)
    return kept == tuple(range(node.rank)) and len(node.space) == node.rank


def _needed_along(node: Node, users: Sequence[Node], steps: Mapping[Node, int]) -> int:
    """Which axis of a value is that of the steps for all who need it, all of which are in the group; -1: none."""
    found = set()
    for user in users:
        if user not in steps:
            return -1
        for arg in user.args:
            if arg.node is node:
                places = [k for k, axis in enumerate(arg.axes) if axis == steps[user]]
                found.add(places[0] if len(places) == 1 else -1)
    return found.pop() if len(found) == 1 else -1


def _made_along(node: Node, steps: Mapping[Node, int], behind: set[Node], down: set[Node], rank: int) -> int:
    """Which axis of something made of whole states is that of the steps; -1: it is not made step by step."""
    if node.op not in _POINTWISE and node.op not in _SUMS:
        return -1
    own = [arg for arg in node.args if arg.node in steps]
    if any(arg.node in behind and arg.node not in down for arg in node.args):
        return -1
    if not any(arg.node in down and arg.node.rank >= rank for arg in own):
        return -1
    places = {arg.axes[steps[arg.node]] for arg in own}
    place = places.pop() if len(places) == 1 else -1
    return place if place < node.rank else -1


def _of_any_length(group: _Group, size: SizeExpr) -> bool:
    """Whether the number of steps is a size of its own, and all results are real."""
    name = next(iter(size.symbols), "")
    if size != symbol(name) or not group.recurrence.spans or any(at == -2 for _, _, at in group.taken()):
        return False
    rest = [one for node, at in group.steps.items() for k, one in enumerate(node.space) if k != at]
    inner = (*group.steps, *(arg.node for _, arg, _ in group.taken() if arg.node.op in _LEAVES))
    rest += [one for node in inner for _, one in node.attrs if isinstance(one, SizeExpr)]
    rest += [one for _, arg, at in group.taken() for k, one in enumerate(arg.node.sizes) if k != at]
    real = all(node.kind is Kind.REAL and not node.weak for node in group.results)
    return real and bool(group.results) and all(name not in one.symbols for one in rest)


def _with_stretch(graph: Graph, group: _Group) -> Graph | None:
    """The graph with the group as a bundle; None where something that runs a body would have to be made again."""
    recurrence, keys = group.recurrence, _keys(group)
    region = _region(group, keys)
    axis = recurrence.attr("axis")
    start = recurrence.args[2]
    rest = [k for k in range(recurrence.rank) if k != axis]
    places = (*(tuple(range(node.rank)) for node, _ in keys), tuple(rest.index(at) for at in start.axes))
    made = Graph(list(graph.nodes), [], graph.states, graph.stored, dict(graph._table))
    bundle = made.node(
        "stretch", tuple(Arg(node, (-1,) * node.rank) for node in (*(node for node, _ in keys), start.node)), (), 0,
        Kind.REAL,
        attrs={"places": places, "region": region, "reverse": recurrence.attr("reverse"),
               "size": recurrence.space[group.steps[recurrence]], "inputs": (*(at for _, at in keys), -1),
               "results": tuple(group.steps[node] for node in group.results), "ends": bool(group.lasts)},
        weak=False, spans=recurrence.spans,
    )  # fmt: skip
    new: dict[Node, Node] = {}
    for number, node in enumerate(group.results):
        new[node] = made.node(
            "part", (Arg(bundle, ()),), node.sizes, node.rank, node.kind, attrs={"number": number + 1}, weak=False,
            names=node.names[: node.rank], spans=node.spans, rule=node.rule,
        )  # fmt: skip
    state = region.graph.outputs[0].node
    for node in group.lasts:
        new[node] = made.node(
            "part", (Arg(bundle, ()),), state.sizes, state.rank, state.kind, attrs={"number": 0}, weak=False,
            names=state.names, spans=node.spans, rule=node.rule,
        )  # fmt: skip
    for node in graph.live():
        if node not in new and node not in group.steps and any(arg.node in new for arg in node.args):
            if any(isinstance(value, Region) for _, value in node.attrs):
                return None
            new[node] = _copied(made, node, [Arg(new.get(arg.node, arg.node), arg.axes) for arg in node.args])
    made.outputs += [Arg(new.get(arg.node, arg.node), arg.axes) for arg in graph.outputs]
    return made


def _keys(group: _Group) -> list[Key]:
    """What the group takes: sequences first."""
    found = dict.fromkeys((arg.node, at) for _, arg, at in group.taken() if arg.node.op not in _LEAVES)
    return sorted(found, key=lambda key: (key[1] < 0, key[0].number, key[1]))


def _region(group: _Group, keys: Sequence[Key]) -> Region:
    recurrence, graph = group.recurrence, Graph()
    inputs: list[Input] = []
    axis = group.steps[recurrence]
    rest = [k for k in range(recurrence.rank) if k != axis]
    values: dict[Key, Node] = {}
    for node, at in keys:
        name = free_name(str(dict(node.attrs).get("name", f"v{node.number}")), [one.name for one in inputs])
        values[node, at] = _input(graph, name, node.sizes, node.names[: node.rank], node.kind, node.weak)
        inputs.append(_told(values[node, at], name, recurrence))
    name = free_name("state", [one.name for one in inputs])
    sizes, names = tuple(recurrence.space[k] for k in rest), tuple(recurrence.names[k] for k in rest)
    start = _input(graph, name, sizes, names, recurrence.kind, False)
    inputs.append(_told(start, name, recurrence))
    new: dict[Node, Node] = {}
    for node in group.nodes:
        args = [_inside(graph, group, node, arg, new, values) for arg in node.args]
        if node is recurrence:
            args[2] = Arg(start, tuple(rest))
        new[node] = _copied(graph, node, args)
        if node is recurrence:  # before all that it is needed for, so that the others say in which order its axes lie
            last = size_expr(0) if node.attr("reverse") else node.space[axis] - 1
            places = tuple(-1 if k == axis else rest.index(k) for k in range(node.rank))
            state = graph.node(
                "index", (Arg(new[node], places),), sizes, len(sizes), node.kind,
                attrs={"entries": ((axis, (), last),)}, names=names,
            )  # fmt: skip
    graph.outputs += [Arg(one, tuple(range(one.rank))) for one in (state, *(new[node] for node in group.results))]
    outputs = [Output("state", _distinct(names))]
    outputs += [Output(f"v{node.number}", _distinct(node.names[: node.rank])) for node in group.results]
    body = Body(f"along_{recurrence.names[axis]}", tuple(inputs), (), tuple(outputs), recurrence.spans[0])
    return Region(body, graph)


def _inside(
    graph: Graph, group: _Group, node: Node, arg: Arg, new: Mapping[Node, Node], values: Mapping[Key, Node]
) -> Arg:
    """An operand of a node of the group, in the region."""
    if arg.node in new:
        return Arg(new[arg.node], arg.axes)
    if arg.node.op in _LEAVES:
        return Arg(_copied(graph, arg.node, ()), arg.axes)
    at = next((k for k, axis in enumerate(arg.axes) if axis == group.steps[node]), -1)
    return Arg(values.get((arg.node, at), arg.node), arg.axes)


def _copied(graph: Graph, node: Node, args: Sequence[Arg]) -> Node:
    return graph.node(
        node.op, tuple(args), node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
        names=node.names, spans=node.spans, rule=node.rule,
    )  # fmt: skip


def _input(
    graph: Graph, name: str, sizes: tuple[SizeExpr, ...], names: tuple[str, ...], kind: Kind, weak: bool
) -> Node:
    return graph.node("input", (), sizes, len(sizes), kind, attrs={"name": name}, weak=weak, names=names)


def _told(node: Node, name: str, recurrence: Node) -> Input:
    return Input(
        name, tuple(zip(_distinct(node.names), node.sizes, strict=True)), "data", node.kind, recurrence.spans[0]
    )


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each another."""
    found: list[str] = []
    for name in names:
        found.append(free_name(name, found))
    return tuple(found)
