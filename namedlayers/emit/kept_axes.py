"""Reductions that keep their axis, with one place, where it is wanted again.

In: the fx graph of a program. Out: the same graph, in which a reduction whose every user puts the axis back keeps it,
which is a view less for each of them. What always holds: dimensions and values are the same.
"""

from __future__ import annotations

import torch
from torch import fx

_TOLD = (torch.amax, torch.amin, "sum", "mean")
"""Reductions whose second argument is the dimension."""


def keep_axes(graph: fx.Graph) -> None:
    """
    >>> graph = fx.Graph()
    >>> x = graph.placeholder("x")
    >>> total = graph.call_method("sum", (x, 1))
    >>> total.meta["axes"] = ("i",)
    >>> _ = graph.output(graph.call_function(torch.div, (x, graph.call_method("unsqueeze", (total, 1)))))
    >>> keep_axes(graph)
    >>> [node.name for node in graph.nodes], total.kwargs, total.meta["axes"]
    (['x', 'sum_1', 'div', 'output'], {'keepdim': True}, ('i', '_'))
    """
    for node in graph.nodes:
        dim = _dimension(node)
        if dim is None or not all(_puts_back(user, node, dim) for user in node.users):
            continue
        node.kwargs = {**node.kwargs, "keepdim": True}
        node.meta["axes"] = (*node.meta["axes"][:dim], "_", *node.meta["axes"][dim:])
        for user in list(node.users):
            user.replace_all_uses_with(node)
            graph.erase_node(user)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _dimension(node: fx.Node) -> int | None:
    """The one dimension that a reduction takes away."""
    if node.meta.get("axes") is None or "keepdim" in node.kwargs:
        return None
    dim = None
    if node.target is torch.linalg.vector_norm:
        dim = node.kwargs.get("dim")
    elif node.target in _TOLD and len(node.args) == 2:
        dim = node.args[1]
    return dim if type(dim) is int and 0 <= dim <= len(node.meta["axes"]) else None


def _puts_back(user: fx.Node, node: fx.Node, dim: int) -> bool:
    return user.target == "unsqueeze" and user.args == (node, dim) and not user.kwargs
