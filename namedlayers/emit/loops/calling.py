"""Runs of bodies: what is passed to them, and how their results are taken apart.

In: a node `call` or `scan`. Out: one fx node that calls a function, and one for each part that is needed. What always
holds: a body gets what it takes in the order and with the kinds of its inputs, numbers as tensors where it wants
tensors; something weak that must not be weak inside takes the precision of everything that it runs with.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from namedlayers.emit.attributes import listed
from namedlayers.emit.emitters.elementwise import cast_kind
from namedlayers.emit.loops.scanning import joint_dtype
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.orders import orders
from namedlayers.emit.value import Value
from namedlayers.plan.regions import region_of
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.size import symbol

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction


@emits("call")
def emit_call(lo: Lowering, node: Node) -> Value:
    region = region_of(node)
    body = function_of(lo, node)
    given = [passed(lo, node, k, body.orders.inputs[k]) for k in range(len(node.args))]
    target: Callable[..., Any] = body.function
    options: dict[str, Any] = {}
    if region.body.name in lo.bodies.checkpoint:
        target, options = checkpoint, {"use_reentrant": False}
    args = (*([body.function] if options else []), *given, *sizes(lo, body))
    places = []
    for part in parts(lo, node):
        place = body.outputs.index(number_of(part))
        places.append((part, place, body.orders.outputs[place]))
    return taken(lo, node, target, args, options, places, len(body.outputs))


@emits("part", "final")
def emit_part(lo: Lowering, node: Node) -> Value:
    return lo.bundles[node.args[0].node.number][node]


def function_of(lo: Lowering, node: Node, wanted: Sequence[Node] | None = None) -> BodyFunction:
    """The function of the body that a node runs; `wanted`: the parts that are needed of it, where others see to it."""
    seen = [lo.values[arg.node.number].axes for arg in node.args]
    needed = parts(lo, node) if wanted is None else wanted
    return lo.bodies.function(region_of(node), lo.names, lambda: orders(node, seen, needed, lo.wants))


def parts(lo: Lowering, node: Node) -> list[Node]:
    """The nodes that take something of a bundle, in order."""
    return sorted(lo.users.get(node.number, ()), key=lambda part: (number_of(part), part.number))


def number_of(part: Node) -> int:
    found = part.attr("number")
    assert isinstance(found, int)
    return found


def sizes(lo: Lowering, body: BodyFunction) -> list[Any]:
    return [lo.size(symbol(name)) for name in body.sizes]


def passed(
    lo: Lowering, node: Node, number: int, order: Sequence[int], *, tensors: bool = False, among: Node | None = None
) -> Value:  # fmt: skip
    """An operand with exactly the axes of the body's input, in this order, behind the scanned axis if it has that.

    Its axes are called by their numbers in the operand's own node. `tensors`: no numbers. `among`: the node whose
    operands it runs with, if these are others.
    """
    region = region_of(node)
    given, inner = region.body.inputs[number], region.graph.nodes[number]
    operand, places = node.args[number].node, listed(node, "places")[number]
    value = lo.values[operand.number]
    if value.number and given.role == "option" and not tensors:
        return value
    with at(lo, operand):
        value = cast_kind(lo, value, given.kind)
        loose = value.weak and value.kind is Kind.REAL and not inner.weak
        dtype = _joint(lo, among or node) if loose else None
        if value.number and dtype is not None:
            value = lo.call(torch.full, ((), value), (), {"dtype": dtype, **lo.device()}, inline=True)
        elif dtype is not None:
            value = lo.cast(value, dtype, value.kind, weak=False)
        inside = [places.index(place) for place in order]
        value = lo.filled(value, inside)
        along = next((axis for axis in value.axes if places[axis] < 0), None)
        axes = [*([] if along is None else [along]), *inside]
        copied = along is not None and len(axes) > 1 and value.axes[-1] == along
        value = lo.permuted(value, axes)
        # Step after step would be read at a stride: one copy costs less.
        return lo.call("contiguous", (value,), axes, kind=value.kind, inline=True) if copied else value


def taken(
    lo: Lowering, node: Node, target: Callable[..., Any], args: Sequence[Any], options: dict[str, Any],
    places: Sequence[tuple[Node, int, tuple[int, ...]]], count: int,
) -> Value:  # fmt: skip
    """Calls `target`, which returns `count` tensors; `places`: for each part which of them it is, and its axes."""
    found: dict[Node, Value] = {}
    if count == 1:
        ((part, _, axes),) = places
        with at(lo, part):
            bundle = found[part] = lo.call(target, args, axes, options, wish=_wish(part))
    else:
        held = lo.raw(target, args, options, region_of(node).body.name)
        held.meta |= {"parts": count, "text": node.spans[0].text if node.spans else ""}
        bundle = Value(held, (), node.kind)
        for part, place, axes in places:
            with at(lo, part):
                found[part] = lo.call(operator.getitem, (held, place), axes, wish=_wish(part))
    lo.bundles[node.number] = found
    return bundle


@contextmanager
def at(lo: Lowering, node: Node) -> Iterator[None]:
    """What is emitted meanwhile belongs to `node`, in whose index space its axes are."""
    before, lo.node = lo.node, node
    try:
        yield
    finally:
        lo.node = before


# --- helpers ----------------------------------------------------------------------------------------------------------


def _wish(part: Node) -> str:
    """What a part is called inside, without the number that makes it unique there."""
    outputs = region_of(part.args[0].node).body.outputs
    return re.sub(r"_\d+$", "", outputs[number_of(part)].value)


def _joint(lo: Lowering, node: Node) -> Any:
    """The precision of all that is not weak, else the working one."""
    values = dict.fromkeys(lo.values[arg.node.number].held for arg in node.args if _strong(lo, arg.node))
    if not values:
        return lo.dtype()
    return lo.inline(joint_dtype, *values) if len(values) > 1 else lo.inline(getattr, next(iter(values)), "dtype")


def _strong(lo: Lowering, node: Node) -> bool:
    value = lo.values[node.number]
    return value.kind is Kind.REAL and not value.weak and not value.number
