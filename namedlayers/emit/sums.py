"""Products that are added, in one pass with the sum.

In: the fx graph of a program. Out: the same graph, in which a sum or a difference whose term is a product that nothing
else needs is one operation. What always holds: all are tensors of reals, and the values are the same to rounding.
"""

from __future__ import annotations

import operator
from typing import Any

from torch import fx

from namedlayers.emit.kernels.arithmetic import plus_product
from namedlayers.program.program import Kind


def add_products(graph: fx.Graph) -> None:
    """
    >>> graph = fx.Graph()
    >>> a, b, c = (graph.placeholder(name) for name in "abc")
    >>> d = graph.call_function(operator.sub, (c, graph.call_function(operator.mul, (a, b))))
    >>> for node in graph.nodes:
    ...     node.meta |= {"axes": ("i",), "kind": Kind.REAL}
    >>> _ = graph.output(d)
    >>> add_products(graph)
    >>> [node.name for node in graph.nodes], d.args
    (['a', 'b', 'c', 'sub', 'output'], (c, a, b, -1))
    """
    for node in graph.nodes:
        sign = _SIGNS.get(node.target) if node.op == "call_function" and not node.kwargs else None
        if sign is None or not _is_real(node):
            continue
        left, right = node.args
        for kept, term in ((left, right), (right, left))[: 1 if sign < 0 else 2]:
            if kept is not term and _is_real(kept) and _is_product(term):
                node.target = plus_product
                node.args = (kept, *term.args) if sign > 0 else (kept, *term.args, sign)
                graph.erase_node(term)
                break


# --- helpers ----------------------------------------------------------------------------------------------------------

_SIGNS = {operator.add: 1, operator.sub: -1}


def _is_product(node: Any) -> bool:
    """Whether a value is a product of tensors, and needed once."""
    once = _is_real(node) and node.target is operator.mul and len(node.users) == 1
    return once and not node.kwargs and all(map(_is_real, node.args))


def _is_real(node: Any) -> bool:
    return isinstance(node, fx.Node) and node.meta.get("axes") is not None and node.meta.get("kind") is Kind.REAL
