"""The factors of a log product: each a sum of logarithms, or weights, taken by shares of their maxima.

In: the parts of a factor, tensors that broadcast against one another, and which of its dimensions are summed. Out: what
products and their slopes are made of. What always holds: exponentials are taken of the parts, before these are
broadcast; so of an outer sum only the product of the exponentials is held, never the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add, mul
from typing import NamedTuple

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import visible

BOOST = 250.0
"""How far the maxima are above 0 in double precision, of which half the range would be for nothing otherwise. (Half of
what would fit: slopes are divided by what this makes.)"""

RUN, SMALL = 32, 4096
"""How many elements behind a dimension torch's maxima along it want, not to be slow;
and up to how many in all that does not matter."""


def maxima(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The maxima along these dimensions, of which none is empty; they are kept."""
    shape = x.shape
    if dims[-1] == -1 or not visible(x) or x.numel() <= SMALL or math.prod(shape[dims[-1] + 1 :]) >= RUN:
        return x.amax(dims, keepdim=True)
    for dim in dims:  # the outermost first: it goes through longer runs of memory
        behind = math.prod(shape[dim + 1 :])
        some = -(-RUN // max(1, behind))
        if shape[dim] > some > 1 and shape[dim] % some == 0:
            x = x.unflatten(dim, (-1, some)).amax(dim - 1)
        x = x.amax(dim, keepdim=True) if x.shape[dim] > 1 else x
    return x


class Form(NamedTuple):
    """How tensors are two factors, the first `lefts` being parts of the left one. Left: batch, then `rows` and `inner`
    dimensions; right: batch, `inner` and `columns` dimensions. A factor of weights has one part."""

    lefts: int = 1
    rights: int = 1
    rows: int = 1
    inner: int = 1
    columns: int = 1
    a_linear: bool = False
    b_linear: bool = False

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Form:
        """From the numbers that an operator takes."""
        lefts, rights, rows, inner, columns, a_linear, b_linear = numbers
        return cls(lefts, rights, rows, inner, columns, bool(a_linear), bool(b_linear))

    def sides(self, tensors: Sequence[Tensor]) -> tuple[Factor, Factor]:
        left = Factor(tensors[: self.lefts], self.a_linear, False, self.rows, self.inner)
        return left, Factor(tensors[self.lefts :], self.b_linear, True, self.inner, self.columns)


class Factor:
    """One factor: its last `first + second` dimensions are those of a matrix, of which the right factor's first and the
    left factor's second are summed. In matrices made of it each of the two groups is one dimension."""

    def __init__(self, parts: Sequence[Tensor], linear: bool, right: bool, first: int, second: int) -> None:
        self.parts, self.linear, self.right, self.first, self.second = tuple(parts), linear, right, first, second
        end = second if right else 0
        self.summed = tuple(range(-end - (first if right else second), -end))
        self._tops: list[Tensor] | None = None
        self._units: list[Tensor] | None = None

    # --- sizes

    @property
    def shape(self) -> torch.Size:
        if len(self.parts) == 1:
            return self.parts[0].shape
        return torch.Size([self._size(dim) for dim in range(self.parts[0].dim())])

    @property
    def elements(self) -> int:
        return sum(part.numel() for part in self.parts)

    @property
    def length(self) -> int:
        return math.prod([self._size(dim) for dim in self.summed])

    @property
    def sizes(self) -> tuple[int, ...]:
        """The batch and the sizes of the matrix."""
        batch, first, second = self._groups(self.shape)
        return (*batch, math.prod(first), math.prod(second))

    # --- as matrices

    @property
    def tops(self) -> list[Tensor]:
        """The maxima of each part; without a gradient, since every shift gives the same."""
        if self._tops is None:  # (a `cached_property` is not traced)
            with torch.no_grad():
                self._tops = [_tops(part, self.summed) for part in self.parts]
        return self._tops

    def spread(self) -> Tensor:
        """How far apart the logarithms in a row or column may lie, at most, as a tensor of one number; NaN where a
        maximum is not finite."""
        with torch.no_grad():
            bottoms = [part.amin(self.summed, keepdim=True) for part in self.parts]
            pairs = zip(self.tops, bottoms, strict=True)
            return reduce(add, [(torch.log(a / b) if self.linear else a - b).amax() for a, b in pairs])

    def undecided(self) -> Tensor:
        """0, or NaN where a maximum is not finite, as a tensor of one number."""
        whole = reduce(add, self.tops)  # one loop, however many parts
        return (whole - whole).amax()

    def unguarded(self) -> Factor:
        """The same, with `scaled` and `shift` undefined where a maximum is not finite, or that of weights is not
        above 0; this takes one pass over the rows less."""
        self._units = self.tops
        return self

    @property
    def units(self) -> list[Tensor]:
        """The maxima, in the place of those that are not finite something that is."""
        if self._units is None:
            there = [torch.isfinite(top) & (top > 0) if self.linear else torch.isfinite(top) for top in self.tops]
            neutral = 1 if self.linear else 0
            self._units = [torch.where(one, top, neutral) for one, top in zip(there, self.tops, strict=True)]
        return self._units

    def shift(self) -> Tensor:
        return self._matrix(reduce(add, [torch.log(unit) for unit in self.units] if self.linear else self.units))

    def scaled(self) -> Tensor:
        """Numbers up to 1, whose logarithms plus `shift` are the factor's; 0 where there is nothing."""
        return self._matrix(reduce(mul, self.scaled_parts()))

    def scaled_parts(self) -> list[Tensor]:
        """What `scaled` is the product of."""
        shifted = [self._shifted(part, unit) for part, unit in zip(self.parts, self.units, strict=True)]
        return shifted if self.linear else [one.exp_() for one in shifted]

    def wide(self) -> Tensor:
        """The same in double precision, times exp(BOOST). The exponential is of the sum, to have all its range."""
        units = [unit.double() for unit in self.units]
        units[0] = units[0] * math.exp(-BOOST) if self.linear else units[0] - BOOST
        whole = reduce(add, [self._shifted(part.double(), one) for part, one in zip(self.parts, units, strict=True)])
        return self._matrix(whole if self.linear else whole.exp_())

    def there(self) -> Tensor:
        """1 where there is something, 0 at -inf."""
        nothing = 0 if self.linear else -math.inf
        return self._matrix(reduce(mul, [(part != nothing).float() for part in self.parts]))

    def undefined(self) -> Tensor:
        """The rows or columns that have a NaN."""
        return self._matrix(reduce(add, self.tops)).isnan()

    # --- slopes

    def slopes(self, found: Tensor, scaled: Tensor, boost: float) -> list[Tensor]:
        """From slopes at what was scaled, and is times exp(boost), to those at the parts."""
        if self.linear:
            unit = self._matrix(self.units[0]).to(found.dtype)
            return [self._whole(found / (unit * math.exp(-boost)))]
        return self.parted(found * scaled)

    def joined(self) -> Tensor:
        """The factor itself, broadcast."""
        return self._matrix(reduce(add, self.parts))

    def parted(self, slope: Tensor) -> list[Tensor]:
        """From a slope at the factor itself to those at its parts."""
        return [self._whole(slope).sum_to_size(part.shape) for part in self.parts]

    # --- rows (of the left factor) and columns (of the right), some of them

    def lines(self, places: Sequence[Tensor]) -> Tensor:
        """The logarithms at these coordinates of the batch and of the dimension that stays."""
        lines = reduce(add, [self._led(part)[self._within(part, places)] for part in self.parts]).flatten(1)
        return torch.log(lines) if self.linear else lines

    def add_lines(self, slopes: Sequence[Tensor], places: Sequence[Tensor], lines: Tensor) -> list[Tensor]:
        """The slopes of the parts with those of some rows or columns added."""
        sizes = [self.shape[dim] for dim in self.summed]
        found = []
        for part, slope in zip(self.parts, slopes, strict=True):
            own = [part.shape[dim] for dim in self.summed]
            more = lines.unflatten(1, sizes).sum_to_size(len(lines), *own).to(slope.dtype)
            led = self._led(slope).index_put(self._within(part, places), more, accumulate=True)
            found.append(self._unled(led))
        return found

    # --- helpers

    def _size(self, dim: int) -> int:
        return next((size for part in self.parts if (size := part.shape[dim]) != 1), 1)

    def _shifted(self, part: Tensor, unit: Tensor) -> Tensor:
        return torch.where(part < 0, torch.nan, part) / unit if self.linear else part - unit

    def _matrix(self, x: Tensor) -> Tensor:
        if self.first == self.second == 1:
            return x
        batch, first, second = self._groups(x.shape)
        return x.reshape(*batch, math.prod(first), math.prod(second))

    def _whole(self, matrix: Tensor) -> Tensor:
        return matrix if self.first == self.second == 1 else matrix.reshape(self.shape)

    def _groups(self, shape: Sequence[int]) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        start, middle = len(shape) - self.first - self.second, len(shape) - self.second
        return shape[:start], shape[start:middle], shape[middle:]

    def _led(self, x: Tensor) -> Tensor:
        """The summed dimensions last."""
        return _exchanged(x, self.first, self.second) if self.right else x

    def _unled(self, x: Tensor) -> Tensor:
        return _exchanged(x, self.second, self.first) if self.right else x

    def _within(self, part: Tensor, places: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The coordinates, in a part that may lack dimensions (which have size 1 there)."""
        *batch, line = places
        stays = self._groups(self.shape)[2 if self.right else 1]
        coordinates = (*batch, *torch.unravel_index(line, torch.Size(stays))) if len(stays) != 1 else places
        sizes = [part.shape[dim] for dim in range(len(batch))]
        sizes += self._groups(part.shape)[2 if self.right else 1]
        return tuple(one if size > 1 else torch.zeros_like(one) for one, size in zip(coordinates, sizes, strict=True))


def _tops(part: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The maxima; -inf of none."""
    if all(part.shape[dim] for dim in dims):
        return maxima(part, dims)
    return part.new_full([1 if k in dims else size for k, size in _from_the_end(part)], -math.inf)


def _from_the_end(x: Tensor) -> list[tuple[int, int]]:
    return [(k - x.dim(), size) for k, size in enumerate(x.shape)]


def _exchanged(x: Tensor, first: int, second: int) -> Tensor:
    """Of the last dimensions, `first` and then `second`, the latter before the former."""
    dims = range(x.dim())
    start, middle = x.dim() - first - second, x.dim() - second
    return x.permute(*dims[:start], *dims[middle:], *dims[start:middle])
