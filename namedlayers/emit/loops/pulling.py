"""What torch differentiates alone, inside of a gradient that is a graph: one operation, for one of its operands.

In: the function of a body, its operands, what comes back to its result. Out: what comes back to one operand, as it
lies. What always holds: what the function does is not recorded for anybody else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.attributes import listed, position
from namedlayers.emit.loops.calling import at, passed, sizes
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.prologue import Orders
from namedlayers.emit.value import Value
from namedlayers.plan.regions import region_of
from namedlayers.program.graph import Node


def pulled_back(function: Callable[..., Any], number: int, slope: Tensor, given: list[Tensor], *sizes: int) -> Tensor:
    """What comes back to argument `number` of a function where `slope` comes back to its result.

    >>> pulled_back(torch.mul, 1, torch.ones(2), [torch.full((2,), 3.0), torch.zeros(2)])
    tensor([3., 3.])
    """
    with torch.enable_grad():
        given = [one.detach() for one in given]
        wanted = given[number].requires_grad_()
        made = function(*given, *sizes)
    if not made.requires_grad:
        return torch.zeros_like(wanted)
    (found,) = torch.autograd.grad(made, wanted, slope.to(made.dtype), allow_unused=True)
    return torch.zeros_like(wanted) if found is None else found


@emits("pulled_back")
def emit_pulled_back(lo: Lowering, node: Node) -> Value:
    number, places = position(node, "number"), listed(node, "places")
    *seen, slope = (_placed(lo, node, k) for k in range(len(node.args)))
    body = lo.bodies.function(region_of(node), lo.names, lambda: Orders(tuple(seen), (slope,)))
    given = [passed(lo, node, k, order, tensors=True) for k, order in enumerate(body.orders.inputs)]
    back = node.args[-1].node
    with at(lo, back):
        value = lo.tensor(lo.values[back.number])
        inside = [places[-1].index(place) for place in body.orders.outputs[0]]
        value = lo.permuted(lo.filled(value, inside), inside)
    args = (body.function, number, value, given, *sizes(lo, body))
    return lo.call(pulled_back, args, body.orders.inputs[number])


# --- helpers ----------------------------------------------------------------------------------------------------------


def _placed(lo: Lowering, node: Node, k: int) -> tuple[int, ...]:
    """The order in which an operand lies, by the axes of the input; what it lacks comes first."""
    places, value = listed(node, "places")[k], lo.values[node.args[k].node.number]
    there = [places[axis] for axis in value.axes]
    return (*(place for place in sorted(places) if place not in there), *there)
