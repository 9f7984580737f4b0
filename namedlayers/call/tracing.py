"""What torch.compile traces of a call, and what it does not.

In: functions of constants. Out: the same, run while tracing instead of being traced. What always holds: calling a
formula never breaks the graph, whether it was called before or not, and no formula counts against another.

A function that is run so returns a constant, so what it makes is put where tracing finds it: under an attribute whose
name it returns, which torch.compile looks at (and guards) only afterwards.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable)


def not_traced(function: F) -> F:
    """Marks a function from constants to a constant."""
    # As `torch.compiler.assume_constant_result`, which does no more than this, but imports the whole compiler.
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


is_traced = torch.compiler.is_dynamo_compiling
"""Whether this code is being traced by torch.compile."""


class Traced:
    """A callable that torch.compile sees as a Python function with code of its own.

    Of a callable that is no function torch.compile compiles a wrapper, one for all of them, and of one code it keeps
    eight forms: more than eight formulas in a process would not be compiled. Where it finds the name below, as on what
    it has compiled itself, it goes on to what stands there.
    """

    _traced: Callable[..., Any] | None = None

    @property
    def _torchdynamo_orig_callable(self) -> Callable[..., Any]:
        if self._traced is None:
            self._traced = with_own_code(self)  # type: ignore[arg-type]
        return self._traced

    @property
    def _torchdynamo_wrapper_id(self) -> int:
        return id(self)


def with_own_code(called: Callable[..., Any]) -> types.FunctionType:
    """A function that calls `called` and shares its code with no other.

    >>> one, other = with_own_code(abs), with_own_code(abs)
    >>> one(-1), one.__name__, one.__code__ is other.__code__
    (1, 'abs', False)
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return called(*args, **kwargs)

    code = call.__code__.replace(co_name=called.__name__, co_qualname=called.__qualname__)
    found = types.FunctionType(code, call.__globals__, called.__name__, None, call.__closure__)
    found.__qualname__, found.__doc__ = called.__qualname__, called.__doc__
    return found
