"""What torch.compile traces of a call, and what it does not.

In: functions of constants. Out: the same, run while tracing instead of being traced. What always holds: calling a
formula never breaks the graph, whether it was called before or not.

A function that is run so returns a constant, so what it makes is put where tracing finds it: under an attribute whose
name it returns, which torch.compile looks at (and guards) only afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

F = TypeVar("F", bound=Callable)


def not_traced(function: F) -> F:
    """Marks a function from constants to a constant."""
    # As `torch.compiler.assume_constant_result`, which does no more than this, but imports the whole compiler.
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


is_traced = torch.compiler.is_dynamo_compiling
"""Whether this code is being traced by torch.compile."""
