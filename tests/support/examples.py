"""Example arguments for a formula, from the names of its axes.

In: what each input is, and the sizes of the axes. Out: tensors. What always holds: the same description gives the same
numbers; no two of a tensor's real numbers are equal, so that nothing depends on how ties are broken.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch


@dataclass(frozen=True)
class Given:
    """An input: its axes, and what stands in it, a row of `MAKERS`. `below` is the axis that indices point into."""

    axes: str
    holds: str = "reals"
    below: str = ""


def reals(axes: str) -> Given:
    return Given(axes)


def indices(axes: str, below: str) -> Given:
    return Given(axes, "indices", below)


def booleans(axes: str) -> Given:
    return Given(axes, "booleans")


def tensors(
    inputs: Mapping[str, Given], sizes: Mapping[str, int], dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, ...]:
    """The arguments, those that hold reals as `dtype`."""
    found = []
    for name, given in inputs.items():
        shape = tuple(sizes[axis] for axis in given.axes.split())
        below = sizes[given.below] if given.below else 0
        generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {shape}".encode()))
        made = MAKERS[given.holds](shape, below, dtype, generator)
        found.append(made)
    return tuple(found)


Maker = Callable[[tuple[int, ...], int, torch.dtype, torch.Generator], torch.Tensor]


def _reals(shape: tuple[int, ...], below: int, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return torch.randn(shape, generator=generator, dtype=wide).to(dtype)


def _indices(shape: tuple[int, ...], below: int, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(below, shape, generator=generator)


def _booleans(shape: tuple[int, ...], below: int, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator) < 0.7


MAKERS: Mapping[str, Maker] = MappingProxyType({
    "reals": _reals,
    "indices": _indices,
    "booleans": _booleans,
})  # fmt: skip
