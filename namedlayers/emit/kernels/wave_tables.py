"""Cosines and sines of the places of an axis, which are the same at every call.

In: the angle of the first place, the rate, the number of places, a precision, a device. Out: their cosines and sines,
which nobody may write over. What always holds: what is kept is plain tensors on the CPU, of which there are few and
none is large; where anything records or transforms what a call does, nothing is kept, and what is kept is not used.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import unrecorded
from namedlayers.emit.kernels.waves import waves

MOST_PLACES = 2**14
"""So many are kept of a table: of longer ones, what is done with them takes far longer than they take."""
MOST_TABLES = 32


def wave_table(
    angle: float, rate: float, places: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Cosines and sines of `angle + rate * place` for all places.

    >>> wave_table(0.0, 0.5, 2, torch.float32, torch.device("cpu"))
    (tensor([1.0000, 0.8776]), tensor([0.0000, 0.4794]))
    """
    numbers = type(places) is int and type(rate) in (int, float) and type(angle) in (int, float)  # no symbols
    if device.type == "cpu" and numbers and places <= MOST_PLACES and unrecorded():
        return _kept(angle, rate, places, dtype)
    return waves(angle, rate, torch.arange(places, device=device), dtype)


# --- helpers ----------------------------------------------------------------------------------------------------------


@lru_cache(MOST_TABLES)
def _kept(angle: float, rate: float, places: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # what is made in inference mode could not be kept for a gradient
        return waves(angle, rate, torch.arange(places, device="cpu"), dtype)
