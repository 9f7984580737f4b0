"""Places between grid points that are made of sizes alone: a function of its own makes them, once for the same sizes.

In: the fx graph of a program. Out: the same graph, in which tensors that are read at, take several calls of torch's,
and are made of coordinates, sizes and numbers, are what that function gives. What always holds: who takes such a tensor
only reads it, and gives nothing that shares its memory; no result of the graph is one, and nothing random.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import fx

from namedlayers.emit.beside import may_draw
from namedlayers.emit.expressions import GLOBALS
from namedlayers.emit.kernels import sampling
from namedlayers.emit.kernels.kept import kept
from namedlayers.emit.names import Names
from namedlayers.emit.printer import body_lines

if TYPE_CHECKING:
    from namedlayers.emit.bodies import Bodies

LEAST = 4
"""So many calls have to be saved: to find what is kept takes about as long as two."""


def keep_still(graph: fx.Graph, bodies: Bodies, names: Names) -> None:
    """The function is one of `bodies`; `names` are those of the graph."""
    still, givens = _still(graph)
    roots = [node for node in still if _is_tensor(node) and _is_read(node, still)]
    made = _all_of(roots, still)
    if sum(map(_is_tensor, made)) < LEAST:
        return
    firsts: dict[Any, fx.Node] = {}
    given = {
        node: firsts.setdefault(node if "prologue" in node.meta else node.args, node)
        for node in givens
        if any(user in made for user in node.users)
    }
    inner = _graph_of(given, made, roots)

    def source(name: str) -> tuple[str, Mapping[str, Any]]:
        extra: dict[str, Any] = {}
        lines = body_lines(list(inner.nodes), extra, taken=frozenset({name}))
        header = f"def {name}({', '.join(node.name for node in inner.nodes if node.op == 'placeholder')}):"
        text = "\n".join(["@kept", header, *(f"    {line}" for line in lines), ""])
        return text, {**GLOBALS, "kept": kept, **extra}

    function = bodies.define("still", names, source)
    _call(graph, names.fresh("made"), function, list(firsts.values()), roots)
    for node in reversed(list(graph.nodes)):
        if node in still and not node.users and "prologue" not in node.meta:
            graph.erase_node(node)


# --- helpers ----------------------------------------------------------------------------------------------------------

_READING = frozenset({
    sampling.sampled, sampling.sampled_on_grid, sampling.sampled_up_to_ends, sampling.sampled_inside,
    sampling.sampled_within,
})  # fmt: skip
"""What only reads its operands, and makes something new."""


def _still(graph: fx.Graph) -> tuple[dict[fx.Node, None], list[fx.Node]]:
    """What is made of sizes, precisions and devices alone, and these, all in order."""
    still: dict[fx.Node, None] = {}
    givens: dict[fx.Node, None] = {}
    for node in graph.nodes:
        if "prologue" in node.meta or _is_property(node):
            givens[node] = None
        elif node.op in ("call_function", "call_method") and not may_draw(node):
            if all(one in still or one in givens for one in node.all_input_nodes):
                still[node] = None
    return still, list(givens)


def _is_property(node: fx.Node) -> bool:
    if node.op != "call_function" or node.target is not getattr or len(node.args) != 2:
        return False
    of, name = node.args
    return isinstance(of, fx.Node) and of.op == "placeholder" and name in ("device", "dtype")


def _is_tensor(node: fx.Node) -> bool:
    return bool(node.meta.get("axes"))


def _is_read(node: fx.Node, still: Mapping[fx.Node, None]) -> bool:
    """Whether somebody else takes it, and all who do only read."""
    others = [user for user in node.users if user not in still]
    return bool(others) and all(user.target in _READING and "out" not in user.kwargs for user in others)


def _all_of(roots: Sequence[fx.Node], still: Mapping[fx.Node, None]) -> dict[fx.Node, None]:
    """What the roots are made of, themselves included, in order."""
    needed: set[fx.Node] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node in still and node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return {node: None for node in still if node in needed}


def _graph_of(given: Mapping[fx.Node, fx.Node], made: Mapping[fx.Node, None], roots: Sequence[fx.Node]) -> fx.Graph:
    found = fx.Graph()
    new: dict[fx.Node, fx.Node] = {}
    for node, first in given.items():
        new[node] = new[first] if node is not first else found.placeholder(node.name)
    for node in made:
        new[node] = found.node_copy(node, new.__getitem__)
    found.output(tuple(new[node] for node in roots))
    return found


def _call(graph: fx.Graph, name: str, function: Any, given: Sequence[fx.Node], roots: Sequence[fx.Node]) -> None:
    """Puts the call before all who need it, with what it is given."""
    places = {node: place for place, node in enumerate(graph.nodes)}
    first = min(roots, key=places.__getitem__)
    for node in given:
        if places[node] > places[first]:
            first.prepend(node)
    call = graph.create_node("call_function", function, tuple(given), {}, name=name)
    first.prepend(call)
    call.meta |= {"axes": None, "spans": first.meta.get("spans", ()), "rule": ""}
    call.meta |= {"parts": len(roots)} if len(roots) > 1 else {"inline": True}
    last = call
    for number, node in enumerate(roots):
        node.op, node.target, node.args, node.kwargs = "call_function", operator.getitem, (call, number), {}
        node.meta |= {"inline": False, "temporary": False}
        last.append(node)
        last = node
