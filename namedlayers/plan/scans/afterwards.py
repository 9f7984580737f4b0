"""The gradient of a loop in two: what goes along the steps, and the weights' products after it.

In: the planned graph of a gradient's body, which of its results are sums over all steps. Out: two regions: one gives
all other results, and can be run in blocks of steps; one takes what the gradient takes and what came back to sequences,
and gives the sums. What always holds: nothing is computed in both but what is easily computed for all steps at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from namedlayers.plan.scans.held import free_name
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import Input
from namedlayers.program.regions import BUNDLES


@dataclass(frozen=True, slots=True)
class Apart:
    """`along` and `after`; `sums`: which of the results are of the second; `taken`: which of the others it takes."""

    along: Region
    after: Region
    sums: tuple[int, ...]
    taken: tuple[int, ...]


def apart(region: Region, graph: Graph, sums: Collection[int], sequences: Collection[int]) -> Apart | None:
    """`graph` is the region's, planned; `sums` and `sequences` are numbers of results. None where no sum is a product
    of matrices that is made of no more than the sequences that come out: other sums stay along the steps."""
    known = {graph.outputs[k].node: k for k in sequences}
    sums = [k for k in sums if _is_product(graph.outputs[k].node) and _is_apart(graph.outputs[k].node, known)]
    if not sums:
        return None
    others = tuple(k for k in range(len(graph.outputs)) if k not in sums)
    needed = _needed([graph.outputs[k].node for k in sums], known)
    taken = tuple(k for k in sequences if any(node is graph.outputs[k].node and known[node] == k for node in needed))
    body, made = region.body, Graph()
    along = Region(
        replace(body, outputs=tuple(body.outputs[k] for k in others)),
        Graph(graph.nodes, [graph.outputs[k] for k in others], _table=graph._table),
    )
    new: dict[Node, Node] = {}
    for node in (one for one in graph.nodes if one.op == "input"):
        new[node] = _copied(made, node, ())
    inputs = list(body.inputs)
    places: dict[Node, tuple[int, ...]] = {}
    for k in taken:
        arg = graph.outputs[k]
        order = [arg.axes.index(position) for position in range(len(arg.axes))]
        sizes, axes = tuple(arg.node.sizes[axis] for axis in order), body.outputs[k].axes
        name = free_name(body.outputs[k].value, [one.name for one in inputs])
        new[arg.node] = made.node(
            "input", (), sizes, len(sizes), arg.node.kind, attrs={"name": name}, weak=False, names=axes
        )
        places[arg.node] = tuple(order)
        inputs.append(Input(name, tuple(zip(axes, sizes, strict=True)), "data", arg.node.kind, body.span))
    for node in sorted(needed, key=lambda one: one.number):
        if node not in new:
            new[node] = _copied(made, node, [_moved(arg, new, places) for arg in node.args])
    made.outputs += [_moved(graph.outputs[k], new, places) for k in sorted(sums)]
    outputs = tuple(body.outputs[k] for k in sorted(sums))
    after = Region(replace(body, name=f"{body.name}_after", inputs=tuple(inputs), outputs=outputs), made)
    return Apart(along, after, tuple(sorted(sums)), taken)


# --- helpers ----------------------------------------------------------------------------------------------------------

_OF_LOOPS = BUNDLES | {"part", "final", "recurrence", "cumulative", "pulled_back"}

_LEAVES = frozenset({"input", "const", "size"})


def _is_product(node: Node) -> bool:
    """Whether it is a product of two operands each of which lacks some of its axes: of matrices, not of elements."""
    if node.op != "contract" or len(node.args) != 2:
        return False
    return all(set(range(node.rank)) - set(arg.axes) for arg in node.args)


def _is_apart(node: Node, known: Collection[Node]) -> bool:
    """Whether no loop is needed for it."""
    needed = (one for one in _needed([node], known) if one not in known)
    return not any(one.op in _OF_LOOPS or (one.op not in _LEAVES and not one.args) for one in needed)


def _needed(roots: Sequence[Node], known: Collection[Node]) -> set[Node]:
    """What these nodes need, down to what is known."""
    found: set[Node] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            if node not in known:
                waiting += [arg.node for arg in node.args]
    return found


def _copied(graph: Graph, node: Node, args: Sequence[Arg]) -> Node:
    return graph.node(
        node.op, tuple(args), node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
        names=node.names, spans=node.spans, rule=node.rule,
    )  # fmt: skip


def _moved(arg: Arg, new: dict[Node, Node], places: dict[Node, tuple[int, ...]]) -> Arg:
    """An operand in the new graph; a sequence that is taken has its axes as it came out."""
    order = places.get(arg.node)
    return Arg(new[arg.node], arg.axes if order is None else tuple(arg.axes[axis] for axis in order))
