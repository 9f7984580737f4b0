"""The inverse of the shares that a log product adds up, for its gradient.

In: the largest summand of each factor, the product. Out: by what a share is multiplied to be part of 1. What always
holds: what is returned can be multiplied by what is as small as the shares; where it cannot, `TooSmall` is raised, and
who asked computes it otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from namedlayers.emit.kernels import eager


class TooSmall(ArithmeticError):
    """Shares are too small for products with their inverse."""


def inverse_share(a: Tensor, b: Tensor, product: Tensor) -> Tensor:
    """exp(a + b - product), 0 where the product is -inf.

    >>> inverse_share(torch.zeros(2), torch.zeros(2), torch.tensor([0.0, -torch.inf]))
    tensor([1., 0.])
    >>> inverse_share(torch.zeros(1), torch.zeros(1), torch.tensor([-100.0]))
    Traceback (most recent call last):
    namedlayers.emit.log_products.shares.TooSmall: a share is too small to be divided by
    """
    inverse = a + b - product
    dead = product == -math.inf
    inverse.masked_fill_(dead, -math.inf)
    if inverse.is_cuda and torch.cuda.is_current_stream_capturing():
        raise TooSmall("what is recorded may not depend on numbers")
    # What is NaN is not below the limit either. A device is waited for once in a block of steps.
    if inverse.dtype not in _LARGEST or (inverse.numel() and not eager.told(inverse.amax() < _LARGEST[inverse.dtype])):
        raise TooSmall("a share is too small to be divided by")
    return inverse.exp_()


# --- helpers ----------------------------------------------------------------------------------------------------------

_LARGEST = {torch.float32: 40.0, torch.float64: 300.0}
"""Half of the logarithm of the largest number: what is multiplied by both a share and its inverse keeps its digits
unless it is as small as the smallest number over the largest one's root."""
