"""One step of a linear recurrence, with what is made for it and of it.

In: a node `stretch`. Out: a region whose inputs are the state before the step and what the stretch takes, as it is at
this step; whose results are the state after it, and what the stretch returns. What always holds: all in it computes
what the stretch computes at one step, to rounding; a mean of the state and something new is one operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from namedlayers.plan.regions import region_of
from namedlayers.plan.view import Scope, is_number
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import Body, Kind
from namedlayers.program.size import SizeExpr


@dataclass(frozen=True, slots=True)
class Step:
    """`results`: for each sequence that the stretch returns, which result of the region it is."""

    region: Region
    results: tuple[int, ...]


def single_step(stretch: Node) -> Step | None:
    """None where states are complex, or factors are no reals."""
    size, whole = stretch.attr("size"), region_of(stretch)
    assert isinstance(size, SizeExpr)
    recurrence = next(node for node in whole.graph.nodes if node.op == "recurrence")
    if any(arg.node.kind is not Kind.REAL for arg in recurrence.args):
        return None
    made = _Made(size)
    count = sum(node.op == "input" for node in whole.graph.nodes)
    *given, state = whole.graph.nodes[:count]
    for node in (state, *given):
        made.copy(node)
    last, *results = whole.graph.outputs
    for node in whole.graph.nodes[count:]:
        if node is recurrence:
            made.update(whole.graph, node)
        elif node is not last.node:
            made.copy(node)
    made.graph.outputs.append(Arg(made.values[recurrence], tuple(range(state.rank))))
    numbers = []
    for arg in results:
        if arg.node is not recurrence:
            made.graph.outputs.append(made.arg(arg, made.steps(arg.node)))
        numbers.append(0 if arg.node is recurrence else len(made.graph.outputs) - 1)
    return Step(Region(_body(whole.body, stretch, numbers), made.graph), tuple(numbers))


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Made:
    """A graph of one step of what has axes of that size; no other axis has to do with it."""

    def __init__(self, size: SizeExpr) -> None:
        self.graph = Graph()
        self.values: dict[Node, Node] = {}
        self._size = size

    def steps(self, node: Node) -> int:
        """Which axis of its index space is that of the steps; -1: none."""
        return next((k for k, size in enumerate(node.space) if size == self._size), -1)

    def arg(self, arg: Arg, gone: int) -> Arg:
        """An operand of a node that has lost the axis `gone`."""
        own = self.steps(arg.node)
        kept = [axis for k, axis in enumerate(arg.axes) if k != own]
        return Arg(self.values[arg.node], tuple(axis - (0 <= gone < axis) for axis in kept))

    def copy(self, node: Node) -> None:
        gone = self.steps(node)
        attrs = dict(node.attrs)
        if node.op == "expand":
            axes = attrs["axes"]
            assert isinstance(axes, tuple)
            attrs["axes"] = tuple(axis - (0 <= gone < axis) for axis in axes if axis != gone)
        args = tuple(self.arg(arg, gone) for arg in node.args)
        self.values[node] = self._node(node, node.op, args, node.rank - (0 <= gone < node.rank), attrs)

    def update(self, graph: Graph, node: Node) -> None:
        """A recurrence: a * h + b, or a mean of h, which may be scaled before, and something new."""
        gone = self.steps(node)
        state = self.arg(node.args[2], gone)
        found = _mean(Scope(graph, node, lambda one: 1), *node.args[:2])
        if found is not None:
            start = state if found.scale is None else self._applied(node, "mul", self.arg(found.scale, gone), state)
            new = self._applied(node, "lerp", start, self.arg(found.new, gone), self.arg(found.weight, gone))
        else:
            factor, summand = (self.arg(one, gone) for one in node.args[:2])
            new = self._applied(node, "mul", factor, state)
            new = new if is_number(node.args[1], 0) else self._applied(node, "add", new, summand)
        self.values[node] = new.node

    def _applied(self, node: Node, op: str, *args: Arg) -> Arg:
        made = self._node(node, op, args, node.rank - 1, {})
        return Arg(made, tuple(range(made.rank)))

    def _node(self, node: Node, op: str, args: tuple[Arg, ...], rank: int, attrs: dict) -> Node:
        gone = self.steps(node)
        space = tuple(size for k, size in enumerate(node.space) if k != gone)
        names = tuple(name for k, name in enumerate(node.names) if k != gone)
        return self.graph.node(
            op, args, space, rank, node.kind, attrs=attrs, weak=node.weak, names=names, spans=node.spans,
            rule=node.rule,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Mean:
    """(1 - weight) * scale * h + weight * new; `scale` None: 1."""

    scale: Arg | None
    new: Arg
    weight: Arg


def _mean(scope: Scope, factor: Arg, summand: Arg) -> _Mean | None:
    for scale, weight in _rests(scope, factor):
        for new, other in _factors(scope, summand):
            if other == weight and new.node.kind is Kind.REAL:
                return _Mean(scale, new, weight)
    return None


def _rests(scope: Scope, factor: Arg) -> Iterator[tuple[Arg | None, Arg]]:
    """What a factor is as s * (1 - w): s and w."""
    if factor.node.op == "sub":
        left, right = scope.operands(factor)
        if is_number(left, 1):
            yield None, right
        for one, other in _factors(scope, right):
            if one == left:
                yield left, other
    for scale, rest in _factors(scope, factor):
        if rest.node.op == "sub" and is_number((inner := scope.operands(rest))[0], 1):
            yield scale, inner[1]


def _factors(scope: Scope, product: Arg) -> Iterator[tuple[Arg, Arg]]:
    """The operands of a product, in both orders."""
    if product.node.op == "mul":
        left, right = scope.operands(product)
        yield left, right
        yield right, left


def _body(whole: Body, stretch: Node, numbers: list[int]) -> Body:
    """The body of a stretch, with the state in front and without the axis of the steps."""
    inputs, results = stretch.attr("inputs"), stretch.attr("results")
    assert isinstance(inputs, tuple) and isinstance(results, tuple)
    gone = [replace(one, axes=_without(one.axes, at)) for one, at in zip(whole.inputs, inputs, strict=True)]
    state, *made = whole.outputs
    kept = [(one, at) for one, at, number in zip(made, results, numbers, strict=True) if number]
    outputs = [state, *(replace(one, axes=_without(one.axes, at)) for one, at in kept)]
    return replace(whole, name=f"{whole.name}_step", inputs=(gone[-1], *gone[:-1]), outputs=tuple(outputs))


def _without(items: tuple, place: int) -> tuple:
    return tuple(one for k, one in enumerate(items) if k != place)
