"""Stretches whose states are outer products that queries read, as one operation in blocks of steps.

In: the region of a stretch. Out: a region that takes and gives the same, in which `h = a * h + key * value` and the
one sum that reads it, `query @ h`, are a node `outer_states`: a bundle of the last state and of what is read; or None.
What always holds: factors lack the axes that are summed over, keys have them, and values have axes that none of the
others has; so nothing but products of whole matrices is left of the states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        each = each * found.states.space[axis]
    return Blocks(Region(body, _made(whole.graph, found)), each)


@dataclass(frozen=True, slots=True)
class Read:
    """The `reader` of states, and where each of their axes is in its index space; factors of keys, values and queries,
    in the axes of the states, of which `inner` are summed over, and `columns` are those of values alone."""

    states: Node
    reader: Node
    places: tuple[int, ...]
    inner: tuple[int, ...]
    columns: tuple[int, ...]
    key: tuple[Arg, ...]
    value: tuple[Arg, ...]
    query: tuple[Arg, ...]


def read(reader: Node, states: Node, step: int, product: Arg, others: Sequence[int] = ()) -> Read | None:
    """A contraction that reads states to which a product is added at each step; factors have the axes `others`."""
    own = [arg for arg in reader.args if arg.node is states]
    if reader.op != "contract" or len(own) != 1 or states.kind is not Kind.REAL or reader.kind is not Kind.REAL:
        return None
    places = own[0].axes
    if set(places) != set(range(len(reader.space))) or len(set(places)) < len(places):
        return None
    inner = tuple(axis for axis, place in enumerate(places) if place >= reader.rank)
    query = tuple(
        Arg(arg.node, tuple(places.index(place) if place >= 0 else -1 for place in arg.axes))
        for arg in reader.args
        if arg.node is not states
    )
    if not inner or step in inner or set(others) & set(inner) or not query:
        return None
    rest = frozenset(range(states.rank)).difference((step, *inner, *others), *(arg.axes for arg in query))
    factors = _factors(product, frozenset(inner), rest)
    rest = rest.difference(*(one.axes for one in factors if set(one.axes) & set(inner)))  # these count for each key
    key = tuple(one for one in factors if set(one.axes) & set(inner))
    value = tuple(one for one in factors if one not in key)
    if not key or any(-1 in one.axes for one in factors) or not any(set(one.axes) & rest for one in value):
        return None
    return Read(states, reader, places, inner, tuple(sorted(rest)), key, value, query)


def bundle(
    graph: Graph, found: Read, step: int, factor: Arg | None, start: Arg | None, reverse: bool,
    new: Mapping[Node, Node],
) -> tuple[Node, Node]:  # fmt: skip
    """The nodes of the last state and of what is read. `factor` None: 1; `start` None: 0; operands as in `new`."""
    states, reader = found.states, found.reader
    given = [_product(graph, states, one, new) for one in (found.key, found.value, found.query)]
    for one in (start, factor):
        given += [] if one is None else [_placed(one, new)]
    held = graph.node(
        "outer_states", tuple(given), states.space, states.rank, states.kind,
        attrs={"axis": step, "reverse": reverse, "inner": found.inner, "places": found.places,
               "factor": factor is not None, "start": start is not None},
        weak=False, names=states.names, spans=states.spans,
    )  # fmt: skip
    rest = [k for k in range(states.rank) if k != step]
    last = graph.node(
        "part", (Arg(held, (-1,) * held.rank),), tuple(states.space[k] for k in rest), len(rest), states.kind,
        attrs={"number": 0}, weak=False, names=tuple(states.names[k] for k in rest), spans=states.spans,
    )  # fmt: skip
    told = graph.node(
        "part", (Arg(held, (-1,) * held.rank),), reader.sizes, reader.rank, reader.kind, attrs={"number": 1},
        weak=False, names=reader.names[: reader.rank], spans=reader.spans, rule=reader.rule,
    )  # fmt: skip
    return last, told


# --- helpers ----------------------------------------------------------------------------------------------------------

Axes = frozenset[int]


def _found(graph: Graph) -> Read | None:
    (recurrence,) = (node for node in graph.live() if node.op == "recurrence")
    last = graph.outputs[0].node
    readers = [node for node in graph.users()[recurrence.number] if node is not last]
    if len(readers) != 1 or any(arg.node is recurrence for arg in graph.outputs):
        return None
    if any(arg.node.kind is not Kind.REAL for arg in recurrence.args):
        return None
    factor, product, _ = recurrence.args
    step = recurrence.attr("axis")
    assert isinstance(step, int)
    return read(readers[0], recurrence, step, product, factor.axes)


def _factors(arg: Arg, inner: Axes, columns: Axes) -> list[Arg]:
    """What a product is made of, taken apart where it has axes of both kinds."""
    if arg.node.op != "mul" or not (set(arg.axes) & inner and set(arg.axes) & columns):
        return [arg]
    return [factor for one in operands(arg) for factor in _factors(one, inner, columns)]


def _made(graph: Graph, found: Read) -> Graph:
    recurrence, reader = found.states, found.reader
    factor, _, start = recurrence.args
    step = recurrence.attr("axis")
    assert isinstance(step, int)
    made = Graph(states=graph.states, stored=graph.stored)
    new: dict[Node, Node] = {}
    last = graph.outputs[0].node
    for node in graph.nodes:  # inputs keep their numbers
        args = tuple(Arg(new[arg.node], arg.axes) for arg in node.args if arg.node in new)
        if node is reader:
            pair = bundle(made, found, step, factor, start, bool(recurrence.attr("reverse")), new)
            new[last], new[reader] = pair
        elif node not in (recurrence, last) and len(args) == len(node.args):
            new[node] = made.node(
                node.op, args, node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
                names=node.names, spans=node.spans, rule=node.rule,
            )  # fmt: skip
    made.outputs += [Arg(new[arg.node], arg.axes) for arg in graph.outputs]
    return made


def _product(graph: Graph, like: Node, factors: Sequence[Arg], new: Mapping[Node, Node]) -> Arg:
    """Their product, in the axes of `like`."""
    total, *others = (_placed(one, new) for one in factors)
    for one in others:
        axes = sorted({*total.axes, *one.axes})
        args = tuple(Arg(arg.node, tuple(axes.index(axis) for axis in arg.axes)) for arg in (total, one))
        space, names = tuple(like.space[k] for k in axes), tuple(like.names[k] for k in axes)
        total = Arg(graph.node("mul", args, space, len(space), like.kind, names=names, spans=like.spans), tuple(axes))
    return total


def _placed(arg: Arg, new: Mapping[Node, Node]) -> Arg:
    return Arg(new.get(arg.node, arg.node), arg.axes)
