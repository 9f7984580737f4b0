"""Functions of steps, found by name: a table of the process, which fills when programs are built.

In: the hash of a body's content, perhaps lifted. Out: its function, and what runs its loop faster, if anything does.
What always holds: a name stands for one function only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from namedlayers.errors import ArgumentError

Step = Callable[..., Any]


class Faster(Protocol):
    """What a loop is run and differentiated by, where it is not lifted and draws nothing; None where that cannot be."""

    @property
    def kept(self) -> Sequence[int]:
        """Which of the values of all steps the gradient takes, beside those that are carried."""

    @property
    def failures(self) -> Sequence[str]:
        """What should have been compiled, and could not be."""

    def run(self, tensors: Sequence[Tensor], steps: int, sizes: Sequence[int]) -> Sequence[Tensor] | None: ...

    def gradients(
        self, tensors: Sequence[Tensor], steps: int, sizes: Sequence[int], slopes: Sequence[Tensor | None],
        made: Mapping[int, Tensor],
    ) -> Mapping[int, Tensor] | None: ...  # fmt: skip


def register(key: str, step: Step, faster: Faster | None = None) -> None:
    """Puts a body's function into the table of the process. It takes tensors, carried ones first, then sizes."""
    _STEPS.setdefault(key, step)
    if faster is not None:
        _FASTER.setdefault(key, faster)


@lru_cache(1024)
def step_of(body: str) -> Step:
    """The function of a body, lifted by `vmap` as often as its name says."""
    key, *lifts = body.split("|")
    if key not in _STEPS:
        raise ArgumentError(
            "NL0440", "this graph has a scan whose formula is not compiled in this process",
            hint="compile it first: look at the formula's `.code`, or call it once",
        )  # fmt: skip
    step = _STEPS[key]
    for lift in lifts:
        step = _lifted(step, *lift.split(":"))
    return step


def faster_of(body: str) -> Faster | None:
    """What the loop of a body is run by; a body that is lifted has nothing."""
    return _FASTER.get(body)


# --- helpers ----------------------------------------------------------------------------------------------------------

_STEPS: dict[str, Step] = {}
_FASTER: dict[str, Faster] = {}


def _lifted(step: Step, randomness: str, tensors: str, sizes: str) -> Step:
    return torch.func.vmap(step, (0,) * int(tensors) + (None,) * int(sizes), randomness=randomness)
