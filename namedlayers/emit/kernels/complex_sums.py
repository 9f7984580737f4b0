"""Sums and differences of complex numbers, part by part.

In: two tensors that broadcast, of which one is complex at least. Out: the sum or the difference, of their common type.
What always holds: an infinite part stays what it is and leaves the other part alone. (torch multiplies what it adds by
a complex 1, which makes NaN of the parts of an infinite number: `-inf + 0j`, the zero of the semiring `complex-log`.)
"""

from __future__ import annotations

import torch
from torch import Tensor


def complex_sum(x: Tensor, y: Tensor) -> Tensor:
    """x + y.

    >>> complex_sum(torch.tensor([1 + 2j]), torch.tensor([complex("-inf")]))
    tensor([-inf+2.j])
    """
    x, y = _parts(x, y)
    return torch.view_as_complex(x + y)


def complex_difference(x: Tensor, y: Tensor) -> Tensor:
    """x - y.

    >>> complex_difference(torch.tensor([1 + 2j]), torch.tensor([complex("-inf")]))
    tensor([inf+2.j])
    """
    x, y = _parts(x, y)
    return torch.view_as_complex(x - y)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _parts(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both as real tensors. Axes broadcast as they did: the parts lie on one more, the last."""
    dtype = torch.promote_types(x.dtype, y.dtype)
    return torch.view_as_real(x.to(dtype).resolve_conj()), torch.view_as_real(y.to(dtype).resolve_conj())
