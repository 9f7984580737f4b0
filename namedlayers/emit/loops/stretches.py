"""Stretches of linear recurrences: a function of any number of steps, and a call that runs it piece by piece.

In: a node `stretch`. Out: a call of `by_stretches`. What always holds: the functions are made by the emission that
makes all bodies; that of single steps, which runs them in place, takes and returns the same tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from namedlayers.emit.attributes import listed
from namedlayers.emit.loops import in_place
from namedlayers.emit.loops.by_stretches import SCAN, by_stretches
from namedlayers.emit.loops.calling import number_of, parts, passed, sizes, taken
from namedlayers.emit.loops.looping import owned
from namedlayers.emit.loops.roles import calls
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.orders import orders
from namedlayers.emit.prologue import Orders
from namedlayers.emit.value import Value
from namedlayers.plan.regions import region_of
from namedlayers.plan.scans.outer_states import in_blocks
from namedlayers.plan.scans.single_steps import Step, single_step
from namedlayers.program.graph import Node, Region
from namedlayers.program.size import SizeExpr, symbol

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction


CALL = 8192
"""About so many values are taken through memory in the time of one call. So steps of so many calls, made one by one,
are quicker than a scan from as many values on as those calls take the time of: measured for widths of 512 to 131,072,
steps of one call to nine, 32 of them to 512."""


@emits("stretch")
def emit_stretch(lo: Lowering, node: Node) -> Value:
    run = stretching(lo, node, parts(lo, node), {}, node)
    ends = bool(node.attr("ends"))
    numbers = {part: number_of(part) for part in parts(lo, node)}
    places = [(part, number - (not ends), run.body.orders.outputs[number]) for part, number in numbers.items()]
    args = (run.body.function, run.given, *run.rest, *(() if ends else _one_by_one(lo, node, run)))
    more = _in_blocks(lo, node, run) | ({"ends": True} if ends else {})
    return taken(lo, node, by_stretches, args, more, places, len(run.results) + ends)


@dataclass(frozen=True)
class Stretching:
    """The function of stretches, and what it is called with: `given`, and the `rest`. `dims` and `results`: where the
    steps lie in each operand and result (-1: nowhere); `owned`: the operands that nothing else needs."""

    body: BodyFunction
    step: Step | None
    given: list[Value]
    dims: tuple[int, ...]
    results: tuple[int, ...]
    owned: frozenset[int]
    rest: tuple[Any, ...]


def stretching(
    lo: Lowering, node: Node, wanted: Sequence[Node], made: Mapping[int, tuple[int, ...]], user: Node
) -> Stretching:  # fmt: skip
    """`wanted` parts are needed; `made`: the axes of operands that are there at the call only; `user`: for which node
    it is that the stretches run."""
    region = lo.bodies.adopt(region_of(node))
    step = single_step(node)
    seen = [made[k] if k in made else lo.values[arg.node.number].axes for k, arg in enumerate(node.args)]
    body = lo.bodies.function(region, lo.names, lambda: _orders(lo, node, step, seen, wanted, bool(made)))
    inputs = body.orders.inputs
    own = [(k, order) for k, order in enumerate(inputs) if k not in made]
    scanned = listed(node, "inputs")
    given = []
    for k, order in own:
        value = passed(lo, node, k, order, tensors=True, among=user)
        given.append(value if scanned[k] >= 0 else _in_one_piece(lo, value, seen[k]))
    dims = _dims(inputs, scanned)
    results = _dims(body.orders.outputs[1:], listed(node, "results"))
    size = node.attr("size")
    assert isinstance(size, SizeExpr)
    cut = next((k for k, name in enumerate(body.sizes) if name in size.symbols), -1)
    rest = (dims, results, bool(node.attr("reverse")), lo.size(size), sizes(lo, body), cut)
    alone = frozenset() if made else owned(lo, node, given, [dim >= 0 for dim in dims], user)
    return Stretching(body, step, given, dims, results, alone, rest)


def left(order: Sequence[int], gone: int) -> tuple[int, ...]:
    """An order of axes without that of the steps."""
    return tuple(axis - (0 <= gone < axis) for axis in order if axis != gone)


def step_orders(node: Node, run: Stretching, step: Step) -> Orders:
    """In which order the axes lie of what a step takes, the state first, and gives."""
    orders = run.body.orders
    inputs = [left(order, axis) for order, axis in zip(orders.inputs, listed(node, "inputs"), strict=True)]
    made = {0: inputs[-1]}
    for number, order, axis in zip(step.results, orders.outputs[1:], listed(node, "results"), strict=True):
        made.setdefault(number, left(order, axis))
    return Orders((inputs[-1], *inputs[:-1]), tuple(made[number] for number in range(len(made))))


def in_steps(
    lo: Lowering, wish: str, region: Region, laid: Orders, loop: Loop, owned: frozenset[int]
) -> tuple[Callable[..., Any], list[Any]] | None:  # fmt: skip
    """The function that runs steps of a region in place, and the sizes that it takes."""
    function = lo.bodies.function(_adopted(lo, region), lo.names, lambda: laid)
    loop = replace(loop, key=lo.bodies.key(function.function))
    found = in_place.defined(lo, wish, function, loop, owned)
    return None if found is None else (found, [lo.size(symbol(name)) for name in function.sizes])


def enough(lo: Lowering, node: Node, run: Stretching, step: Step) -> tuple[int, int]:
    """From how many states on single steps are quicker than a scan of all, with one thread, and how many times as long
    a step takes as its values through memory."""
    function = lo.bodies.function(_adopted(lo, step.region), lo.names, lambda: step_orders(node, run, step))
    count, work = calls(function.graphs[-1], steps_of(node, run, step), algebraic=True)
    return CALL * count // (count + SCAN), work


def steps_of(node: Node, run: Stretching, step: Step) -> Loop:
    """The loop over the steps of a stretch."""
    scanned, stacked = (False, *(dim >= 0 for dim in run.dims[:-1])), zip(step.results, run.results, strict=True)
    return Loop("", scanned, 1, bool(node.attr("reverse")), tuple(stacked), False)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _orders(
    lo: Lowering, node: Node, step: Step | None, seen: Sequence[Sequence[int]], wanted: Sequence[Node], as_made: bool
) -> Orders:  # fmt: skip
    """States lie alike from stretch to stretch; where they are a result, as they do there. `as_made`: nothing may be
    turned, as a loop makes some operands."""
    found = orders(node, seen, wanted, lo.wants)
    state = found.inputs[-1]
    if step is not None and 0 in step.results:
        number = step.results.index(0)
        state = left(found.outputs[1 + number], listed(node, "results")[number])
    laid = Orders((*found.inputs[:-1], state), (state, *found.outputs[1:]))
    return laid if as_made else _turned(node, laid)


def _turned(node: Node, found: Orders) -> Orders:
    """The same where the state's last axis is in some result. What no result has is summed away, and short as a rule
    (the states of each channel), while operations go through the last axis in one piece. An axis that is in a sequence
    together with a summed one stays in front, as a batch does. What is the same at all steps is turned likewise."""
    body, scanned = region_of(node).body, listed(node, "inputs")
    state, names = found.inputs[-1], [[name for name, _ in one.axes] for one in body.inputs]
    own = names[-1]
    summed = [k for k in state if all(own[k] not in one.axes for one in body.outputs[1:])]
    with_them = [one for one, at in zip(names, scanned, strict=True) if at >= 0 and any(own[k] in one for k in summed)]
    batch = [k for k in state if k not in summed and any(own[k] in one for one in with_them)]
    last = [k for k in state if k not in summed and k not in batch]
    if not last or state[-1] not in summed:
        return found
    state = (*batch, *summed, *last)
    place = [own[k] for k in state]
    inputs = [
        tuple(one.index(name) for name in sorted(one, key=place.index)) if at < 0 and {*one} <= {*own} else order
        for order, one, at in zip(found.inputs[:-1], names, scanned, strict=False)
    ]
    return Orders((*inputs, state), (state, *found.outputs[1:]))


def _in_one_piece(lo: Lowering, value: Value, seen: Sequence[int]) -> Value:
    """What all steps read: a copy if it was turned."""
    if value.number or tuple(axis for axis in value.axes if axis in seen) == tuple(seen):
        return value
    return lo.call("contiguous", (value,), value.axes, kind=value.kind, weak=value.weak, inline=True)


def _one_by_one(lo: Lowering, node: Node, run: Stretching) -> tuple[Any, ...]:
    """The function that runs the steps in place, the sizes that it takes, and what tells when it is quicker; nothing
    where there is none."""
    step = run.step
    if step is None:
        return ()
    alone = frozenset(number + 1 for number in run.owned)  # the state comes first there
    wish, laid, loop = f"{run.body.name}_in_place", step_orders(node, run, step), steps_of(node, run, step)
    found = in_steps(lo, wish, step.region, laid, loop, alone)
    return () if found is None else (*found, *enough(lo, node, run, step))


def _in_blocks(lo: Lowering, node: Node, run: Stretching) -> dict[str, Any]:
    """The function that takes the steps in blocks, and the sizes that it takes; nothing where there is none."""
    found, size = in_blocks(region_of(node)), node.attr("size")
    if found is None:
        return {}
    assert isinstance(size, SizeExpr)
    body = lo.bodies.function(_adopted(lo, found.region), lo.names, lambda: run.body.orders)
    cut = next((k for k, name in enumerate(body.sizes) if name in size.symbols), -1)
    return {"in_blocks": body.function, "blocked": sizes(lo, body), "at": cut, "each": lo.size(found.each)}


def _adopted(lo: Lowering, region: Region) -> Region:
    return lo.bodies.adopt(region, algebraic=True)  # as recurrences are


def _dims(orders: tuple[tuple[int, ...], ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Where the axis of the steps lies in each."""
    return tuple(order.index(axis) if axis >= 0 else -1 for order, axis in zip(orders, axes, strict=True))
