"""Tables of a few numbers that many elements of a loop read.

In: a small tensor, made of operations that a compiler would repeat for every element that reads them. Out: the same.
What always holds: where torch.compile traces, its numbers are in memory before the loop that reads them, so that powers
and exponentials are computed once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.in_graphs import in_graph


def table(x: Tensor) -> Tensor:
    """
    >>> x = torch.arange(3)
    >>> table(x) is x
    True
    """
    return _traced(x) if is_dynamo_compiling() and not is_exporting() else x


def in_memory(x: Tensor) -> Tensor:
    """The same within what is traced from tensor to tensor.

    >>> x = torch.arange(3)
    >>> in_memory(x) is x
    True
    """
    if not isinstance(x, FakeTensor) or is_exporting() or torch._C._functorch.peek_interpreter_stack() is not None:
        return x
    return x.as_strided(x.shape, x.stride())


# --- helpers ----------------------------------------------------------------------------------------------------------


@in_graph
def _traced(x: Tensor) -> Tensor:
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return x
    found: Tensor = _Table.apply(x)
    return found


class _Table(torch.autograd.Function):
    """What is read by its strides has to be in memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.as_strided(x.shape, x.stride())

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope
