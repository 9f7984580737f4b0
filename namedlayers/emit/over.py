"""Activations, and products of matrices with vectors, that write over their operand, which nothing else needs.

In: the fx graph of a program. Out: the same graph, holding less. What always holds: what is written over is a result
of this graph's own, used once, and nothing is differentiated (what is written over may be a view to autograd, which
then copies it). In a loop's step nothing is written over: its tensors have other lives.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from namedlayers.emit.kernels.arithmetic import plus_product
from namedlayers.emit.kernels.columns import matrix_columns
from namedlayers.emit.kernels.depthwise import depthwise_conv1d
from namedlayers.emit.kernels.long_convolution import long_convolution
from namedlayers.emit.kernels.vectors import matrix_vector, vector_matrix
from namedlayers.program.program import Kind


def relu_over(x: Tensor) -> Tensor:
    """`torch.relu` of what nothing else needs.

    >>> x = torch.tensor([-1.0, 1.0])
    >>> relu_over(x) is x, relu_over(x.requires_grad_()) is x
    (True, False)
    """
    return torch.relu(x) if x.requires_grad else torch.relu_(x)


IN_PLACE: Mapping[Callable, Callable] = {torch.relu: relu_over}

MATRICES: Mapping[Callable, int] = {matrix_vector: 0, vector_matrix: 1}
"""Products with vectors that may be told that their matrices are `spare`, and where these stand."""

FRESH: frozenset[Any] = frozenset({
    F.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm, matrix_columns, F.conv1d, F.conv2d, F.conv3d,
    depthwise_conv1d, long_convolution, operator.add, operator.sub, plus_product,
})  # fmt: skip
"""Operations whose result is nobody else's memory."""

VIEWS = frozenset({"unflatten", "flatten", "reshape", "permute", "transpose", "t", "unsqueeze"})


def write_over(graph: fx.Graph) -> None:
    """Lets operations write over what was made for them alone."""
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if node.target in IN_PLACE and _is_spare(node.args[0]):
            node.target = IN_PLACE[node.target]
        elif node.target in MATRICES and _is_spare(_viewed(node.args[MATRICES[node.target]])):
            node.kwargs = {**node.kwargs, "spare": True}


# --- helpers ----------------------------------------------------------------------------------------------------------


def _viewed(value: Any) -> Any:
    """What a view that is used once is of."""
    while isinstance(value, fx.Node) and value.target in VIEWS and len(value.users) == 1:
        value = value.args[0]
    return value


def _is_spare(value: Any) -> bool:
    if not isinstance(value, fx.Node) or value.target not in FRESH or len(value.users) != 1:
        return False
    return value.meta.get("kind") is Kind.REAL and value.meta.get("axes") is not None
