"""A scan's loop for when nothing is differentiated: each step writes into what the first one allocated.

In: the function of a step and its `Loop`. Out: a function that takes what the loop takes and returns its results, or
None where the first step finds that the carried values change their precision. What always holds: where a step has
variants, so has the loop; what is for empty axes has nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import fx

from namedlayers.emit.functions import FOR_EMPTY, VARIANT, execute
from namedlayers.emit.loops.in_place_source import source
from namedlayers.emit.names import Names
from namedlayers.plan.plan import Variant

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction
    from namedlayers.emit.loops.scanning import Loop
    from namedlayers.emit.lowering import Lowering


def defined(
    lo: Lowering, wish: str, step: BodyFunction, loop: Loop, owned: frozenset[int] = frozenset()
) -> Callable[..., Any] | None:
    """The function, where a loop can run in place: it draws no random numbers. `owned` are the sequences, by number,
    that nothing else needs. Where a step has variants, so has the loop."""
    if loop.draws or not step.outputs:
        return None
    every = [lo.bodies.define(one, lo.names, _sourced(step, graph, loop, owned)) for one, graph in _wishes(wish, step)]
    return (
        every[0] if len(step.graphs) == 1 else lo.bodies.define(wish, lo.names, lambda name: _chosen(name, step, every))
    )


def alone(step: BodyFunction, loop: Loop) -> Callable[..., Any] | None:
    """The same for all values of all steps, stacked in front; it belongs to no source."""
    if loop.draws or not step.outputs:
        return None
    name = "scan_in_place"
    loop = replace(loop, results=tuple((number, 0) for number in range(len(step.outputs))))
    every = [execute(one, *source(one, step, graph, loop, frozenset())) for one, graph in _wishes(name, step)]
    return every[0] if len(step.graphs) == 1 else execute(name, *_chosen(name, step, every))


def _wishes(wish: str, step: BodyFunction) -> list[tuple[str, fx.Graph]]:
    """The graphs that run in place, and what their functions are called. What is for empty axes has nothing to do."""
    if len(step.graphs) == 1:
        return [(wish, step.graphs[0])]
    return [(f"{wish}_{number}", graph) for number, graph in enumerate(step.graphs, 1) if not _for_empty(graph)]


def _for_empty(graph: fx.Graph) -> bool:
    return _variant(graph).why == FOR_EMPTY


def _variant(graph: fx.Graph) -> Variant:
    found: Variant = next(reversed(graph.nodes)).meta[VARIANT]
    return found


def _sourced(
    step: BodyFunction, graph: fx.Graph, loop: Loop, owned: frozenset[int]
) -> Callable[[str], tuple[str, dict[str, Any]]]:  # fmt: skip
    return lambda name: source(name, step, graph, loop, owned)


def _chosen(name: str, step: BodyFunction, every: Sequence[Callable[..., Any]]) -> tuple[str, dict[str, Any]]:
    """The text of a function that calls the one of these which is for its sizes, if any is."""
    names = Names({name, *(one.__name__ for one in every)})
    given = [node for node in step.graphs[0].nodes if node.op == "placeholder" and "size" not in node.meta]
    arguments = [names.fresh(node.name) for node in given]
    steps, sizes = names.fresh("steps"), {symbol: names.fresh(symbol) for symbol in step.sizes}
    passed = ", ".join((*arguments, steps, *sizes.values()))
    functions = iter(every)
    lines = [f"def {name}({passed}):"]
    for graph in step.graphs:
        called = "None" if _for_empty(graph) else f"{next(functions).__name__}({passed})"
        guards = [] if graph is step.graphs[-1] else _variant(graph).guards
        sides = [(one.left.render(sizes.__getitem__), one.right.render(sizes.__getitem__)) for one in guards]
        shown = [f"{left} {one.relation} {right}" for (left, right), one in zip(sides, guards, strict=True)]
        lines += [f"    if {' and '.join(shown)}:", f"        return {called}"] if shown else [f"    return {called}"]
    return "\n".join([*lines, ""]), {one.__name__: one for one in every}
