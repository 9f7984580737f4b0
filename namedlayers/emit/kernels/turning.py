"""Pairs of numbers turned by angles: products of complex numbers, where the pairs lie as such in memory.

In: pairs along one axis, cosines and sines. Out: the turned pairs, in the same layout. What always holds: each number
is the sum of the two products that the definition says; what is compiled or exported sees real operations only, which
a compiler fuses.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.compiler import is_compiling


def turned(pairs: Tensor, cos: Tensor, sin: Tensor, dim: int) -> Tensor:
    """`(x cos - y sin, x sin + y cos)` of the pairs (x, y) along `dim`; `cos` and `sin` broadcast to what is left.

    >>> turned(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]), 1)
    tensor([[0., 1.],
            [0., 2.]])
    """
    if dim == pairs.dim() - 1 and _complex(pairs, cos, sin):
        return torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cos, sin))
    x, y = pairs.unbind(dim)
    parts = torch.addcmul(x * cos, y, sin, value=-1), torch.addcmul(x * sin, y, cos)
    return torch.stack(parts, dim)


# --- helpers ----------------------------------------------------------------------------------------------------------

_PRECISIONS = (torch.float32, torch.float64)


def _complex(pairs: Tensor, cos: Tensor, sin: Tensor) -> bool:
    """Whether the pairs may be seen as complex numbers where they lie."""
    if is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    if not (pairs.dtype is cos.dtype is sin.dtype and pairs.dtype in _PRECISIONS):
        return False
    *steps, last = pairs.stride()
    return last == 1 and not pairs.storage_offset() % 2 and not any(step % 2 for step in steps)
