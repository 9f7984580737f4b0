"""The functions of a loop that is differentiated: one that keeps what the gradient needs, and the gradient's.

In: a node `scan` for which the plan has a gradient. Out: a `Record` of them. What always holds: tensors lie in the
gradient as they lie in the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from namedlayers.emit.loops import in_place
from namedlayers.emit.loops.recorded import Record, Slope
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.prologue import Orders
from namedlayers.plan.regions import region_of
from namedlayers.plan.scans.afterwards import Apart, apart
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, symbol

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction
    from namedlayers.emit.lowering import Lowering
    from namedlayers.plan.plan import Gradient
    from namedlayers.program.graph import Node
    from namedlayers.program.program import Body


@dataclass(frozen=True)
class Recording:
    """`symbols`: the sizes that `record` takes; `full`: the function of a step that keeps what the gradient needs."""

    record: Record
    symbols: tuple[str, ...]
    full: BodyFunction


def differentiated(
    lo: Lowering, node: Node, wish: str, loop: Loop, step: BodyFunction, owned: Sequence[int]
) -> Recording | None:  # fmt: skip
    """None where the plan has no gradient, or one for other results than this loop's."""
    gradient = lo.bodies.gradients.get(node)
    if gradient is None:
        return None
    own = [(step.outputs[number], dim) for number, dim in loop.results]
    slopes = [_slope(number, last, own, gradient) for number, last in gradient.slopes]
    if any(one.every < 0 and one.last < 0 and one.dim >= 0 for one in slopes):
        return None
    body = region_of(node).body
    full = lo.bodies.function(gradient.forward, lo.names, lambda: _forward_orders(gradient, body, step, loop))
    stacked = {number for number, dim in own if dim >= 0}
    results = [*own, *((number, 0) for number in gradient.kept if number not in stacked)]
    keeping = replace(loop, key=lo.bodies.key(full.function), results=tuple(results))
    quick = in_place.defined(lo, f"{wish}_keeping", full, keeping)
    orders = _backward_orders(gradient, slopes, step, full, keeping)
    steps = _steps(node, gradient, keeping)
    split = _split(lo, gradient, keeping) if steps else None
    if split is None:
        wanted, back, after = gradient.wanted, lo.bodies.function(gradient.backward, lo.names, lambda: orders), None
    else:
        others = [k for k in range(len(gradient.wanted)) if k not in split.sums]
        wanted = tuple(gradient.wanted[k] for k in (*others, *split.sums))
        first = Orders(orders.inputs, tuple(orders.outputs[k] for k in others))
        second = Orders(
            (*orders.inputs, *(orders.outputs[k] for k in split.taken)), tuple(orders.outputs[k] for k in split.sums)
        )
        back = lo.bodies.function(lo.bodies.adopt(split.along), lo.names, lambda: first)
        after = lo.bodies.function(lo.bodies.adopt(split.after), lo.names, lambda: second)
    kept = tuple(_stacked(results, number) for number in gradient.kept)
    asked = sorted({name for guard in gradient.guards for side in (guard.left, guard.right) for name in side.symbols})
    functions = [step, full, back, *([] if after is None else [after])]
    symbols = tuple(dict.fromkeys((*(one for function in functions for one in function.sizes), *asked, *steps)))
    sizes = tuple(tuple(symbols.index(one) for one in function.sizes) for function in functions)
    # Where the gradient may turn out to be had otherwise only, what it takes has to stay as it is.
    owned = [] if any(one.op == "inverse_share" for one in gradient.backward.graph.live()) else owned
    record = Record(
        loop, step.function, keeping, full.function, quick, back.function, sizes, gradient.given, kept, tuple(slopes),
        wanted, symbols, gradient.guards, symbols.index(steps[0]) if steps else -1, tuple(owned),
        None if after is None else after.function,
        () if split is None else tuple(gradient.wanted[k] for k in split.taken),
        () if split is None else tuple(gradient.wanted[k] for k in split.sums),
    )  # fmt: skip
    return Recording(record, symbols, full)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _stacked(results: Sequence[tuple[int, int]], number: int) -> int:
    """Which of the results is a value at all steps."""
    return next(k for k, (one, dim) in enumerate(results) if one == number and dim >= 0)


def _slope(number: int, last: bool, own: Sequence[tuple[int, int]], gradient: Gradient) -> Slope:
    every = next((k for k, (one, dim) in enumerate(own) if one == number and dim >= 0), -1)
    final = next((k for k, one in enumerate(own) if one == (number, -1)), -1)
    if last:
        return Slope(number, -1, final, -1, number in gradient.ahead)
    apart, dim = (number, True) in gradient.slopes, own[every][1] if every >= 0 else 0
    return Slope(number, every, -1 if apart else final, dim, number in gradient.ahead)


def _split(lo: Lowering, gradient: Gradient, keeping: Loop) -> Apart | None:
    """The gradient's loop, and the products of all steps that come after it."""
    graph = lo.bodies.planned(gradient.backward)
    inside = [k for k, number in enumerate(gradient.wanted) if number >= keeping.carries]
    sequences = [k for k in inside if keeping.scanned[gradient.wanted[k]]]
    sums = [k for k in inside if not keeping.scanned[gradient.wanted[k]]]
    made = None if graph is None else apart(gradient.backward, graph, sums, sequences)
    return None if made is None or _looks_ahead(made, gradient) else made


def _looks_ahead(made: Apart, gradient: Gradient) -> bool:
    """Whether what comes after the loop takes what comes back to the steps one step later."""
    inputs = [one for one in made.after.graph.nodes if one.op == "input"]
    first = len(gradient.given) + len(gradient.kept)
    ahead = [inputs[first + place] for place, (number, _) in enumerate(gradient.slopes) if number in gradient.ahead]
    live = set(made.after.graph.live())
    return any(one in live for one in ahead)


def _steps(node: Node, gradient: Gradient, keeping: Loop) -> tuple[str, ...]:
    """The size that is the number of steps and nothing else, where the gradient can begin before the last step."""
    size, body = node.attr("size"), gradient.backward.body
    assert isinstance(size, SizeExpr)
    name = next(iter(size.symbols), "")
    inputs = [one for one in region_of(node).graph.nodes if one.op == "input"]
    moving = {k for k in range(keeping.carries) if inputs[k].kind is Kind.REAL and not inputs[k].weak}
    if not moving <= {number for number, _ in gradient.slopes} or not moving <= set(gradient.wanted):
        return ()
    stepped = [keeping.scanned[k] for k in gradient.given] + [True for _ in gradient.kept]
    stepped += [not last for _, last in gradient.slopes]
    fixed = [one for given, is_ in zip(body.inputs, stepped, strict=True) for _, one in given.axes[int(is_) :]]
    every = list(gradient.backward.graph)
    telling = [made for made in every if made.op in ("size", "coord")]
    telling += [inner for made in every if made.op == "scan" for inner in region_of(made).graph]
    fixed += [one for made in telling for one in _asked(made)]
    alone = name and size == symbol(name) and all(name not in one.symbols for one in fixed)
    return (name,) if alone else ()


def _asked(node: Node) -> Sequence[SizeExpr]:
    """The sizes that a node knows of."""
    return [*node.space, *(one for _, one in node.attrs if isinstance(one, SizeExpr))]


def _forward_orders(gradient: Gradient, body: Body, step: BodyFunction, loop: Loop) -> Orders:
    """As the step has them; what is new lies in the order in which the step's inputs have axes of these names."""
    laid = [[given.axes[k][0] for k in order] for given, order in zip(body.inputs, step.orders.inputs, strict=True)]
    first = [names for names, is_ in zip(laid, loop.scanned, strict=True) if is_]
    seen = {name: place for place, name in enumerate(dict.fromkeys(name for one in (*first, *laid) for name in one))}
    known = dict(zip(step.outputs, step.orders.outputs, strict=True))
    outputs = []
    for number, output in enumerate(gradient.forward.body.outputs):
        ranked = sorted(range(len(output.axes)), key=lambda k: (seen.get(output.axes[k], len(seen)), k))
        outputs.append(known.get(number, tuple(ranked)))
    return Orders(step.orders.inputs, tuple(outputs))


def _backward_orders(
    gradient: Gradient, slopes: Sequence[Slope], step: BodyFunction, full: BodyFunction, keeping: Loop
) -> Orders:  # fmt: skip
    """As values lie in the loop, the steps where the loop stacks them."""

    def given(number: int) -> tuple[int, ...]:
        order = step.orders.inputs[number]
        return _with_steps(order, 0) if keeping.scanned[number] else order

    inputs = [given(number) for number in gradient.given]
    for number in gradient.kept:
        _, dim = keeping.results[_stacked(keeping.results, number)]
        inputs.append(_with_steps(full.orders.outputs[number], dim))
    for (number, _), slope in zip(gradient.slopes, slopes, strict=True):
        order = full.orders.outputs[number]
        inputs.append(order if slope.dim < 0 else _with_steps(order, slope.dim))
    return Orders(tuple(inputs), tuple(given(number) for number in gradient.wanted))


def _with_steps(order: Sequence[int], dim: int) -> tuple[int, ...]:
    rest = [axis + 1 for axis in order]
    return (*rest[:dim], 0, *rest[dim:])
