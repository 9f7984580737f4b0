"""Carried values that need no loop: what does not depend on itself, running sums, linear recurrences.

In: a `Block`. Out: its carried values solved as far as they can be: their trajectories are nodes outside. What always
holds: a value is solved only when all that its update needs beside itself is solved.
"""

from __future__ import annotations

from namedlayers.errors import Span
from namedlayers.plan.plan import Event
from namedlayers.plan.scans.block import Block
from namedlayers.plan.scans.held import Held, Steps, expanded
from namedlayers.plan.scans.linear import Linear, linear
from namedlayers.plan.view import Scope, constant
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.kinds import result_kind
from namedlayers.program.program import Kind
from namedlayers.program.size import const


def solve_free(block: Block, algebraic: bool) -> list[Event]:
    """Solves what can be, in the order in which it becomes so."""
    events: list[Event] = []
    waiting = True
    while waiting:
        waiting = False
        for carry in list(block.unsolved):
            others = [other for other in block.unsolved if other != carry]
            update = block.update(carry)
            if block.open(update.node, others):
                continue
            if not block.open(update.node):
                trajectory: Held | None = _in_carried_order(block, update)
                rule = "carried value that does not depend on itself"
            else:
                form = linear_form(block, carry) if algebraic else None
                trajectory = None if form is None else recurrence(block, carry, form)
                rule = "linear recurrence"
            if trajectory is not None:
                block.solve(carry, trajectory)
                events.append(Event(rule, "algebraic" if algebraic else "exact", _spans(block, update)))
                waiting = True
    return events


def linear_form(block: Block, carry: int) -> Linear | None:
    """A carried value's update as a linear function of it, in the order of its axes; None where it is none."""
    update, given = block.update(carry), block.inside.nodes[carry]
    if update.node.kind is not given.kind or (given.weak and given.kind is not Kind.INT):
        return None
    own = tuple(update.axes.index(position) for position in range(given.rank))
    scope = Scope(block.inside, update.node, lambda node: 1)
    found = linear(scope, scope.whole(), Arg(given, own), lambda node: bool(block.needs(node) >> carry & 1))
    return None if found is None or (given.kind is Kind.INT and not found.plain) else found


def recurrence(block: Block, carry: int, form: Linear) -> Held:
    """The trajectory of a carried value with a linear update, all of whose parts can be had outside."""
    update, given = block.update(carry), block.inside.nodes[carry]
    graph, steps = block.outside, block.steps
    # Coordinates of the form are positions in the update, which stands for the carried value's own axes.
    a, b = (None if part is None else _outside(block, part, update) for part in (form.factor, form.rest))
    start = block.start(carry)
    if form.plain:
        return start if b is None else _added(graph, start, _running_sum(block, given, b), given, steps)
    shape = (steps.size, *given.space)
    operands = (a or _zero(graph, given), b or _zero(graph, given), start.arg(range(1, given.rank + 1)))
    node = graph.node(
        "recurrence", operands, shape, len(shape), given.kind, attrs={"axis": 0, "reverse": block.reverse},
        weak=False, names=(steps.name, *given.names), spans=_spans(block, update), rule="linear recurrence",
    )  # fmt: skip
    return Held(node, tuple(range(1, len(shape))), 0)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _in_carried_order(block: Block, update: Arg) -> Held:
    held = block.value(update.node)
    where = tuple(held.where[update.axes.index(position)] for position in range(update.node.rank))
    return Held(held.node, where, held.step)


def _outside(block: Block, part: Arg, update: Arg) -> Arg:
    """A part of a form over the trajectory: the steps at position 0, the carried value's axes behind."""
    return block.value(part.node).arg([update.axes[coordinate] + 1 for coordinate in part.axes], 0)


def _running_sum(block: Block, given: Node, part: Arg) -> Held:
    """The running sum of a part, over all of the carried value's axes that it has and the steps."""
    graph, steps = block.outside, block.steps
    positions = sorted(axis for axis in part.axes if axis > 0)
    step = part.axes.index(0) if 0 in part.axes else -1
    held = expanded(graph, Held(part.node, tuple(part.axes.index(axis) for axis in positions), step), steps)
    shape = (steps.size, *(given.space[axis - 1] for axis in positions))
    names = (steps.name, *(given.names[axis - 1] for axis in positions))
    arg = held.arg(range(1, len(shape)), 0)
    if block.reverse:
        arg = _flipped(graph, arg, shape, names)
    node = graph.node(
        "cumulative", (arg,), shape, len(shape), result_kind("sum", (part.node.kind,)),
        attrs={"axis": 0, "op": "sum"}, weak=part.node.weak, names=names, spans=block.node.spans,
        rule="linear recurrence",
    )  # fmt: skip
    arg = Arg(node, tuple(range(len(shape))))
    if block.reverse:
        arg = _flipped(graph, arg, shape, names)
    return Held(arg.node, tuple(positions), 0)


def _flipped(graph: Graph, arg: Arg, shape: tuple, names: tuple[str, ...]) -> Arg:
    """From the end, along the position 0."""
    own = arg.axes.index(0)
    axes = tuple(-1 if axis == own else position for axis, position in enumerate(arg.axes))
    entry = (own, ((0, const(-1)),), shape[0] - 1)
    node = graph.node(
        "index", (Arg(arg.node, axes),), shape, len(shape), arg.node.kind, attrs={"entries": (entry,)}, names=names,
        spans=arg.node.spans,
    )  # fmt: skip
    return Arg(node, tuple(range(len(shape))))


def _added(graph: Graph, start: Held, running: Held, given: Node, steps: Steps) -> Held:
    """A start value and a running sum, whose `where` are its axes' positions among the trajectory's."""
    rank = given.rank + 1
    whole = tuple(range(1, rank))
    arg = Arg(running.node, (0, *running.where))
    if _is_zero(start.node) and len(running.where) == given.rank and running.node.kind is given.kind:
        return Held(running.node, tuple(1 + running.where.index(position) for position in whole), 0)
    node = graph.node(
        "add", (start.arg(whole), arg), (steps.size, *given.space), rank, given.kind, names=(steps.name, *given.names),
        spans=running.node.spans, rule="linear recurrence",
    )  # fmt: skip
    return Held(node, whole, 0)


def _is_zero(node: Node) -> bool:
    while node.op == "expand":
        node = node.args[0].node
    return constant(node) == 0


def _zero(graph: Graph, given: Node) -> Arg:
    return Scope(graph, given, lambda node: 1).number(0.0)


def _spans(block: Block, update: Arg) -> tuple[Span, ...]:
    return update.node.spans or block.node.spans
