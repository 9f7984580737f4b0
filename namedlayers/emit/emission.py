"""Emission: a planned graph becomes an fx graph.

In: one variant's graph and its program. Out: an fx graph of public torch operations whose nodes bear spans, axes and
rules in their `meta`. What always holds: nodes are emitted in the order of the plan; nothing that no output needs is
left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from torch import fx

from namedlayers.emit.attributes import position
from namedlayers.emit.beside import put_beside
from namedlayers.emit.emitters import (  # noqa: F401  (importing them fills the table of emitters)
    activations,
    attention,
    contractions,
    distances,
    drawing,
    elementwise,
    fourier,
    gathering,
    grouped,
    indexing,
    linalg,
    long_convolutions,
    losses,
    nearest,
    norms,
    numbers,
    prefixes,
    reductions,
    rotations,
    row_sums,
    sampling,
    scattering,
    shaping,
    slopes,
    transposed,
    waves,
    window_products,
    windows,
)
from namedlayers.emit.emitters.elementwise import cast_kind
from namedlayers.emit.kept_axes import keep_axes
from namedlayers.emit.late import move_late
from namedlayers.emit.loops import calling, pulling  # noqa: F401  (likewise)
from namedlayers.emit.lowering import EMITTERS, Lowering
from namedlayers.emit.names import Names
from namedlayers.emit.narrowing import narrow
from namedlayers.emit.orders import liked
from namedlayers.emit.over import write_over
from namedlayers.emit.prologue import Prologue
from namedlayers.emit.softmax_pairs import pair_softmax
from namedlayers.emit.still import keep_still
from namedlayers.emit.sums import add_products
from namedlayers.emit.value import Value
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind, Program
from namedlayers.program.regions import BUNDLES
from namedlayers.program.size import SizeExpr

if TYPE_CHECKING:
    from namedlayers.emit.bodies import Bodies


_RARE = (
    "emitters.log_contractions", "emitters.extreme_products", "emitters.outer_means", "loops.looping",
    "loops.recurrent", "loops.stretches", "loops.joint", "loops.outer",
)  # fmt: skip
"""Emitters of what runs as operators of this package: torch takes longer to register these than to compile most
formulas, so the first graph that has one of them does it."""


def lower(
    graph: Graph, program: Program, prologue: Prologue, names: Names, bodies: Bodies,
    floors: Sequence[tuple[SizeExpr, SizeExpr]] = (), optimistic: bool = False,
) -> tuple[fx.Graph, tuple[SizeExpr, ...]]:  # fmt: skip
    """The fx graph, and the sizes that it takes not to be 0 (none unless `optimistic`)."""
    lo = Lowering(program, prologue, names, bodies, floors, optimistic)
    live = graph.live()
    places = [_places(arg, prologue.returned(k, len(arg.axes))) for k, arg in enumerate(graph.outputs)]
    lo.wants = _wants(graph, live, places)
    lo.users = graph.users()
    lo.results = frozenset(arg.node for arg in graph.outputs)
    lo.finals = {span: node.number for node in live for span in node.spans}
    for node in live:
        _emit(lo, node)
    outputs = [_output(lo, arg, order, prologue.inner) for arg, order in zip(graph.outputs, places, strict=True)]
    lo.fx.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
    _sweep(lo.fx)
    if not prologue.inner:
        pair_softmax(lo.fx)
        add_products(lo.fx)
        keep_axes(lo.fx)
    move_late(lo.fx, names.fresh)
    if not prologue.inner:
        write_over(lo.fx)
    if bodies.precision is not None:
        narrow(lo.fx, bodies.precision)
    if not prologue.inner:
        put_beside(lo.fx, names.fresh)
        keep_still(lo.fx, bodies, names)
    return lo.fx, tuple(lo.assumed)


def _emit(lo: Lowering, node: Node) -> None:
    lo.node = node
    if node.op not in EMITTERS:
        for name in _RARE:
            import_module(f"namedlayers.emit.{name}")
    value = EMITTERS[node.op](lo, node)
    lo.values[node.number] = value
    if node.op in BUNDLES:
        return
    held = value.held
    if not isinstance(held, fx.Node) or held.meta.get("planned") != node.number:  # an operand, or a size, passed on
        return
    name = lo.statement_name(node)
    if name and not value.number:
        held.name = lo.names.fresh(name)
    held.meta["axes"] = tuple(lo.axis_name(axis) for axis in value.axes)
    held.meta["text"] = node.spans[0].text if node.spans else ""


def _places(arg: Arg, order: Sequence[int]) -> tuple[int, ...]:
    """The node's axes in the order in which callers get them."""
    places = sorted(range(len(arg.axes)), key=arg.axes.__getitem__)
    return tuple(places[k] for k in order)


def _output(lo: Lowering, arg: Arg, places: tuple[int, ...], inner: bool) -> fx.Node:
    """A result: a tensor with all its axes, in the order that callers get. A body's (`inner`) may stay weak."""
    lo.node = arg.node
    value = lo.values[arg.node.number]
    value = cast_kind(lo, value, arg.node.kind)
    value = lo.filled(value, places)
    if value.weak and value.kind is Kind.REAL and not inner:
        value = _as_input(lo, value)
    held = lo.permuted(value, places).held
    assert isinstance(held, fx.Node)
    return held


def _as_input(lo: Lowering, value: Value) -> Value:
    """In the precision of the first real input, which the working one may exceed."""
    for given, node in zip(lo.program.inputs, lo.inputs, strict=True):
        if given.kind is Kind.REAL and given.role != "option":
            return lo.cast(value, lo.inline(getattr, node, "dtype"), Kind.REAL)
    return value


def _wants(graph: Graph, live: Sequence[Node], places: Sequence[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """For each node the order of its axes that its last user likes best: the user's own, what is consumed at the
    end; of what a body runs with the order of what comes of it."""
    wants: dict[int, tuple[int, ...]] = {}
    for arg, axes in reversed(list(zip(graph.outputs, places, strict=True))):
        wants[arg.node.number] = axes
        if arg.node.op == "index" and arg.node.args[0].node.op == "recurrence":  # a state is handed on as it lies
            states, order = arg.node.args[0], {axis: place for place, axis in enumerate(axes)}
            wants[states.node.number] = _ordered(states.axes, order, -1)
    users = graph.users()
    for node in reversed(live):
        if node.op in BUNDLES:
            found = liked(node, users.get(node.number, ()), wants)
        else:
            order = {axis: place for place, axis in enumerate(wants.get(node.number, range(node.rank)))}
            last = _place_of_others(node, order)
            found = [_ordered(arg.axes, order, last) for arg in node.args]
        for arg, axes in zip(node.args, found, strict=True):
            wants.setdefault(arg.node.number, axes)
    return wants


def _place_of_others(node: Node, order: Mapping[int, int]) -> float:
    """Where axes are liked that a user has not: last. An axis of which one place is taken stands before the last one,
    so that what is taken lies in one piece; an axis that is cut, where its parts have it."""
    if node.op != "piece":
        return len(order)
    axis = position(node, "axis")
    return len(order) - 1.5 if axis < 0 else order[axis]


def _ordered(axes: Sequence[int], order: Mapping[int, int], last: float) -> tuple[int, ...]:
    return tuple(k for _, _, k in sorted((order.get(axis, last), axis, k) for k, axis in enumerate(axes)))


def _sweep(graph: fx.Graph) -> None:
    """Erases what nothing uses: sizes that were read for naught, views that were tried."""
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
