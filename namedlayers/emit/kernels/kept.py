"""Tensors made of sizes alone, which are the same at every call with these sizes.

In: a function from sizes, precisions and devices to a tuple of tensors. Out: the same, which makes nothing for what it
has seen. What always holds: what is kept is plain tensors on the CPU, of which there are few and none is large; nobody
writes over them, so that what was found out about one may be noted; where anything records, transforms or casts what a
call does, nothing is kept, and what is kept is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import unrecorded

MOST_NUMBERS = 1 << 14
"""So many are kept of one call: of more, what is done with them takes far longer than they take."""
MOST_CALLS = 32

Make = Callable[..., tuple[Tensor, ...]]


def kept(make: Make) -> Make:
    """The function with its results kept.

    >>> @kept
    ... def places(n, device):
    ...     print("counting")
    ...     return (torch.arange(n, device=device),)
    >>> cpu = torch.device("cpu")
    >>> places(2, cpu), places(2, cpu), places(3, cpu)
    counting
    counting
    ((tensor([0, 1]),), (tensor([0, 1]),), (tensor([0, 1, 2]),))
    """
    known: dict[tuple[Any, ...], tuple[Tensor, ...]] = {}

    @wraps(make)
    def found(*given: Any) -> tuple[Tensor, ...]:
        if not unrecorded() or torch.is_autocast_enabled("cpu"):
            return make(*given)
        key = (torch.get_default_dtype(), *given)
        try:
            return known[key]
        except (KeyError, TypeError):  # symbols have no hash
            pass
        if not all(map(_is_plain, given)):
            return make(*given)
        with torch.inference_mode(False):  # what is made in inference mode could not be kept for a gradient
            made = make(*given)
        if sum(one.numel() for one in made) <= MOST_NUMBERS:
            if len(known) >= MOST_CALLS:
                known.clear()
            known[key] = made
            for one in made:
                one.notes = {}  # type: ignore[attr-defined]
        return made

    return found


def notes(x: Tensor) -> dict[Any, Any] | None:
    """Where to note what was found out about a tensor that is kept; None for others, which may become other numbers.

    >>> notes(torch.ones(2))
    """
    return getattr(x, "notes", None)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_plain(given: Any) -> bool:
    """Neither a symbol nor another device than the CPU."""
    return given.type == "cpu" if type(given) is torch.device else type(given) in (int, torch.dtype)
