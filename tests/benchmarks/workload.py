"""What is compared: a formula, what it is compared with, and the tensors, as data.

In: nothing. Out: `Workload`s, which `workloads/` lists and `running` measures. What always holds: every side takes the
same tensors, in the same order, and gives one tensor; sizes are named, and the full and the quick ones name the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import namedlayers as nl

Function = Callable[..., Tensor]
Sizes = Mapping[str, int]
Input = Callable[[Sizes], Tensor]

AT_MOST = 1.05
"""What a formula may take of the time of the best that is written by hand."""
EDGE = 0.7
"""The same, where planning gives an edge over the idiomatic form."""


@dataclass(frozen=True)
class Formula:
    """A text and the keywords of `compile`."""

    text: str
    manner: Mapping[str, Any] = field(default_factory=dict)

    def make(self, **manner: Any) -> nl.Function:
        found = nl.compile(self.text, **self.manner, **manner)
        assert isinstance(found, nl.Function)
        return found


@dataclass(frozen=True)
class Made:
    """A side that is made when it is wanted: a module, or a function that closes over one. `shares`: its parameters are
    those of the first form by hand, in this order."""

    make: Callable[[], Function]
    shares: bool = False


@dataclass(frozen=True)
class Other:
    """A side of another package: `make` imports it, so that the side is left out where it is not installed."""

    make: Callable[[], Function]
    differentiable: bool = True


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`by_hand`: by name, those that somebody would write who knows the formula; the best of them is what counts.
    `naive`: the text of the formula, operation by operation. `edges`: sides that it must beat, and by how much.
    `left_out`: sides that are not run, and why. `once`: so large that each side runs one time only; that they agree is
    seen at the quick sizes. `requires`: packages without which there is nothing to compare."""

    name: str
    group: str
    ours: Formula | Made
    by_hand: Mapping[str, Function | Made]
    naive: Function | None
    inputs: tuple[Input, ...]
    full: Sizes
    quick: Sizes
    others: Mapping[str, Other] = field(default_factory=dict)
    edges: Mapping[str, float] = field(default_factory=dict)
    target: float = AT_MOST
    left_out: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 1e-4
    backward: bool = True
    once: bool = False
    compiled: bool = True
    requires: tuple[str, ...] = ()
    note: str = ""

    def tensors(self, sizes: Sizes, device: torch.device | str = "cpu") -> list[Tensor]:
        """New tensors of these sizes, the same ones every time."""
        generator = torch.random.get_rng_state()
        torch.manual_seed(0)
        found = [one(sizes).to(device) for one in self.inputs]
        torch.random.set_rng_state(generator)
        return found


def normal(axes: str, scale: float = 1.0, shift: float = 0.0) -> Input:
    """Normal numbers over axes, whose sizes are given by name, or as numbers."""
    return lambda sizes: torch.randn(shape(axes, sizes)) * scale + shift


def positive(axes: str) -> Input:
    return lambda sizes: torch.rand(shape(axes, sizes)) + 0.1


def integers(axes: str, below: str) -> Input:
    return lambda sizes: torch.randint(0, *shape(below, sizes), shape(axes, sizes))


def chances(axes: str, share: float) -> Input:
    """True with a probability; the first place along the last axis always."""

    def make(sizes: Sizes) -> Tensor:
        found = torch.rand(shape(axes, sizes)) < share
        found[..., 0] = True
        return found

    return make


def shape(axes: str, sizes: Sizes) -> tuple[int, ...]:
    """
    >>> shape("batch 3 3", {"batch": 8})
    (8, 3, 3)
    """
    return tuple(int(axis) if axis.isdigit() else sizes[axis] for axis in axes.split())
