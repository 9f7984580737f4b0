"""Convolutions of one input with the same windows are one call.

In: the fx graph of a program. Out: the same graph, in which they are one call of `kernels/beside.py`, where the first
of them stood. What always holds: none is made of another; what the others' weights are made of comes before, but random
numbers, which are drawn in the order of the text.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from namedlayers.emit.kernels.beside import convolutions

TOLD = "beside"
"""Where the call notes what of the text it computes, for `explain()`."""

_CONVOLUTIONS = frozenset({F.conv1d, F.conv2d, F.conv3d})
_DRAWS = frozenset({
    torch.rand, torch.randn, torch.bernoulli, torch.multinomial, torch.dropout, torch.feature_dropout,
})  # fmt: skip
_BODIES = ("namedlayers.generated", "namedlayers.emit.loops")
"""Where the functions are from that run bodies, which may draw, too."""


def put_beside(graph: fx.Graph, fresh: Callable[[str], str] = str) -> None:
    """`fresh` makes a name that no other node has of the one that is wished.

    >>> graph = fx.Graph()
    >>> x, v, w = (graph.placeholder(name) for name in "xvw")
    >>> _ = graph.output(tuple(graph.call_function(F.conv1d, (x, weight)) for weight in (v, w)))
    >>> put_beside(graph)
    >>> [node.name for node in graph.nodes]
    ['x', 'v', 'w', 'each', 'conv1d', 'conv1d_1', 'output']
    """
    groups: dict[tuple[Any, ...], list[fx.Node]] = {}
    for node in graph.nodes:
        if node.op == "call_function" and node.target in _CONVOLUTIONS and "groups" not in node.kwargs:
            key = node.target, node.args[0], tuple(sorted(node.kwargs.items()))
            groups.setdefault(key, []).append(node)
    for group in groups.values():
        if len(group) > 1:
            _join(graph, group, fresh)


def may_draw(node: fx.Node) -> bool:
    """Whether random numbers may be drawn where it runs."""
    return node.target in _DRAWS or str(getattr(node.target, "__module__", "")).startswith(_BODIES)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _join(graph: fx.Graph, group: Sequence[fx.Node], fresh: Callable[[str], str]) -> None:
    first = group[0]
    joined = [first]
    for node in group[1:]:
        places = {one: place for place, one in enumerate(graph.nodes)}
        needed = _made_since(node, first, places)
        if needed is not None and not needed & set(group):
            for one in sorted(needed, key=places.__getitem__):
                first.prepend(one)
            joined.append(node)
    if len(joined) == 1:
        return
    weights, biases = zip(*((*node.args[1:], None)[:2] for node in joined), strict=True)
    operands = first.args[0], weights, biases
    whole = graph.create_node("call_function", convolutions, operands, dict(first.kwargs), name=fresh("each"))
    first.prepend(whole)
    whole.meta |= {**first.meta, "axes": None, "parts": len(joined), "temporary": True, "inline": False, "text": ""}
    whole.meta[TOLD] = tuple(span for node in joined for span in node.meta.get("spans", ()))
    last = whole
    for number, node in enumerate(joined):
        node.target, node.args, node.kwargs = operator.getitem, (whole, number), {}
        node.meta["inline"] = False
        last.append(node)
        last = node


def _made_since(node: fx.Node, first: fx.Node, places: Mapping[fx.Node, int]) -> set[fx.Node] | None:
    """What a node is made of from the first one on; None if something of it may be drawn."""
    found: set[fx.Node] = set()
    waiting = list(node.all_input_nodes)
    while waiting:
        one = waiting.pop()
        if places[one] >= places[first] and one not in found:
            if may_draw(one):
                return None
            found.add(one)
            waiting += one.all_input_nodes
    return found
