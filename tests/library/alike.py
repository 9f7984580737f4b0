"""A function beside its original: the same values and the same gradients from the same tensors, in float64.

In: two functions and their tensors, given or as shapes of normal numbers. Out: nothing, or an AssertionError.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def assert_alike(ours: Callable[..., Any], theirs: Callable[..., Any], tensors: tuple[Any, ...], seed: str) -> None:
    torch.manual_seed(zlib.crc32(seed.encode()))
    given = [one if isinstance(one, Tensor) else torch.randn(one, dtype=torch.float64) for one in tensors]
    given = [one.detach().requires_grad_() if one.is_floating_point() else one for one in given]
    found, wanted = ours(*given), theirs(*given)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)
    learned = [one for one in given if one.requires_grad]
    weights = torch.randn_like(wanted)
    found_gradients, wanted_gradients = (_gradients(one, learned, weights) for one in (found, wanted))
    for one, other in zip(found_gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def _gradients(result: Tensor, of: list[Tensor], weights: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(result, of, weights, allow_unused=True, materialize_grads=True)
