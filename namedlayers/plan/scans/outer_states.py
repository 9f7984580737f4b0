"""Stretches whose states are outer products that queries read, as one operation in blocks of steps.

In: the region of a stretch. Out: a region that takes and gives the same, in which `h = a * h + key * value` and the
one sum that reads it, `query @ h`, are a node `outer_states`: a bundle of the last state and of what is read; or None.
What always holds: factors lack the axes that are summed over, keys have them, and values have axes that none of the
others has; so nothing but products of whole matrices is left of the states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from namedlayers.plan.scans.affine import operands
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, size_expr


@dataclass(frozen=True, slots=True)
class Blocks:
    """The region, and how many numbers each of the states is that a key and a value make."""

    region: Region
    each: SizeExpr


def in_blocks(whole: Region) -> Blocks | None:
    """The region of a stretch with its states in blocks of steps."""
    found = _found(whole.graph)
    if found is None:
        return None
    body = replace(whole.body, name=f"{whole.body.name}_in_blocks")
    each = size_expr(1)
    for axis in (*found.inner, *found.columns):
        each = each * found.recurrence.space[axis]
    return Blocks(Region(body, _made(whole.graph, found)), each)


# --- helpers ----------------------------------------------------------------------------------------------------------

Axes = frozenset[int]


@dataclass(frozen=True, slots=True)
class _Found:
    """The `reader`, and where each axis of the recurrence is in its index space; factors of keys, values and queries,
    in the axes of the recurrence, of which `inner` are summed over, and `columns` are those
    of values alone."""

    recurrence: Node
    reader: Node
    places: tuple[int, ...]
    inner: tuple[int, ...]
    columns: tuple[int, ...]
    key: tuple[Arg, ...]
    value: tuple[Arg, ...]
    query: tuple[Arg, ...]


def _found(graph: Graph) -> _Found | None:
    (recurrence,) = (node for node in graph.live() if node.op == "recurrence")
    last = graph.outputs[0].node
    readers = [node for node in graph.users()[recurrence.number] if node is not last]
    if len(readers) != 1 or readers[0].op != "contract" or any(arg.node is recurrence for arg in graph.outputs):
        return None
    (reader,) = readers
    if any(node.kind is not Kind.REAL for node in (recurrence, reader, *(arg.node for arg in recurrence.args))):
        return None
    own = [arg for arg in reader.args if arg.node is recurrence]
    places = own[0].axes
    step = recurrence.attr("axis")
    assert isinstance(step, int)
    if len(own) != 1 or set(places) != set(range(len(reader.space))) or len(set(places)) < len(places):
        return None
    inner = tuple(axis for axis, place in enumerate(places) if place >= reader.rank)
    query = tuple(
        Arg(arg.node, tuple(places.index(place) if place >= 0 else -1 for place in arg.axes))
        for arg in reader.args
        if arg.node is not recurrence
    )
    factor, product, _ = recurrence.args
    seen = {step, *inner, *factor.axes}.union(*(arg.axes for arg in query))
    rest = frozenset(range(recurrence.rank)) - seen
    factors = _factors(product, frozenset(inner), rest)
    if not inner or step in inner or set(factor.axes) & set(inner) or not query or factors is None:
        return None
    key = tuple(one for one in factors if set(one.axes) & set(inner))
    value = tuple(one for one in factors if one not in key)
    if not key or not any(set(one.axes) & rest for one in value):
        return None
    return _Found(recurrence, reader, places, inner, tuple(sorted(rest)), key, value, query)


def _factors(arg: Arg, inner: Axes, columns: Axes) -> list[Arg] | None:
    """What a product is made of, none of which has axes of both kinds."""
    if -1 in arg.axes:
        return None
    if not (set(arg.axes) & inner and set(arg.axes) & columns):
        return [arg]
    if arg.node.op != "mul":
        return None
    found = [_factors(one, inner, columns) for one in operands(arg)]
    whole = [one for part in found if part is not None for one in part]
    return None if None in found else whole


def _made(graph: Graph, found: _Found) -> Graph:
    recurrence, reader = found.recurrence, found.reader
    made = Graph(states=graph.states, stored=graph.stored)
    new: dict[Node, Node] = {}
    last = graph.outputs[0].node
    for node in graph.nodes:  # inputs keep their numbers
        args = tuple(Arg(new[arg.node], arg.axes) for arg in node.args if arg.node in new)
        if node is reader:
            new[last], new[reader] = _bundle(made, found, new)
        elif node not in (recurrence, last) and len(args) == len(node.args):
            new[node] = made.node(
                node.op, args, node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
                names=node.names, spans=node.spans, rule=node.rule,
            )  # fmt: skip
    made.outputs += [Arg(new[arg.node], arg.axes) for arg in graph.outputs]
    return made


def _bundle(graph: Graph, found: _Found, new: dict[Node, Node]) -> tuple[Node, Node]:
    """The nodes of the last state and of what is read."""
    recurrence, reader = found.recurrence, found.reader
    factor, _, start = recurrence.args
    groups = (found.key, found.value, found.query)
    args = (_placed(factor, new), *(_product(graph, recurrence, one, new) for one in groups), _placed(start, new))
    bundle = graph.node(
        "outer_states", args, recurrence.space, recurrence.rank, recurrence.kind,
        attrs={"axis": recurrence.attr("axis"), "reverse": recurrence.attr("reverse"), "inner": found.inner,
               "places": found.places},
        weak=False, names=recurrence.names, spans=recurrence.spans,
    )  # fmt: skip
    axis = recurrence.attr("axis")
    rest = [k for k in range(recurrence.rank) if k != axis]
    last = graph.node(
        "part", (Arg(bundle, (-1,) * bundle.rank),), tuple(recurrence.space[k] for k in rest), len(rest),
        recurrence.kind, attrs={"number": 0}, weak=False, names=tuple(recurrence.names[k] for k in rest),
        spans=recurrence.spans,
    )  # fmt: skip
    read = graph.node(
        "part", (Arg(bundle, (-1,) * bundle.rank),), reader.sizes, reader.rank, reader.kind, attrs={"number": 1},
        weak=False, names=reader.names[: reader.rank], spans=reader.spans, rule=reader.rule,
    )  # fmt: skip
    return last, read


def _product(graph: Graph, like: Node, factors: Sequence[Arg], new: dict[Node, Node]) -> Arg:
    """Their product, in the axes of `like`."""
    total, *others = (_placed(one, new) for one in factors)
    for one in others:
        axes = sorted({*total.axes, *one.axes})
        args = tuple(Arg(arg.node, tuple(axes.index(axis) for axis in arg.axes)) for arg in (total, one))
        space, names = tuple(like.space[k] for k in axes), tuple(like.names[k] for k in axes)
        total = Arg(graph.node("mul", args, space, len(space), like.kind, names=names, spans=like.spans), tuple(axes))
    return total


def _placed(arg: Arg, new: dict[Node, Node]) -> Arg:
    return Arg(new[arg.node], arg.axes)
