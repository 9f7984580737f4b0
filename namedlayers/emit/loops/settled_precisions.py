"""What a step asks of precisions, where these are known: all real inputs have one, and it is not coarse.

In: the fx graph of a step, which may be changed, and an input that is there before the first step. Out: the same graph
without the questions that are settled so: casts to the precision that a value has, numbers made in that precision.
What always holds: what relies on this is marked, and the loop asks once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from namedlayers.emit.loops.fused_steps import drop
from namedlayers.emit.loops.step_values import FINE, RELIES, is_number, of_given_precision

Number = Callable[[float], fx.Node]


def settle(graph: fx.Graph, number: Number) -> None:
    """Changes the graph; `number` gives the node of a number that is made before the first step."""
    mark = next(reversed(graph.nodes)).meta
    mark[RELIES] = FINE
    settled = 0
    while any(_settled(graph, node, number) for node in list(graph.nodes)):
        settled += 1
    if not settled:
        del mark[RELIES]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _settled(graph: fx.Graph, node: fx.Node, number: Number) -> bool:
    """Whether a node could be done without."""
    if not node.users:
        return False
    if node.target == "to" and len(node.args) == 2 and not node.kwargs:
        value: Any = node.args[0]
        if value not in of_given_precision(graph) or not _given(graph, node.args[1]):
            return False
        node.replace_all_uses_with(value)
    elif node.target is torch.full and node.args[0] == () and is_number(node.args[1]):
        if not _given(graph, node.kwargs.get("dtype")):
            return False
        node.replace_all_uses_with(number(float(node.args[1])))  # type: ignore[arg-type]
    else:
        return False
    drop([node])
    return True


def _given(graph: fx.Graph, dtype: Any) -> bool:
    """Whether this is the precision of the inputs."""
    if not isinstance(dtype, fx.Node):
        return False
    if dtype.target is getattr and dtype.args[1] == "dtype":
        return dtype.args[0] in of_given_precision(graph)
    return dtype.target is torch.promote_types and dtype.args[1] is torch.float32 and _given(graph, dtype.args[0])
