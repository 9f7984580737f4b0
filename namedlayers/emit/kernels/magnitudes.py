"""Sums of the magnitudes of differences, between all pairs of two sets of points, with derivatives of every order.

In: two sets of points as rows, with one batch in front. Out: a number for each pair. What always holds: the slope of a
magnitude is 0 where it is 0 or no number, as torch has it; differences of all coordinates are held by tangents, and by
what comes back through slopes, alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from namedlayers.emit.kernels import pairs
from namedlayers.emit.kernels.derivable import Plain, Tensors, apply


def magnitudes(x: Tensor, y: Tensor) -> Tensor:
    """The sums of the magnitudes of the differences of rows, to be differentiated.

    >>> magnitudes(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[7.],
            [5.]])
    """
    (found,) = apply(_MAGNITUDES, x, y)
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Magnitudes:
    keeps_results = False

    def __call__(self, *tensors: Tensor) -> Tensors:
        return (pairs.magnitudes(*tensors),)

    def back(self, wanted: tuple[bool, ...]) -> _Pulls:
        return _Pulls(*wanted)

    def along(self) -> Plain:
        return Plain(lambda *given: (_signed(*given),), 4, 1)


@dataclass(frozen=True)
class _Pulls:
    """Of points and weights, the weighted sums of signs. These have no slopes of their own."""

    to_x: bool
    to_y: bool
    keeps_results = False

    def __call__(self, *tensors: Tensor) -> Tensors:
        x, y, weights = tensors
        return pairs.signed_pulls(x, y, weights, self.to_x, self.to_y)

    def back(self, wanted: tuple[bool, ...]) -> Plain:
        def slopes(x: Tensor, y: Tensor, weights: Tensor, a: Tensor, b: Tensor) -> Tensors:
            a, b = a if self.to_x else torch.zeros_like(a), b if self.to_y else torch.zeros_like(b)
            return torch.zeros_like(x), torch.zeros_like(y), _signed(x, y, a, b)

        return Plain(slopes, 5, 3)

    def along(self) -> Plain:
        return Plain(lambda x, y, _, a, b, slope: self(x, y, slope), 6, 2)


_MAGNITUDES = _Magnitudes()


def _signed(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The sums of the differences of a and b, with the signs of those of x and y."""
    return ((x.unsqueeze(-2) - y.unsqueeze(-3)).sign() * (a.unsqueeze(-2) - b.unsqueeze(-3))).sum(-1)
