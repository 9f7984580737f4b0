"""Functions that torch.compile puts into its graph as they are.

In: a function from tensors to tensors. Out: the same, which torch.compile does not look into. What always holds:
nothing of the compiler is imported before something is traced, which would take longer than compiling a formula does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.compiler import is_dynamo_compiling

F = TypeVar("F", bound=Callable[..., Any])


def in_graph(function: F) -> F:
    """`torch.compiler.allow_in_graph`, which imports the whole compiler, once it is there.

    >>> in_graph(torch.exp)(torch.zeros(2))
    tensor([1., 1.])
    """

    def allow() -> bool:
        torch.compiler.allow_in_graph(function)
        return True

    allow._dynamo_marked_constant = True  # type: ignore[attr-defined]  # it is run while tracing, and not traced

    def call(*args: Any) -> Any:
        if is_dynamo_compiling():
            allow()
        return function(*args)

    return call  # type: ignore[return-value]
