"""Cosines and sines of angles, apart or side by side.

In: angles, or numbers; rates and whole numbers whose products are added to them. Out: the functions asked for, which
`together` puts along an axis of their own. What always holds: products with whole numbers are in double precision, so
that a wave is right to a rounding however far its place is from the first one; what comes back through a cosine and a
sine of one angle is made of these two, and no wave is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import batched_backward, visible

_PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "cos": torch.cos,
    "sin": torch.sin,
    "-sin": lambda angle: torch.sin(angle).neg_(),
}

_FIRST_FALLS = {("cos", "sin")}
"""Where the first part's slope is the second one but for its sign; elsewhere the second one's is the first."""

_IN_PAIRS = (torch.float32, torch.float64)
"""Of which there are complex numbers."""


def waves(
    angle: Tensor | float, rate: Tensor | float | None, place: Tensor | None, parts: tuple[str, ...], dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """The functions `parts` of `angle + rate * place`.

    >>> waves(0.0, 0.5, torch.arange(2), ("cos", "sin"), torch.float32)
    (tensor([1.0000, 0.8776]), tensor([0.0000, 0.4794]))
    """
    if place is not None and rate is not None:
        rate = rate.double() if isinstance(rate, Tensor) else rate
        angle = angle + place.double() * rate
    assert isinstance(angle, Tensor)
    if angle.dtype is not dtype:
        return tuple(_PARTS[part](angle).to(dtype) for part in parts)
    if angle.requires_grad and torch.is_grad_enabled() and visible(angle):
        found: tuple[Tensor, ...] = _Waves.apply(angle, parts)
        return found
    return tuple(_PARTS[part](angle) for part in parts)


def together(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Tensors side by side along a new axis.

    >>> together((torch.ones(2), torch.zeros(2)), 1)
    tensor([[1., 0.],
            [1., 0.]])
    """
    first = parts[0]
    if dim != first.dim():
        return torch.cat([part.unsqueeze(dim) for part in parts], dim)
    plain = visible(first) and not (first.requires_grad and torch.is_grad_enabled())
    if plain and len(parts) == 2 and first.dtype in _IN_PAIRS:
        return torch.view_as_real(torch.complex(*parts))  # where `stack` copies element by element
    return torch.stack(tuple(parts), dim)


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Waves(torch.autograd.Function):
    """Two functions of one angle, each of which is the other's slope, but for its sign."""

    @staticmethod
    def forward(ctx: Any, angle: Tensor, parts: tuple[str, str]) -> tuple[Tensor, Tensor]:
        first, second = found = _PARTS[parts[0]](angle), _PARTS[parts[1]](angle)
        ctx.first_falls = parts in _FIRST_FALLS
        ctx.save_for_backward(first, second)
        return found

    @staticmethod
    def backward(ctx: Any, first: Tensor, second: Tensor) -> tuple[Tensor, None]:
        wave, other = ctx.saved_tensors
        if ctx.first_falls:
            first, second, wave, other = second, first, other, wave
        found = first * other
        if batched_backward(first, second):
            return torch.addcmul(found, second, wave, value=-1), None
        return found.addcmul_(second, wave, value=-1), None
