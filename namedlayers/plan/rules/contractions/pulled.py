"""Sums of what torch gives back at each step: torch adds up by itself what comes back to an operand without that axis.

In: the sum of a `pulled_back` along axes along which the operand is the same. Out: one to the operand without them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from namedlayers.plan.regions import region_of
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph, Node, Region


@dataclass(frozen=True, slots=True)
class _Found:
    """`gone`: the axes of the input that are added up; `own`: which these are of the operand, an `expand`."""

    made: Node
    gone: frozenset[int]
    own: frozenset[int]


def _match(scope: Scope, node: Node) -> Outcome:
    (arg,) = node.args
    made = arg.node
    if made.op != "pulled_back" or not scope.once(made):
        return None
    number, places = made.attr("number"), made.attr("places")
    assert isinstance(number, int) and isinstance(places, tuple)
    operand, inner = made.args[number].node, region_of(made).graph.outputs[0].node
    if operand.op != "expand" or inner.op not in _BROADCAST:
        return None
    gone = frozenset(k for k, position in enumerate(arg.axes) if position >= node.rank)
    own = frozenset(places[number].index(k) for k in gone)
    new = operand.attr("axes")
    assert isinstance(new, tuple)
    there = {position for k, one in enumerate(inner.args) if k != number for position in one.axes}
    along = {inner.args[number].axes[k] for k in gone}
    return Match(_Found(made, gone, own), (made,)) if own == set(new) and along <= there else None


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    made, number, places = found.made, found.made.attr("number"), found.made.attr("places")
    assert isinstance(number, int) and isinstance(places, tuple)
    (inner,) = made.args[number].node.args
    left = [k for k in range(made.rank) if k not in found.gone]
    own = tuple(left.index(places[number][position]) for position in inner.axes)
    args = [Arg(one.node, (-1,) * one.node.rank) for one in made.args]
    args[number] = Arg(inner.node, (-1,) * inner.node.rank)
    (arg,) = node.args
    attrs = {
        "region": _narrower(region_of(made), number, found.gone), "number": number,
        "places": (*places[:number], own, *places[number + 1 :]),
    }  # fmt: skip
    result = [arg.axes[k] for k in left]
    return scope.build("pulled_back", args, result, kind=node.kind, weak=node.weak, attrs=attrs)


_BROADCAST = frozenset({"conv", "conv_transpose", "distance"})
"""Operations whose operands may lack any axes of the others."""


def _narrower(region: Region, number: int, gone: frozenset[int]) -> Region:
    """The region of which one input lacks some axes."""
    graph, new = Graph(), []
    inputs = [node for node in region.graph.nodes if node.op == "input"]
    for k, one in enumerate(inputs):
        kept = [axis for axis in range(one.rank) if k != number or axis not in gone]
        new.append(graph.node(
            "input", (), tuple(one.sizes[axis] for axis in kept), len(kept), one.kind, attrs=dict(one.attrs),
            weak=one.weak, names=tuple(one.names[axis] for axis in kept), spans=one.spans,
        ))  # fmt: skip
    (output,) = region.graph.outputs
    node = output.node
    args = []
    for arg, made in zip(node.args, new, strict=True):
        kept = [p for axis, p in enumerate(arg.axes) if arg.node is not inputs[number] or axis not in gone]
        args.append(Arg(made, tuple(kept)))
    same = graph.node(
        node.op, tuple(args), node.space, node.rank, node.kind, attrs=_attributes(node, number, gone), weak=node.weak,
        names=node.names, spans=node.spans, rule=node.rule,
    )  # fmt: skip
    graph.outputs.append(Arg(same, output.axes))
    given = list(region.body.inputs)
    axes = tuple(pair for k, pair in enumerate(given[number].axes) if k not in gone)
    given[number] = replace(given[number], axes=axes)
    return Region(replace(region.body, inputs=tuple(given)), graph)


def _attributes(node: Node, number: int, gone: frozenset[int]) -> dict:
    """Entries of space begin with an axis of the first operand's own."""
    attrs = dict(node.attrs)
    if number or "space" not in attrs:
        return attrs
    space = attrs["space"]
    assert isinstance(space, tuple)
    return attrs | {"space": tuple((own - sum(k < own for k in gone), *rest) for own, *rest in space)}


RULES = (Rule("what comes back from all steps", "algebraic", ("reduce sum",), _match, _build),)
