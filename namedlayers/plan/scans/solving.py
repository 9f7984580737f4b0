"""Carried values that need no loop: what does not depend on itself, running sums and extrema, linear recurrences.

In: a `Block`. Out: its carried values solved as far as they can be: their trajectories are nodes outside. What always
holds: a value is solved only when all that its update needs beside itself is solved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import inf

from namedlayers.errors import Span
from namedlayers.plan.plan import Event
from namedlayers.plan.scans.block import Block
from namedlayers.plan.scans.held import Held, Steps, expanded
from namedlayers.plan.scans.linear import Linear, linear
from namedlayers.plan.view import LONGEST, Scope, constant
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
            exact = not algebraic
            if not block.open(update.node):
                trajectory: Held | None = _in_carried_order(block, update)
                rule = "carried value that does not depend on itself"
            elif (running := running_form(block, carry, algebraic)) is not None:
                trajectory = _run_along(block, carry, running)
                rule = "running extreme" if running.exact else "running logsumexp"
                exact = running.exact
            else:
                form = linear_form(block, carry) if algebraic else None
                trajectory = None if form is None else recurrence(block, carry, form)
                rule = "linear recurrence"
            if trajectory is not None:
                block.solve(carry, trajectory)
                events.append(Event(rule, "exact" if exact else "algebraic", _spans(block, update)))
                waiting = True
    return events


@dataclass(frozen=True, slots=True)
class Running:
    """`op(value, rest)` of two, which the reduction `over` does along an axis; `neutral` changes nothing."""

    op: str
    over: str
    neutral: float
    rest: Arg

    @property
    def exact(self) -> bool:
        return self.op != "logaddexp"


_RUNNING = {"maximum": ("max", -inf), "minimum": ("min", inf), "logaddexp": ("logsumexp", -inf)}


def running_form(block: Block, carry: int, algebraic: bool) -> Running | None:
    """A carried value's update as the largest, or smallest, of it and others, or the logarithm of their sum."""
    update, given = block.update(carry), block.inside.nodes[carry]
    scope = Scope(block.inside, update.node, lambda node: 1)
    whole = scope.whole()
    while whole.node.op == "expand":
        (whole,) = scope.operands(whole)
    op, _ = _of_two(scope, whole, algebraic)
    if op not in _RUNNING or whole.node.kind is not given.kind or (given.weak and given.kind is not Kind.INT):
        return None
    own = Arg(given, tuple(update.axes.index(position) for position in range(given.rank)))
    carried, rest, waiting = 0, list[Arg](), [whole]
    while waiting:
        one = waiting.pop()
        if one == own:
            carried += 1
        elif not block.needs(one.node) >> carry & 1:
            rest.append(one)
        else:
            inner, operands = _of_two(scope, one, algebraic)
            if inner not in (op, "expand") or len(waiting) >= LONGEST:
                return None
            waiting += operands[::-1]
    if carried != 1 or not rest or not (algebraic or op != "logaddexp"):
        return None
    return Running(op, *_RUNNING[op], reduce(lambda a, b: scope.apply(op, a, b), rest))


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
        if b is None:
            return start
        return _with_start(graph, start, _accumulated(block, given, b, "sum"), given, steps, "add", 0)
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


def _of_two(scope: Scope, arg: Arg, algebraic: bool) -> tuple[str, tuple[Arg, ...]]:
    """An operation and its operands; `where(a > b, a, b)` is their maximum, but where one is NaN."""
    node, operands = arg.node, scope.operands(arg)
    if node.op != "where" or not algebraic:
        return node.op, operands
    condition, *pair = operands
    while condition.node.op == "not":
        (condition,), pair = scope.operands(condition), pair[::-1]
    larger = {"gt": "maximum", "ge": "maximum", "lt": "minimum", "le": "minimum"}.get(condition.node.op)
    if larger is None or set(compared := scope.operands(condition)) != set(pair):
        return node.op, operands
    opposite = {"maximum": "minimum", "minimum": "maximum"}
    return larger if compared == tuple(pair) else opposite[larger], compared


def _run_along(block: Block, carry: int, running: Running) -> Held:
    given = block.inside.nodes[carry]
    found = _accumulated(block, given, _outside(block, running.rest, block.update(carry)), running.over)
    start, neutral = block.start(carry), running.neutral
    return _with_start(block.outside, start, found, given, block.steps, running.op, neutral)


def _accumulated(block: Block, given: Node, part: Arg, op: str) -> Held:
    """The running sum (or another operation) of a part, over all of the carried value's axes that it has and the
    steps."""
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
        "cumulative", (arg,), shape, len(shape), result_kind(op, (part.node.kind,)),
        attrs={"axis": 0, "op": op}, weak=part.node.weak, names=names, spans=block.node.spans,
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


def _with_start(
    graph: Graph, start: Held, running: Held, given: Node, steps: Steps, op: str, neutral: float
) -> Held:  # fmt: skip
    """A start value and what runs along, whose `where` are its axes' positions among the trajectory's."""
    rank = given.rank + 1
    whole = tuple(range(1, rank))
    arg = Arg(running.node, (0, *running.where))
    if _is(start.node, neutral) and len(running.where) == given.rank and running.node.kind is given.kind:
        return Held(running.node, tuple(1 + running.where.index(position) for position in whole), 0)
    node = graph.node(
        op, (start.arg(whole), arg), (steps.size, *given.space), rank, given.kind, names=(steps.name, *given.names),
        spans=running.node.spans, rule="linear recurrence",
    )  # fmt: skip
    return Held(node, whole, 0)


def _is(node: Node, number: float) -> bool:
    while node.op == "expand":
        node = node.args[0].node
    return constant(node) == number


def _zero(graph: Graph, given: Node) -> Arg:
    return Scope(graph, given, lambda node: 1).number(0.0)


def _spans(block: Block, update: Arg) -> tuple[Span, ...]:
    return update.node.spans or block.node.spans
