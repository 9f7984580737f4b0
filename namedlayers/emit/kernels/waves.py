"""Cosines and sines of angles, apart or side by side.

In: angles, or numbers; rates and whole numbers whose products are added to them. Out: their cosines and sines, which
`together` puts along an axis of their own. What always holds: products with whole numbers are in double precision, so
that a wave is right to a rounding however far its place is from the first one; what comes back through a cosine and a
sine of one angle is made of these two, and no wave is computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import batched_backward, visible

_IN_PAIRS = (torch.float32, torch.float64)
"""Of which there are complex numbers."""


def waves(
    angle: Tensor | float, rate: Tensor | float | None, place: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Cosines and sines of `angle + rate * place`.

    >>> waves(0.0, 0.5, torch.arange(2), torch.float32)
    (tensor([1.0000, 0.8776]), tensor([0.0000, 0.4794]))
    """
    if place is not None and rate is not None:
        rate = rate.double() if isinstance(rate, Tensor) else rate
        turned = place.double() * rate
        angle = turned if isinstance(angle, float) and not angle else angle + turned
    assert isinstance(angle, Tensor)
    if angle.dtype is not dtype:
        return torch.cos(angle).to(dtype), torch.sin(angle).to(dtype)
    if angle.requires_grad and torch.is_grad_enabled() and visible(angle):
        found: tuple[Tensor, Tensor] = _Waves.apply(angle)
        return found
    return torch.cos(angle), torch.sin(angle)


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
    """Cosines and sines of one angle, each of which is the other's slope, but for a sign."""

    @staticmethod
    def forward(ctx: Any, angle: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = found = torch.cos(angle), torch.sin(angle)
        ctx.save_for_backward(cos, sin)
        return found

    @staticmethod
    def backward(ctx: Any, at_cos: Tensor, at_sin: Tensor) -> Tensor:
        cos, sin = ctx.saved_tensors
        found = at_sin * cos
        if batched_backward(at_cos, at_sin):
            return torch.addcmul(found, at_cos, sin, value=-1)
        return found.addcmul_(at_cos, sin, value=-1)
