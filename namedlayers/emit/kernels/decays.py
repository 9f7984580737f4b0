"""How much what lies far back still counts: weights D(t, s) of a place t and a position s, where for whatever lies
between D(t, s) = D(t, r) D(r, s).

In: `("power", b)`, b ^ (t - s); `("rate", r)`, exp(r (t - s)); `("between", a, b)`, exp(a[t] - b[s]); batch axes are in
front; several are multiplied. Out: weights of all places and positions, or of blocks of them: within each, from a
position to the end of its block, from that of the block before to a place, and, as decays of blocks, from end to end.
What always holds: weights of what a place does not see are 0, whatever they would be. Where blocks meet, `between` goes
by way of the largest weight of all that lies before: nothing overflows there that does not in the formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add, mul
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.blocks import Blocks
from namedlayers.emit.kernels.tables import table

Given = tuple[Any, ...]
"""The name of a decay, and its tensors or numbers."""


@dataclass(frozen=True)
class Decays:
    """The product of some decays, in the precision of what it is a factor of."""

    each: tuple[_Decay, ...]
    dtype: torch.dtype

    @staticmethod
    def of(given: Sequence[Given], like: Tensor) -> Decays:
        """
        >>> Decays.of([("power", 0.5)], torch.ones(3)).whole(3, 3, 0)
        tensor([[1.0000, 0.0000, 0.0000],
                [0.5000, 1.0000, 0.0000],
                [0.2500, 0.5000, 1.0000]])
        """
        return Decays(tuple(_decay(name, parts, like) for name, *parts in given), like.dtype)

    def whole(self, places: int, positions: int, diagonal: int) -> Tensor:
        """The weights of all: [..., place, position]."""
        return self._product(lambda one: one.whole(places, positions, diagonal))

    def blocked(self, blocks: Blocks) -> Decays:
        return replace(self, each=tuple(one.blocked(blocks) for one in self.each))

    # --- of what is in blocks

    def within(self, length: int) -> Tensor:
        """[..., block, place, position]"""
        return self._product(lambda one: one.within(length))

    def ends(self, length: int) -> Tensor:
        """From each position to the end of its block: [..., block, position]."""
        return self._product(lambda one: one.ends(length))

    def starts(self, length: int) -> Tensor:
        """From the end of the block before to each place: [..., block, place]."""
        return self._product(lambda one: one.starts(length))

    def row(self, place: int) -> Tensor:
        """From a place of each block back to the positions up to it: [..., block, position]."""
        return self._product(lambda one: one.row(place))

    def sides(self) -> tuple[Tensor, Tensor] | None:
        """a and b [..., block, place], of which all weights are exp(a - b), if these are all there is."""
        between = [one for one in self.each if isinstance(one, _Between)]
        if len(between) < len(self.each):
            return None
        return reduce(add, (one.a for one in between)), reduce(add, (one.b for one in between))

    def above(self, length: int) -> Decays:
        """From the end of each block to that of the one before another: of sums of what lies before that."""
        return replace(self, each=tuple(one.above(length) for one in self.each))

    def steps(self, length: int) -> tuple[Tensor, Tensor]:
        """Of so many that are summed one after the other: by what the sum before each is multiplied to be that before
        the next, and by what each is multiplied to take part in it: [..., all but the last]."""
        return self._product(lambda one: one.steps(length)[0]), self._product(lambda one: one.steps(length)[1])

    def _product(self, of: Callable[[_Decay], Tensor]) -> Tensor:
        return reduce(mul, map(of, self.each)).to(self.dtype)


def with_digits(weights: Tensor) -> Tensor:
    """0 where products would be too small to have all their digits: such take a processor ten times as long."""
    limits = torch.finfo(weights.dtype)
    return weights.masked_fill(weights.abs() < limits.tiny / limits.eps, 0)


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Decay(Protocol):
    def whole(self, places: int, positions: int, diagonal: int) -> Tensor: ...

    def blocked(self, blocks: Blocks) -> _Decay: ...

    def within(self, length: int) -> Tensor: ...

    def ends(self, length: int) -> Tensor: ...

    def starts(self, length: int) -> Tensor: ...

    def row(self, place: int) -> Tensor: ...

    def above(self, length: int) -> _Decay: ...

    def steps(self, length: int) -> tuple[Tensor, Tensor]: ...


def _decay(name: str, parts: Sequence[Tensor | float], like: Tensor) -> _Decay:
    numbers = [_exact(part, like) for part in parts]
    return _Between(*numbers) if name == "between" else _Steady(_FUNCTIONS[name], numbers[0])


def _exact(x: Tensor | float, like: Tensor) -> Tensor:
    """In no less than single precision."""
    least = torch.float64 if like.dtype in _DOUBLE else torch.float32
    if not isinstance(x, Tensor):
        return torch.full((), x, dtype=least, device=like.device)
    return x if x.is_complex() else x.to(torch.promote_types(x.dtype, least))


_DOUBLE = (torch.float64, torch.complex128)

_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "power": torch.pow,
    "rate": lambda rate, distance: torch.exp(rate * distance),
}


@dataclass(frozen=True)
class _Steady:
    """A function of how far back a position lies, in steps of so many."""

    function: Callable[[Tensor, Tensor], Tensor]
    number: Tensor
    unit: int = 1

    def whole(self, places: int, positions: int, diagonal: int) -> Tensor:
        device = self.number.device
        at = torch.arange(places, device=device).unsqueeze(1) + diagonal - torch.arange(positions, device=device)
        return table(self._at(at.clamp(min=0)).tril(diagonal))

    def blocked(self, blocks: Blocks) -> _Steady:
        return self

    def within(self, length: int) -> Tensor:
        return self.whole(length, length, 0).unsqueeze(-3)

    def ends(self, length: int) -> Tensor:
        return table(self._at(torch.arange(length - 1, -1, -1, device=self.number.device))).unsqueeze(-2)

    def starts(self, length: int) -> Tensor:
        return table(self._at(torch.arange(1, length + 1, device=self.number.device))).unsqueeze(-2)

    def row(self, place: int) -> Tensor:
        return table(self._at(torch.arange(place, -1, -1, device=self.number.device))).unsqueeze(-2)

    def above(self, length: int) -> _Steady:
        return replace(self, unit=self.unit * length)

    def steps(self, length: int) -> tuple[Tensor, Tensor]:
        ones = torch.ones(length - 1, dtype=torch.int64, device=self.number.device)
        return self._at(ones), ones

    def _at(self, distance: Tensor) -> Tensor:
        return self.function(self.number[(..., *(None for _ in range(distance.dim())))], distance * self.unit)


@dataclass(frozen=True)
class _Between:
    """exp(a[place] - b[position])"""

    a: Tensor
    b: Tensor

    def whole(self, places: int, positions: int, diagonal: int) -> Tensor:
        beyond = torch.ones(places, positions, dtype=torch.bool, device=self.a.device).triu(diagonal + 1)
        return (self.a.unsqueeze(-1) - self.b.unsqueeze(-2)).masked_fill_(beyond, -math.inf).exp_()

    def blocked(self, blocks: Blocks) -> _Between:
        """What is no place, or no position, weighs nothing."""
        a, b = self.a.unsqueeze(-1), self.b.unsqueeze(-1)
        return _Between(blocks.places(a, -math.inf).squeeze(-1), blocks.positions(b, math.inf).squeeze(-1))

    def within(self, length: int) -> Tensor:
        return self.whole(length, length, 0)

    def ends(self, length: int) -> Tensor:
        return torch.exp(self._least().unsqueeze(-1) - self.b)

    def starts(self, length: int) -> Tensor:
        return torch.exp(self.a - self._before().unsqueeze(-1))

    def row(self, place: int) -> Tensor:
        return torch.exp(self.a[..., place, None] - self.b[..., : place + 1])

    def above(self, length: int) -> _Between:
        return _Between(self._before(), self._least())

    def steps(self, length: int) -> tuple[Tensor, Tensor]:
        there = self.a[..., 1:]
        return torch.exp(there - self.a[..., :-1]), torch.exp(there - self.b[..., :-1])

    def _least(self) -> Tensor:
        """The least b of each block, a number. Whatever it is, it comes to nothing in the end, and so do its slopes."""
        return self.b.detach().amin(-1).clamp(max=torch.finfo(self.b.dtype).max)

    def _before(self) -> Tensor:
        """The least b before each block."""
        return F.pad(self._least().cummin(-1).values[..., :-1], (1, 0), value=torch.finfo(self.b.dtype).max)
