"""A softmax beside its logarithm is the exponential of that.

In: the fx graph of a program. Out: the same graph, in which a softmax of what a log_softmax is taken of, along the same
dimension, is made of the result (divergences, distillation, entropies). What always holds: the logarithm stands before
it; a row of -inf gives 0 as before.
"""

from __future__ import annotations

import torch
from torch import fx

from namedlayers.emit.kernels import looking

_SOFTMAX = (torch.softmax, looking.softmax)


def pair_softmax(graph: fx.Graph) -> None:
    """
    >>> graph = fx.Graph()
    >>> x = graph.placeholder("x")
    >>> p, log_p = graph.call_function(torch.softmax, (x, 1)), graph.call_function(torch.log_softmax, (x, 1))
    >>> _ = graph.output((p, log_p))
    >>> pair_softmax(graph)
    >>> [node.name for node in graph.nodes], p.args == (log_p, x, 1)
    (['x', 'log_softmax', 'softmax', 'output'], True)
    """
    places = {node: place for place, node in enumerate(graph.nodes)}
    logarithms = {node.args: node for node in places if node.target is torch.log_softmax and not node.kwargs}
    for node, place in places.items():
        logarithm = logarithms.get(node.args) if node.target in _SOFTMAX and not node.kwargs else None
        if logarithm is None:
            continue
        if place < places[logarithm]:
            node.prepend(logarithm)
        node.target, node.args = looking.powers, (logarithm, *node.args)
