"""What must hold where a body is run: of `call`, `scan` and `part`, in programs and in graphs.

In: a term or a node. Out: nothing, or an `InvariantError`. What always holds: as in `verify`, which sees to the bodies
themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from namedlayers.program import terms
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.invariants import Equal, require
from namedlayers.program.program import AxesOf, Body, Input, Kind, Output, Statement
from namedlayers.program.size import SizeExpr, size_expr

Sizes = tuple[SizeExpr, ...]


# --- in programs ------------------------------------------------------------------------------------------------------


def verify_run(term: terms.Primitive, kinds: Sequence[Kind], where: str, equal: Equal) -> None:
    """A `call` or `scan` on operands of these kinds: they fit the inputs, and what is carried stays what it is."""
    attrs = dict(term.attrs)
    body, carries, scanned = attrs["body"], attrs.get("carries", 0), attrs.get("axis")
    require(isinstance(body, Body), f"{where} runs no body")
    require(not term.axes, f"{where}: a bundle has axes")
    require(len(term.operands) == len(body.inputs), f"{where}: {len(term.operands)} operands for {len(body.inputs)}")
    require(0 <= carries <= min(len(body.inputs), len(body.outputs)), f"{where} carries {carries}")
    for number, (given, operand, kind) in enumerate(zip(body.inputs, term.operands, kinds, strict=True)):
        axes = operand.axes if isinstance(operand, terms.Ref) else ()
        seen = tuple(size_expr(size) for axis, size in axes if axis != scanned)
        _fits(seen, tuple(size for _, size in given.axes), f"{where}, input `{given.name}`", equal)
        require(not given.kind < kind, f"{where}: input `{given.name}` is {given.kind.name}, but {kind.name} is given")
        for axis, size in axes:
            if axis == scanned:
                require(number >= carries, f"{where}: `{given.name}` begins with the scanned axis")
                require(equal(size_expr(size), size_expr(attrs["size"])), f"{where} scans {attrs['size']} and {size}")
    for given, output in zip(body.inputs[:carries], body.outputs[:carries], strict=True):
        names = tuple(axis for axis, _ in given.axes)
        require(names == output.axes, f"{where}: `{given.name}` has {names}, but becomes {output.axes}")
        became = _value(body, output)
        require(became.kind is given.kind, f"{where}: `{given.name}` is {given.kind.name}, becomes {became.kind.name}")
        _fits(_sizes(body, output), tuple(size for _, size in given.axes), f"{where}, `{given.name}` carried", equal)


def verify_part(term: terms.Primitive, bundle: terms.Primitive | None, where: str, equal: Equal) -> None:
    """A `part`: an output of the bundle, with its axes."""
    require(bundle is not None, f"{where} takes a part of no bundle")
    assert bundle is not None
    number, attrs = dict(term.attrs)["number"], dict(bundle.attrs)
    body: Body = attrs["body"]
    require(0 <= number < len(body.outputs), f"{where} takes part {number} of {len(body.outputs)}")
    scanned = (size_expr(attrs["size"]),) if bundle.op == "scan" else ()
    found = tuple(size_expr(size) for _, size in term.axes)
    _fits(found, (*scanned, *_sizes(body, body.outputs[number])), where, equal)


# --- in graphs --------------------------------------------------------------------------------------------------------


def verify_run_node(node: Node, where: str, equal: Equal) -> None:
    """A node `call` or `scan`, whose region's graph is one."""
    attrs: dict[str, Any] = dict(node.attrs)
    region, carries = attrs["region"], attrs.get("carries", 0)
    require(isinstance(region, Region), f"{where} has no region")
    inputs = inputs_of(region.graph)
    require(region.graph.nodes[: len(inputs)] == inputs, f"{where}: the inputs of the region do not stand first")
    require(not node.space, f"{where}: a bundle has axes")
    require(len(node.args) == len(inputs) == len(attrs["places"]), f"{where} has {len(node.args)} operands")
    require(0 <= carries <= min(len(inputs), len(region.graph.outputs)), f"{where} carries {carries}")
    for number, (arg, given, places) in enumerate(zip(node.args, inputs, attrs["places"], strict=True)):
        of = f"{where}, input {number}"
        require(len(places) == arg.node.rank, f"{of}: {places} for {arg.node.rank} axes")
        require(sorted(p for p in places if p >= 0) == list(range(given.rank)), f"{of}: places {places}")
        require(places.count(-1) <= (node.op == "scan" and number >= carries), f"{of} is scanned: {places}")
        for place, size in zip(places, arg.node.sizes, strict=True):
            expected = attrs["size"] if place == -1 else given.sizes[place]
            require(equal(size, expected), f"{of}: {size} where {expected} is wanted")
        require(not given.kind < arg.node.kind, f"{of} is {given.kind.name}, but {arg.node.kind.name} is given")
    for number, (given, update) in enumerate(zip(inputs[:carries], region.graph.outputs[:carries], strict=True)):
        of = f"{where}, carried input {number}"
        _fits(output_sizes(update), given.sizes, of, equal)
        require(update.node.kind is given.kind, f"{of} is {given.kind.name}, becomes {update.node.kind.name}")
        require(update.node.weak or not given.weak, f"{of} is weak, but not what it becomes")


def verify_part_node(node: Node, where: str, equal: Equal) -> None:
    """A node `part`: an output of its bundle's region."""
    (arg,) = node.args
    attrs: dict[str, Any] = dict(arg.node.attrs)
    require(arg.node.op in ("call", "scan"), f"{where} takes a part of a {arg.node.op}")
    outputs, number = attrs["region"].graph.outputs, dict(node.attrs)["number"]
    require(isinstance(number, int) and 0 <= number < len(outputs), f"{where} takes part {number} of {len(outputs)}")
    output = outputs[number]
    scanned = (attrs["size"],) if arg.node.op == "scan" else ()
    _fits(node.sizes, (*scanned, *output_sizes(output)), where, equal)
    alike = (node.kind, node.weak) == (output.node.kind, output.node.weak)
    require(alike, f"{where} is {node.kind.name}, weak: {node.weak}, but not the part that it takes")


def inputs_of(graph: Graph) -> list[Node]:
    """The nodes of a region's inputs, in order."""
    return [node for node in graph.nodes if node.op == "input"]


def output_sizes(output: Arg) -> Sizes:
    """The sizes of an output's axes, in the order in which it is given out."""
    sizes = dict(zip(output.axes, output.node.sizes, strict=True))
    return tuple(sizes[position] for position in range(len(output.axes)))


# --- both -------------------------------------------------------------------------------------------------------------


def _fits(found: Sizes, wanted: Sizes, where: str, equal: Equal) -> None:
    require(len(found) == len(wanted), f"{where} has {len(found)} axes, not {len(wanted)}")
    for one, other in zip(found, wanted, strict=True):
        require(equal(one, other), f"{where}: an axis is {one}, not {other}")


def _value(body: Body, output: Output) -> Input | Statement:
    return next(value for value in body.values if value.name == output.value)


def _sizes(body: Body, output: Output) -> Sizes:
    axes: AxesOf = _value(body, output).axes
    sizes = dict(axes)
    return tuple(sizes[axis] for axis in output.axes)
