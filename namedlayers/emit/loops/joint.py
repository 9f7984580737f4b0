"""A loop and a linear recurrence behind it, in one.

In: a node `joint`. Out: a call of `after_loop`, with what is called for either, and for a step of both. What always
holds: for few states, and where somebody looks on, the loop runs first, and then the recurrence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from namedlayers.emit.loops.by_stretches import by_stretches, in_steps_of
from namedlayers.emit.loops.calling import function_of, number_of, parts, taken
from namedlayers.emit.loops.looping import Running, axes_of, running
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.loops.stretches import Stretching, enough, in_steps, step_orders, stretching
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.prologue import Orders
from namedlayers.emit.value import Value
from namedlayers.plan.regions import region_of
from namedlayers.plan.scans.joint_steps import Joint, joint_step, made_by
from namedlayers.program.graph import Node

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction


def after_loop(
    loop: Callable[..., Any], tensors: Sequence[Tensor], sizes: Sequence[int], places: Sequence[int],
    function: Callable[..., Any], others: Sequence[Tensor], dims: Sequence[int], results: Sequence[int], reverse: bool,
    steps: int, own: Sequence[int], cut: int, both: Callable[..., Any] | None = None, order: Sequence[int] = (),
    further: Sequence[int] = (), wide: int = 0, work: int = 0,
) -> Any:  # fmt: skip
    """A loop, whose results are the operands `places` of `by_stretches`, which has `others` and the arguments behind.
    `both` runs steps of both, with the tensors in `order` and the sizes `further`, when `wide` and `work` tell so."""
    if both is not None and steps and in_steps_of((*others[:-1], *tensors, others[-1]), wide, work):
        rest = [dim for k, dim in enumerate(dims) if k not in places]
        every = [*tensors, *(one.movedim(dim, 0) if dim > 0 else one for one, dim in zip(others, rest, strict=True))]
        found = both(*(every[k] for k in order), steps, *further)
        if found is not None:
            return found
    made = loop(*tensors, steps, *sizes)
    waiting = iter(made if isinstance(made, tuple) else (made,))
    left = iter(others)
    given = [next(waiting) if k in places else next(left) for k in range(len(dims))]
    return by_stretches(function, given, dims, results, reverse, steps, own, cut)


@emits("joint")
def emit_joint(lo: Lowering, node: Node) -> Value:
    scan, stretch = node.attr("scan"), node.attr("stretch")
    assert isinstance(scan, Node) and isinstance(stretch, Node)
    made = made_by(scan, stretch)
    wanted = list(made.values())
    step = function_of(lo, scan, wanted)
    numbers = tuple((step.outputs.index(number_of(part)), 0) for part in wanted)
    loop = running(lo, scan, step, numbers, wanted, node)
    axes = {k: axes_of(part, one, step) for (k, part), one in zip(made.items(), numbers, strict=True)}
    run = stretching(lo, stretch, parts(lo, node), axes, node)
    args = (loop.function, loop.given, loop.sizes, tuple(made), run.body.function, run.given, *run.rest)
    args += _both(lo, scan, stretch, step, loop, run)
    taken_of = [(part, number_of(part) - 1, run.body.orders.outputs[number_of(part)]) for part in parts(lo, node)]
    return taken(lo, node, after_loop, args, {}, taken_of, len(run.results))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _both(
    lo: Lowering, scan: Node, stretch: Node, step: BodyFunction, loop: Running, run: Stretching
) -> tuple[Any, ...]:  # fmt: skip
    """The function of steps of both, in which order it takes the tensors, further sizes, and what tells when it is
    quicker; nothing where there is none."""
    planned = lo.bodies.planned(region_of(scan))
    if run.step is None or planned is None:
        return ()
    joint, second = joint_step(scan, planned, stretch, run.step), step_orders(stretch, run, run.step)
    state, *others = second.inputs
    carries = loop.loop.carries
    inputs = _placed(joint, step.orders.inputs, (*others, state))
    laid = Orders(inputs, (*step.orders.inputs[:carries], *second.outputs))
    scanned = _placed(joint, loop.loop.scanned, [dim >= 0 for dim in run.dims])
    stacked = zip(run.step.results, run.results, strict=True)
    results = tuple((number + carries, dim) for number, dim in stacked)
    kept = [place for place in joint.second if place >= 0]
    alone = frozenset((*(joint.first[k] for k in loop.owned), *(kept[k] for k in run.owned)))
    whole = Loop("", scanned, carries + 1, loop.loop.reverse, results, False)
    found = in_steps(lo, f"{joint.region.body.name}_in_place", joint.region, laid, whole, alone)
    if found is None:
        return ()
    function, sizes = found
    places = (*joint.first, *kept)
    order = tuple(places.index(k) for k in range(len(places)))
    return function, order, sizes, *enough(lo, stretch, run, run.step)


def _placed(joint: Joint, first: Sequence[Any], second: Sequence[Any]) -> tuple[Any, ...]:
    """What belongs to the inputs of either, in the order of the inputs of both."""
    pairs = [*zip(joint.first, first, strict=True), *zip(joint.second, second, strict=True)]
    return tuple(value for place, value in sorted((pair for pair in pairs if pair[0] >= 0), key=lambda pair: pair[0]))
