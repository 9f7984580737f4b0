"""A node of a body somewhere else: in another graph, and perhaps for all steps at once.

In: a node, where its operands are now, and the axis of the steps. Out: the same operation there, with that axis if an
operand has it. What always holds: at each step it is the value that the body would compute; a draw of random numbers is
drawn for every step; attributes speak of the axes where they are now.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from namedlayers.plan.scans import runs
from namedlayers.plan.scans.held import Held, Steps
from namedlayers.program.graph import Graph, Node
from namedlayers.program.regions import BUNDLES, DRAWS

POSITIONS = frozenset({"axis", "axes", "into", "row", "column", "kernel", "channel", "causal"})
"""Attributes that are positions in the index space, or tuples of them, where nothing else is said."""


def moved(graph: Graph, node: Node, operands: Sequence[Held], steps: Steps | None) -> Held:
    """The operation of `node` on operands that are held in `graph`. Without `steps` it is not for all steps."""
    if node.op in BUNDLES:
        return runs.moved_run(graph, node, operands, steps, moved)
    if node.op == "pulled_back":
        return runs.moved_pulled(graph, node, operands, steps, moved)
    if node.op == "part":
        return runs.moved_part(graph, node, operands[0], steps)
    if node.op == "finfo" and operands[0].stepped:
        assert steps is not None
        return _moved_finfo(graph, node, operands[0], steps)
    stepped = any(operand.stepped for operand in operands) or (steps is not None and node.op in DRAWS)
    along = [steps] if stepped and steps is not None else []
    shift = len(along)
    attrs, order = _attributes(graph, node, operands, shift)
    args = [
        operand.arg([axis + shift if axis >= 0 else axis for axis in arg.axes], 0)
        for arg, operand in zip(node.args, operands, strict=True)
    ]
    made = graph.node(
        node.op, tuple(args[k] for k in order), (*(one.size for one in along), *node.space), node.rank + shift,
        node.kind, attrs=attrs, weak=node.weak, names=(*(one.name for one in along), *node.names), spans=node.spans,
        rule=node.rule,
    )  # fmt: skip
    return Held(made, tuple(range(shift, made.rank)), shift - 1)


# --- attributes -------------------------------------------------------------------------------------------------------

Moved = tuple[Mapping[str, Hashable], Sequence[int]]
"""The attributes where the operands are now, and the operands in their new order."""


def _attributes(graph: Graph, node: Node, operands: Sequence[Held], shift: int) -> Moved:
    special = _SPECIAL.get(node.op)
    if special is not None:
        return special(graph, node, operands, shift)
    attrs = {name: _shifted(value, shift) if name in POSITIONS else value for name, value in node.attrs}
    return attrs, range(len(operands))


def _shifted(value: Hashable, shift: int) -> Hashable:
    if isinstance(value, tuple):
        return tuple(_shifted(item, shift) for item in value)
    assert isinstance(value, int)
    return value + shift


def _index(graph: Graph, node: Node, operands: Sequence[Held], shift: int) -> Moved:
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    found = [
        (operands[0].where[own], tuple((position + shift, c) for position, c in listed), offset)
        for own, listed, offset in entries
    ]
    return {"entries": tuple(sorted(found, key=lambda entry: entry[0]))}, (0,)


def _gather(graph: Graph, node: Node, operands: Sequence[Held], shift: int) -> Moved:
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    ordered = sorted((operands[0].where[own], k + 1) for k, own in enumerate(axes))
    attrs = {"axes": tuple(own for own, _ in ordered), "fill": node.attr("fill")}
    return attrs, (0, *(k for _, k in ordered), *range(len(axes) + 1, len(operands)))


def _draw(graph: Graph, node: Node, operands: Sequence[Held], shift: int) -> Moved:
    """For all steps at once it is another draw than any other in the graph."""
    attrs = {name: _shifted(value, shift) if name in POSITIONS else value for name, value in node.attrs}
    return (attrs | {"site": -1 - len(graph.nodes)} if shift else attrs), range(len(operands))


def _piece(graph: Graph, node: Node, operands: Sequence[Held], shift: int) -> Moved:
    """The axis that goes, if it does, is none of the result's."""
    attrs = dict(node.attrs)
    axis = attrs["axis"]
    assert isinstance(axis, int)
    return attrs | {"axis": axis + shift if axis >= 0 else axis}, (0,)


def _kernel(graph: Graph, node: Node, operands: Sequence[Held], shift: int) -> Moved:
    """Entries that begin with an axis of the operand's own and a position; a convolution's kernel is one, too."""
    name = "cells" if node.op.startswith("adaptive") else "space"
    entries = node.attr(name)
    assert isinstance(entries, tuple)
    more = shift if node.op in _WITH_TAPS else 0
    found = [
        (operands[0].where[own], position + shift, *(k + more for k in rest[:1]), *rest[1:])
        for own, position, *rest in entries
    ]
    return dict(node.attrs) | {name: tuple(found)}, range(len(operands))


def _own(graph: Graph, node: Node, operands: Sequence[Held], shift: int) -> Moved:
    """An axis of the operand's own."""
    axis = node.attr("axis")
    assert isinstance(axis, int)
    return dict(node.attrs) | {"axis": operands[0].where[axis]}, range(len(operands))


_WITH_TAPS = ("conv", "conv_transpose", "long_conv", "window_product")
_SPECIAL: dict[str, Callable[[Graph, Node, Sequence[Held], int], Moved]] = {
    "index": _index,
    "gather": _gather,
    "piece": _piece,
    **dict.fromkeys((*_WITH_TAPS, "pool", "pad_around", "arrange", "adaptive_max", "adaptive_mean"), _kernel),
    **dict.fromkeys(("take", "embedding"), _own),
    **dict.fromkeys(sorted(DRAWS), _draw),
}


# --- helpers ----------------------------------------------------------------------------------------------------------


def _moved_finfo(graph: Graph, node: Node, operand: Held, steps: Steps) -> Held:
    """It asks for the precision only, which is the same at all steps."""
    rank = node.args[0].node.rank
    made = graph.node(
        node.op, (operand.arg(range(rank), rank),), (*node.space, steps.size), 0, node.kind, attrs=dict(node.attrs),
        weak=node.weak, names=(*node.names, steps.name), spans=node.spans,
    )  # fmt: skip
    return Held(made, ())
