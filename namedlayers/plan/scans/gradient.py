"""The gradient of a scan as a scan of its own, from the last step to the first.

In: a node `scan`, the plan of its body, which of its results are used. Out: a `Gradient`: the body with what the
gradient needs of each step among its results, and a body for the gradient, which is planned like any other: so all that
does not depend on what comes back from later steps leaves its loop (derivatives of activations are computed for all
steps at once), and the gradient of a weight is one product after it. What always holds: the gradients are those of the
steps written out, up to rounding; where the table of derivatives ends, there is none, and torch differentiates the
steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from namedlayers.plan.plan import Gradient, Plan
from namedlayers.plan.requirements import requirements, together
from namedlayers.plan.scans.backward_loop import Backward, backward
from namedlayers.plan.scans.block import copied
from namedlayers.plan.scans.cotangents import Missing, cotangents, full
from namedlayers.plan.scans.held import free_name
from namedlayers.plan.scans.looping import draws
from namedlayers.plan.scans.runs import carries_of, region_of
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import Body, Kind, Output


@dataclass(frozen=True, slots=True)
class NoGradient:
    reason: str


def gradient(node: Node, parts: Sequence[Node], plan: Plan) -> Gradient | NoGradient:
    """The gradient of the scan `node`, of which `parts` are used; `plan` is its body's."""
    graph = plan.variants[0].graph
    guards = together(guard for one in graph.live() for guard in requirements(one))
    if draws(graph.live()):
        return NoGradient("random numbers are drawn at each step")
    region, carries = region_of(node), carries_of(node)
    places = node.attr("places")
    assert isinstance(places, tuple)
    steps = copied(graph)
    inputs = [one for one in steps.nodes if one.op == "input"]
    own = len(steps.nodes)
    moving = [k for k in range(carries) if inputs[k].kind is Kind.REAL and not inputs[k].weak]
    slopes = _slopes(parts, steps, moving)
    if not slopes:
        return NoGradient("nothing real comes out")
    onward = {k: _fresh(steps, f"onward {k}", steps.outputs[k]) for k in moving}
    arriving = {k: _fresh(steps, f"slope {k}", steps.outputs[k]) for k, last in slopes if not last}
    reads = [k for k in range(carries, len(inputs)) if inputs[k].kind is Kind.REAL and not inputs[k].weak]
    reached = [inputs[k] for k in (*moving, *reads)]
    found = cotangents(steps, _ends(steps, onward, arriving), reached)
    if isinstance(found, Missing):
        return NoGradient(found.reason)
    fixed = {inputs[k] for k in range(carries, len(inputs)) if -1 not in places[k]}
    alone = not any(last for _, last in slopes)
    turned = _turned(_results(steps, inputs, found, moving), moving, fixed) if alone else None
    ahead = {k: arriving.pop(k) for k in moving if k in arriving} if turned is None else {}
    if ahead:
        ends = _ends(steps, onward, arriving)
        for k, one in ahead.items():  # the first summand, onto which the others are added
            ends[inputs[k]] = [Arg(one, tuple(range(one.rank))), *ends.get(inputs[k], ())]
        found = cotangents(steps, ends, reached)
        assert not isinstance(found, Missing)
    results = _results(steps, inputs, found, moving)
    wanted = tuple(k for k in results if not node.args[k].node.weak)
    if not wanted:
        return NoGradient("nothing real goes in")
    fresh = {*onward.values(), *arriving.values(), *ahead.values()}
    saved = _saved(results.values(), inputs[:carries], own, fresh, [arg.node for arg in steps.outputs])
    numbers, forward = _with_results(region, graph, steps, saved)
    if turned is None:  # what comes back to each carried value is given, so that the gradient can begin at any step
        slopes = tuple(sorted({*slopes, *((k, True) for k in moving)}))
    wanted = tuple(k for k in results if k in moving or k in wanted)
    made = backward(
        Backward(node, steps, inputs, onward, arriving, ahead, slopes, results, wanted, saved, numbers, turned),
        _steps_name(parts),
    )
    return Gradient(forward, made.region, made.given, made.kept, slopes, wanted, guards, tuple(ahead))


# --- helpers ----------------------------------------------------------------------------------------------------------

_MADE_AGAIN = frozenset("add sub mul neg tanh sigmoid exp sin cos relu".split())
"""What costs less to compute again, for all steps at once, than to keep."""

_SEEN_THROUGH = frozenset({"expand", "ordered"})
"""What is never kept itself, as it is nothing but another view."""


def _slopes(parts: Sequence[Node], steps: Graph, moving: Sequence[int]) -> tuple[tuple[int, bool], ...]:
    """What comes back to the last step only is apart where the gradient can begin with it."""
    numbers = {(part.attr("number"), part.op == "final") for part in parts}
    real = [(k, last) for k, last in numbers if isinstance(k, int) and steps.outputs[k].node.kind is Kind.REAL]
    return tuple(sorted({(k, last and k in moving) for k, last in real if not steps.outputs[k].node.weak}))


def _steps_name(parts: Sequence[Node]) -> str:
    return next((part.names[0] for part in parts if part.op == "part"), "steps")


def _fresh(graph: Graph, name: str, like: Arg) -> Node:
    """An input with the axes of a result, in its order."""
    order = [like.axes.index(position) for position in range(like.node.rank)]
    sizes, names = [like.node.sizes[own] for own in order], [like.node.names[own] for own in order]
    return graph.node(
        "input", (), tuple(sizes), len(sizes), like.node.kind, attrs={"name": name}, weak=False, names=tuple(names)
    )


def _seen(one: Node, result: Arg) -> Arg:
    """Something in the order of a result's axes, by the axes of its node."""
    return Arg(one, tuple(result.axes.index(position) for position in range(one.rank)))


def _ends(steps: Graph, onward: Mapping[int, Node], arriving: Mapping[int, Node]) -> dict[Node, list[Arg]]:
    """What comes back to the results of a step."""
    ends: dict[Node, list[Arg]] = {}
    for k, one in (*onward.items(), *arriving.items()):
        ends.setdefault(steps.outputs[k].node, []).append(_seen(one, steps.outputs[k]))
    return ends


def _results(
    steps: Graph, inputs: Sequence[Node], found: Mapping[Node, Arg], moving: Sequence[int]
) -> dict[int, Arg]:  # fmt: skip
    """What comes back to the inputs of a step: to all carried ones, and to those others that it comes to."""
    others = [k for k, one in enumerate(inputs) if one in found and k not in moving]
    return {k: _whole(steps, inputs[k], found.get(inputs[k])) for k in (*moving, *others)}


def _whole(graph: Graph, given: Node, arg: Arg | None) -> Arg:
    """What comes back to an input, along all of its axes; zero where nothing does."""
    return full(Scope(graph, given, lambda _: 2), arg, range(given.rank))


def _saved(
    results: Iterable[Arg], carried: Sequence[Node], own: int, fresh: set[Node], ends: Sequence[Node]
) -> tuple[Node, ...]:
    """The values of a step that the gradient takes from it: those that depend on what is carried, but for what is
    easily made of others; `ends` are there anyway."""
    depends: dict[Node, bool] = {}
    found: dict[int, Node] = {}
    waiting = [arg.node for arg in results]
    seen: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node in seen or node in fresh:
            continue
        seen.add(node)
        if node.number < own and node.op != "input" and node.op not in _SEEN_THROUGH and _needs(node, carried, depends):
            found[node.number] = node
        else:
            waiting += [arg.node for arg in node.args]
    kept = set(found.values())
    # All steps of a carried value are there where it is read as it was before each of them.
    there = {one for one in seen if one in carried} | {ends[k] for k, one in enumerate(carried) if one in seen}
    for node in sorted(kept, key=lambda node: -node.number):
        of = [arg.node for arg in node.args if _needs(arg.node, carried, depends)]
        if node.op in _MADE_AGAIN and node not in ends and all(one in kept or one in there for one in of):
            kept = kept - {node} | {one for one in of if one not in carried}
    return tuple(sorted(kept, key=lambda node: node.number))


def _turned(results: Mapping[int, Arg], moving: Sequence[int], fixed: set[Node]) -> Node | None:
    """A value that comes back to an input and of which alone, with what is the same at all steps, everything is made
    that is handed on: where a loop carries this one, it has less to do at each step."""
    for k, arg in results.items():
        if k in moving or not arg.node.args or arg.node.weak:
            continue
        waiting, alone, met = [results[one].node for one in moving], bool(moving), False
        while waiting and alone:
            node = waiting.pop()
            if node is arg.node:
                met = True
            elif node.op == "input":
                alone = node in fixed
            else:
                waiting += [one.node for one in node.args]
        if alone and met:
            return arg.node
    return None


def _needs(node: Node, carried: Sequence[Node], known: dict[Node, bool]) -> bool:
    waiting = [node]
    while waiting:
        one = waiting[-1]
        missing = [arg.node for arg in one.args if arg.node not in known]
        if missing and one not in known:
            waiting += missing
            continue
        waiting.pop()
        known[one] = one in carried or any(known[arg.node] for arg in one.args)
    return known[node]


def _with_results(
    region: Region, graph: Graph, steps: Graph, saved: Sequence[Node]
) -> tuple[Mapping[Node, int], Region]:
    """The body with the saved values among its results, and the number of each. `steps` begins like `graph`."""
    inner = Graph()
    inner.nodes, inner.outputs, inner._table = list(steps.nodes), list(steps.outputs), dict(steps._table)
    outputs, numbers = list(region.body.outputs), {}
    for node in saved:
        place = next((k for k, arg in enumerate(inner.outputs) if arg.node is node), -1)
        if place < 0:
            place = len(inner.outputs)
            inner.outputs.append(Arg(node, tuple(range(node.rank))))
            outputs.append(Output(f"v{node.number}", axes_of(node)))
        numbers[node] = place
    body = region.body
    forward = Body(body.name, body.inputs, body.statements, tuple(outputs), body.span)
    return numbers, Region(forward, copied(inner))


def axes_of(node: Node) -> tuple[str, ...]:
    """Names of a node's axes, each another."""
    found: list[str] = []
    for name in node.names[: node.rank]:
        found.append(free_name(name, found))
    return tuple(found)
