"""Places and positions in blocks of one length, moved so that each place sees the positions up to its own.

In: how many places there are, how far beyond its own number each sees (`diagonal`), the length of a block. Out: tensors
[..., block, place or position, m]. What always holds: there are as many blocks as the places fill; what is no place and
no position is filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def open_ended(*lengths: int) -> bool:
    """Whether what is exported is for any length: torch cannot prove then that blocks cover it."""
    return torch.compiler.is_exporting() and any(isinstance(one, torch.SymInt) for one in lengths)


@dataclass(frozen=True)
class Blocks:
    """So many blocks; `before` the first place and the first position there is something that is none."""

    count: int
    length: int
    before: tuple[int, int]
    places_in_all: int

    @staticmethod
    def of(places: int, diagonal: int, length: int) -> Blocks:
        """
        >>> Blocks.of(5, 2, 4).places(torch.ones(5, 1)).squeeze(-1)
        tensor([[0., 0., 1., 1.],
                [1., 1., 1., 0.]])
        """
        before = max(diagonal, 0), max(-diagonal, 0)
        return Blocks((places + before[0] + length - 1) // length, length, before, places)

    def places(self, x: Tensor, filled: float = 0.0) -> Tensor:
        """Rows of no place before the first one, as many as it sees positions beyond itself; then in blocks."""
        return self._in_blocks(x, self.before[0], filled)

    def positions(self, x: Tensor, filled: float = 0.0) -> Tensor:
        return self._in_blocks(x, self.before[1], filled)

    def joined(self, x: Tensor) -> Tensor:
        """The places, [..., place, m], of [..., block, place, m]."""
        return x.flatten(-3, -2).narrow(-2, self.before[0], self.places_in_all)

    def _in_blocks(self, x: Tensor, front: int, filled: float) -> Tensor:
        """With so much in front, and as much behind, or so much less, as make whole blocks."""
        count, block = self.count, self.length
        length = count * block
        if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
            if front or x.size(-2) != length:  # one graph for all lengths that are not whole blocks
                more = torch.sym_max(length - front - x.size(-2), 0)
                x = F.pad(x, (0, 0, front, more), value=filled).narrow(-2, 0, length)
            return x.unflatten(-2, (count, block))
        front = min(front, length)
        back = length - front - x.size(-2)
        if back < 0:
            x = x.narrow(-2, 0, length - front)
        if front or back > 0:
            x = F.pad(x, (0, 0, front, max(back, 0)), value=filled)
        return x.unflatten(-2, (count, block))
