"""What a layer holds from call to call: running statistics, kept by the kernel that normalises.

In: results, and which of them are only stored. Out: the same results. What always holds: a value becomes the kernel's
only where no gradient flows into it; where the mean and the variance are not both kept, or not of what is normalised,
nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from namedlayers.plan.plan import Event
from namedlayers.plan.regions import region_of
from namedlayers.plan.rewrite import live_nodes, merged_spans, use_counts
from namedlayers.plan.view import Scope, constant
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class Held:
    """The names of inputs that are states, and the numbers of results that are only stored."""

    states: frozenset[str]
    stored: frozenset[int]


def held_inside(graphs: Iterable[Graph], held: Held) -> dict[Region, Held]:
    """What is held of the bodies that the variants of a graph run: what is held wherever they are run."""
    found: dict[Region, Held] = {}
    for graph in graphs:
        for node in (one for one in graph.live() if one.op in ("call", "scan")):
            region = region_of(node)
            here = _held_by(graph, node, region, held)
            known = found.get(region, here)
            found[region] = Held(known.states & here.states, known.stored & here.stored)
    return found


def keep_running(
    graph: Graph, outputs: Sequence[Arg], held: Held, admit: Callable[[Node], bool], events: list[Event]
) -> Sequence[Arg]:
    """The results, with what is stored of a normalisation over the batch taken from its kernel."""
    live = live_nodes(outputs)
    stored = _only_stored(live, outputs, held)
    updates = [update for node in live if node in stored and (update := _update(graph, node)) is not None]
    new: dict[int, Arg] = {}
    for node in live:
        pair = _pair(node, updates) if node.op == "standardize" else None
        if pair is None:
            continue
        kernel = _kernel(graph, node, *pair)
        if admit(kernel):
            new[node.number] = Arg(kernel, tuple(range(node.rank)))
            events.append(Event("running statistics", "algebraic", merged_spans((node, *(one.node for one in pair)))))
            for which, update in zip(("mean", "var"), pair, strict=True):
                new[update.node.number] = _running(graph, kernel, update, which)
    return _replaced(graph, outputs, new) if new else outputs


# --- what is held -----------------------------------------------------------------------------------------------------


def _held_by(graph: Graph, node: Node, region: Region, held: Held) -> Held:
    inputs = [inner.attr("name") for inner in region.graph.nodes[: len(node.args)]]
    given = [arg.node.op == "input" and arg.node.attr("name") in held.states for arg in node.args]
    states = frozenset(str(name) for name, is_state in zip(inputs, given, strict=True) if is_state)
    live = graph.live()
    stored = _only_stored(live, graph.outputs, held)
    parts = [one for one in live if one.op in ("part", "final") and one.args[0].node is node]
    lost = {part.attr("number") for part in parts if part not in stored}
    return Held(states, frozenset(k for k in range(len(region.graph.outputs)) if k not in lost))


def _only_stored(live: Sequence[Node], outputs: Sequence[Arg], held: Held) -> frozenset[Node]:
    """The nodes that nothing needs but results that are stored."""
    uses = use_counts(live, [])
    needed = {arg.node.number for k, arg in enumerate(outputs) if k not in held.stored}
    return frozenset(node for node in live if not uses[node.number] and node.number not in needed)


# --- running statistics -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Update:
    """`node` is (1 - rate) * old + rate * the statistic `op` (with `ddof`) of `x`, whose axes in `gone` it is over."""

    node: Node
    old: Node
    rate: float
    op: str
    ddof: int
    x: Node
    gone: frozenset[int]


def _update(graph: Graph, node: Node) -> _Update | None:
    if node.op != "add" or node.rank != 1 or node.kind != Kind.REAL:
        return None
    scope = Scope(graph, node, lambda _: 1)
    products = [scope.own_product(arg) for arg in node.args]
    if any(len(p.top) != 1 or p.bottom or isinstance(p.number, complex) for p in products):
        return None
    for (kept, (old,)), (rate, (new,)) in _both_ways([(float(p.number.real), p.top) for p in products]):
        statistic, axes = new.node, new.node.args[0].axes if new.node.args else ()
        if statistic.op != "statistic" or not 0 < rate <= 1 or abs(kept + rate - 1) > 1e-12 or old.axes != new.axes:
            continue
        gone = frozenset(own for own, position in enumerate(axes) if position >= 1)
        if len(gone) == len(axes) - 1:
            op, ddof = str(statistic.attr("op")), statistic.attr("ddof")
            assert isinstance(ddof, int)
            return _Update(node, old.node, rate, op, ddof, statistic.args[0].node, gone)
    return None


def _both_ways(pair: list[tuple[float, tuple[Arg, ...]]]) -> Iterator[list[tuple[float, tuple[Arg, ...]]]]:
    yield pair
    yield pair[::-1]


def _pair(node: Node, updates: Sequence[_Update]) -> tuple[_Update, _Update] | None:
    """The updates of mean and variance of what `node` standardizes, by one rate."""
    x, eps, *affine = node.args
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    gone = frozenset(own for own, position in enumerate(x.axes) if position in axes)
    if node.kind != Kind.REAL or len(gone) != len(x.axes) - 1 or constant(eps.node) is None:
        return None
    if any(set(arg.axes) & set(axes) for arg in affine):
        return None
    mine = [one for one in updates if one.x is x.node and one.gone == gone]
    for mean in (one for one in mine if (one.op, one.ddof) == ("mean", 0)):
        for var in (one for one in mine if (one.op, one.ddof) == ("var", 1)):
            if mean.rate == var.rate and mean.old.kind == var.old.kind == Kind.REAL:
                return mean, var
    return None


def _kernel(graph: Graph, node: Node, mean: _Update, var: _Update) -> Node:
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    (channel,) = (position for position in range(node.rank) if position not in axes)
    states = (Arg(mean.old, (channel,)), Arg(var.old, (channel,)))
    return graph.node(
        "batch_norm",
        (*node.args[:2], *states, *node.args[2:]),
        node.space,
        node.rank,
        node.kind,
        attrs=dict(node.attrs) | {"rate": mean.rate},
        weak=node.weak,
        names=node.names,
        spans=node.spans,
        rule="running statistics",
    )


def _running(graph: Graph, kernel: Node, update: _Update, which: str) -> Arg:
    axes = kernel.attr("axes")
    assert isinstance(axes, tuple)
    at = tuple(-1 if position in axes else 0 for position in range(kernel.rank))
    node = update.node
    found = graph.node(
        "running",
        (Arg(kernel, at),),
        node.space,
        1,
        node.kind,
        attrs={"which": which},
        weak=node.weak,
        names=node.names,
        spans=node.spans,
        rule="running statistics",
    )
    return Arg(found, (0,))


def _replaced(graph: Graph, outputs: Sequence[Arg], new: Mapping[int, Arg]) -> Sequence[Arg]:
    """The results with some nodes replaced by others that have the same axes."""
    best: dict[int, Node] = {}
    waiting = [arg.node for arg in reversed(outputs)]
    while waiting:
        node = waiting[-1]
        wanted = new[node.number].node if node.number in new else node
        missing = [arg.node for arg in wanted.args if arg.node.number not in best]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        args = tuple(Arg(best[arg.node.number], arg.axes) for arg in wanted.args)
        best[node.number] = graph.node(
            wanted.op, args, wanted.space, wanted.rank, wanted.kind, attrs=dict(wanted.attrs), weak=wanted.weak,
            names=wanted.names, spans=wanted.spans, rule=wanted.rule,
        )  # fmt: skip
    return [Arg(best[arg.node.number], arg.axes) for arg in outputs]
