"""Stretches of linear recurrences: a function of any number of steps, and a call that runs it piece by piece.

In: a node `stretch`. Out: a call of `by_stretches`. What always holds: the functions are made by the emission that
makes all bodies; that of single steps, which runs them in place, takes and returns the same tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from namedlayers.emit.attributes import listed
from namedlayers.emit.loops import in_place
from namedlayers.emit.loops.by_stretches import by_stretches
from namedlayers.emit.loops.calling import number_of, parts, passed, sizes, taken
from namedlayers.emit.loops.looping import owned
from namedlayers.emit.loops.roles import calls
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.orders import orders
from namedlayers.emit.prologue import Orders
from namedlayers.emit.value import Value
from namedlayers.plan.regions import region_of
from namedlayers.plan.scans.single_steps import Step, single_step
from namedlayers.program.graph import Node
from namedlayers.program.size import SizeExpr, symbol

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction


CALL = 8192
"""About so many values are taken through memory in the time of one call."""

SCAN = 6
"""About so many times a scan of all steps takes its values through memory. So steps of so many calls, made one by one,
are quicker from as many values on as those calls take the time of: measured for widths of 512 to 131,072, steps of one
call to nine, 32 of them to 512."""


@emits("stretch")
def emit_stretch(lo: Lowering, node: Node) -> Value:
    region = lo.bodies.adopt(region_of(node))
    step = single_step(node)
    body = lo.bodies.function(region, lo.names, lambda: _orders(lo, node, step))
    given = [passed(lo, node, k, order, tensors=True) for k, order in enumerate(body.orders.inputs)]
    dims = _dims(body.orders.inputs, listed(node, "inputs"))
    results = _dims(body.orders.outputs[1:], listed(node, "results"))
    size = node.attr("size")
    assert isinstance(size, SizeExpr)
    cut = next((k for k, name in enumerate(body.sizes) if name in size.symbols), -1)
    further = _one_by_one(lo, node, step, body, dims, results, given) if step else ()
    reverse, steps = bool(node.attr("reverse")), lo.size(size)
    args = (body.function, given, dims, results, reverse, steps, sizes(lo, body), cut, *further)
    places = [(part, number_of(part) - 1, body.orders.outputs[number_of(part)]) for part in parts(lo, node)]
    return taken(lo, node, by_stretches, args, {}, places, len(results))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _orders(lo: Lowering, node: Node, step: Step | None) -> Orders:
    """States lie alike from stretch to stretch; where they are a result, as they do there."""
    seen = [lo.values[arg.node.number].axes for arg in node.args]
    found = orders(node, seen, parts(lo, node), lo.wants)
    state = found.inputs[-1]
    if step is not None and 0 in step.results:
        number = step.results.index(0)
        state = _left(found.outputs[1 + number], listed(node, "results")[number])
    return Orders((*found.inputs[:-1], state), (state, *found.outputs[1:]))


def _one_by_one(
    lo: Lowering, node: Node, step: Step, body: BodyFunction, dims: Sequence[int], results: Sequence[int],
    given: Sequence[Value],
) -> tuple[Any, ...]:  # fmt: skip
    """The function that runs the steps in place, the sizes that it takes, and from how many states on it is quicker;
    nothing where there is none."""
    inputs = [_left(order, axis) for order, axis in zip(body.orders.inputs, listed(node, "inputs"), strict=True)]
    made = {0: inputs[-1]}
    for number, order, axis in zip(step.results, body.orders.outputs[1:], listed(node, "results"), strict=True):
        made.setdefault(number, _left(order, axis))
    laid = Orders((inputs[-1], *inputs[:-1]), tuple(made[number] for number in range(len(made))))
    region = lo.bodies.adopt(step.region, algebraic=True)
    function = lo.bodies.function(region, lo.names, lambda: laid)
    scanned = (False, *(dim >= 0 for dim in dims[:-1]))
    stacked = tuple(zip(step.results, results, strict=True))
    loop = Loop(lo.bodies.key(function.function), scanned, 1, bool(node.attr("reverse")), stacked, False)
    # The state comes first there.
    alone = frozenset(number + 1 for number in owned(lo, node, given, scanned[1:] + scanned[:1]))
    found = in_place.defined(lo, f"{body.name}_in_place", function, loop, alone)
    if found is None:
        return ()
    count = calls(function.graphs[-1], loop, algebraic=True)
    return found, [lo.size(symbol(name)) for name in function.sizes], CALL * count // (count + SCAN)


def _left(order: Sequence[int], gone: int) -> tuple[int, ...]:
    """An order of axes without that of the steps."""
    return tuple(axis - (0 <= gone < axis) for axis in order if axis != gone)


def _dims(orders: tuple[tuple[int, ...], ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """Where the axis of the steps lies in each."""
    return tuple(order.index(axis) if axis >= 0 else -1 for order, axis in zip(orders, axes, strict=True))
