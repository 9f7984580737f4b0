"""Calls as they are timed: forward without gradients, or forward and backward.

In: functions of tensors by position, and tensors. Out: functions without arguments. What always holds: the tensors that
are given are not touched; gradients are taken to all of them that are real, and to what a module owns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from namedlayers.inspect.timing import Side

Call = Callable[..., Any]


def forward(call: Call, tensors: Sequence[Tensor]) -> Side:
    """A call for which nothing is kept."""

    def run() -> Any:
        with torch.no_grad():
            return call(*tensors)

    return run


def both(call: Call, tensors: Sequence[Tensor], owned: Sequence[Tensor] = ()) -> Side:
    """A call and the gradients of the sum of its results.

    >>> both(lambda x: 3 * x, [torch.ones(2)])()
    (tensor([3., 3.]),)
    """
    given = leaves(tensors)
    learned = [one for one in given if one.requires_grad] + [one for one in owned if one.requires_grad]
    weights: list[Tensor] = []

    def run() -> Any:
        results = with_gradients(call(*given))
        if not weights:  # of the first call, as it is not part of what is timed
            weights.extend(torch.ones_like(one) for one in results)
        return torch.autograd.grad(results, learned, weights, allow_unused=True)

    return run


def differentiable(call: Call, tensors: Sequence[Tensor], owned: Sequence[Tensor] = ()) -> bool:
    """Whether there are gradients at all.

    >>> differentiable(torch.argmax, [torch.ones(2)])
    False
    """
    given = leaves(tensors)
    return any(one.requires_grad for one in (*given, *owned)) and bool(with_gradients(call(*given)))


def leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors as leaves, of which the real ones are learned."""
    return [one.detach().requires_grad_(one.is_floating_point()) for one in tensors]


def results_of(found: Any) -> tuple[Tensor, ...]:
    """What a call gave, one or several."""
    return found if isinstance(found, tuple) else (found,)


def with_gradients(found: Any) -> list[Tensor]:
    """Those of the results that gradients flow to."""
    return [one for one in results_of(found) if one.requires_grad]
