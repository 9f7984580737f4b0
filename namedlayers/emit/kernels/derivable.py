"""Functions of tensors that look at numbers, and their derivatives of every order, under every transformation.

In: a `Derivable`, a function of tensors that all have the same batch in front, and tensors. Out: tensors. What always
holds: wherever the function is computed, the numbers of its tensors are at hand; the axes of a vmap are part of the
batch. Its derivative is a `Derivable`, and so on: by formula where there is one, else by torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import all_visible

Tensors = tuple[Tensor, ...]


class Derivable(Protocol):
    """`back`: of what was given, the results (where `keeps_results`) and slopes at the results, the slopes at what was
    given; those that are not `wanted` may be anything. `along`: of tangents in the place of slopes, the tangents of the
    results."""

    keeps_results: bool

    def __call__(self, *tensors: Tensor) -> Tensors: ...

    def back(self, wanted: tuple[bool, ...]) -> Derivable: ...

    def along(self) -> Derivable: ...


def apply(function: Derivable, *tensors: Tensor) -> Tensors:
    """The function, so that whatever torch does to functions can be done to it.

    >>> square = Plain(lambda x: (x * x if x.sum() > 0 else x,), 1, 1)  # which looks
    >>> cubes = torch.func.vmap(torch.func.grad(lambda x: apply(square, x)[0] * x))(torch.tensor([1.0, 2.0]))
    >>> cubes.tolist()
    [3.0, 12.0]
    """
    return at_hand(function, *tensors) if all_visible(*tensors) else _Function.apply(function, *tensors)


def at_hand(function: Derivable, *tensors: Tensor) -> Tensors:
    """`apply` of tensors whose numbers are known to be at hand."""
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        found: Tensors = _Here.apply(function, *tensors)
        return found
    return function(*tensors)


@dataclass(frozen=True)
class Plain:
    """What torch can differentiate: a function of so many tensors that gives so many."""

    function: Callable[..., Sequence[Tensor]]
    takes: int
    gives: int
    keeps_results = False

    def __call__(self, *tensors: Tensor) -> Tensors:
        return tuple(self.function(*tensors))

    def back(self, wanted: tuple[bool, ...]) -> Plain:
        def slopes(*given: Tensor) -> Tensors:
            back: Callable[[Tensors], Tensors] = torch.func.vjp(self, *given[: self.takes])[1]
            return tuple(back(given[self.takes :]))

        return Plain(slopes, self.takes + self.gives, self.takes)

    def along(self) -> Plain:
        def tangents(*given: Tensor) -> Tensors:
            given = tuple(x.contiguous() for x in given)  # torch refuses what was expanded
            found: Tensors = torch.func.jvp(self, given[: self.takes], given[self.takes :])[1]
            return found

        return Plain(tangents, 2 * self.takes, self.gives)


def in_front(size: int, tensors: Sequence[Tensor], dims: Sequence[int | None]) -> Tensors:
    """The tensors with the axis of a vmap in front, those that lack it repeated along it.

    >>> [x.shape for x in in_front(2, (torch.ones(3), torch.ones(3, 2)), (None, 1))]
    [torch.Size([2, 3]), torch.Size([2, 3])]
    """
    return tuple(
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0) for x, dim in zip(tensors, dims, strict=True)
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Here(torch.autograd.Function):
    """Where nothing is transformed: torch calls it with less ado."""

    @staticmethod
    def forward(ctx: Any, function: Derivable, *tensors: Tensor) -> Tensors:
        found = function(*tensors)
        ctx.function = function
        ctx.save_for_backward(*tensors, *(found if function.keeps_results else ()))
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        run = apply if torch.is_grad_enabled() or not all_visible(*slopes) else _called
        return None, *run(ctx.function.back(ctx.needs_input_grad[1:]), *ctx.saved_tensors, *slopes)


def _called(function: Derivable, *tensors: Tensor) -> Tensors:
    return function(*tensors)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(function: Derivable, *tensors: Tensor) -> Tensors:
        return function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.function, *tensors = inputs
        kept = (*tensors, *output) if ctx.function.keeps_results else tuple(tensors)
        ctx.save_for_backward(*kept)
        ctx.save_for_forward(*kept)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        wanted = (True,) * (len(ctx.needs_input_grad) - 1)
        return None, *apply(ctx.function.back(wanted), *ctx.saved_tensors, *slopes)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensors:
        kept = ctx.saved_tensors
        filled = [torch.zeros_like(x) if one is None else one for x, one in zip(kept, tangents, strict=False)]
        return apply(ctx.function.along(), *kept, *filled)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], function: Derivable, *tensors: Tensor) -> tuple[Tensors, Any]:
        found = apply(function, *in_front(info.batch_size, tensors, dims[1:]))
        return found, (0,) * len(found)
