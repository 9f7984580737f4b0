"""Cosines and sines of angles, side by side.

In: angles, or numbers; rates and whole numbers whose products are added to them. Out: the functions asked for, along an
axis of their own. What always holds: products with whole numbers are in double precision, so that a wave is right to a
rounding however far its place is from the first one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import visible

_PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "cos": torch.cos,
    "sin": torch.sin,
    "-sin": lambda angle: torch.sin(angle).neg_(),
}

_INTO: dict[str, Callable[..., Tensor]] = {
    "cos": torch.cos,
    "sin": torch.sin,
    "-sin": lambda angle, out: torch.sin(angle, out=out).neg_(),
}
"""The same, written where there is room for it."""

_IN_PAIRS = (torch.float32, torch.float64)
"""Of which there are complex numbers."""


def wave(
    angle: Tensor | float, rate: Tensor | float | None, place: Tensor | None, parts: tuple[str, ...], dim: int,
    dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """The functions `parts` of `angle + rate * place`, stacked along `dim`.

    >>> wave(0.0, 0.5, torch.arange(2), ("cos", "sin"), 1, torch.float32)
    tensor([[1.0000, 0.0000],
            [0.8776, 0.4794]])
    """
    if place is not None and rate is not None:
        rate = rate.double() if isinstance(rate, Tensor) else rate
        angle = angle + place.double() * rate
    assert isinstance(angle, Tensor)
    if not dim and visible(angle) and not angle.requires_grad and angle.dtype is dtype:
        found = angle.new_empty((len(parts), *angle.shape))
        for one, part in zip(found.unbind(), parts, strict=True):
            _INTO[part](angle, out=one)
        return found
    waves = [_PARTS[part](angle).to(dtype) for part in parts]
    plain = visible(angle) and not (angle.requires_grad and torch.is_grad_enabled())
    if plain and dim == angle.dim() and len(waves) == 2 and dtype in _IN_PAIRS:
        return torch.view_as_real(torch.complex(*waves))  # where `stack` copies element by element
    return torch.stack(waves, dim)
