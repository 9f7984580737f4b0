"""Sums of products of sizes that are kept as they are, for people: `2 * |b| * (|h| - |k| + 1)`, not multiplied out.

In: sizes. Out: `Formula`s. What always holds: equal products are one term; numbers are gathered in front.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from namedlayers.program.size import SizeExpr, const


@dataclass(frozen=True)
class Formula:
    """The sum of `count * product(factors)`.

    >>> from namedlayers.program.size import symbol
    >>> h, k = symbol("h"), symbol("k")
    >>> cost = product([h - k + 1, k, const(2)]) + product([k])
    >>> print(cost, "=", cost.at({"h": 5, "k": 3}))
    2 * |k| * (|h| - |k| + 1) + |k| = 21
    """

    terms: tuple[tuple[tuple[SizeExpr, ...], int], ...] = ()

    def __add__(self, other: Formula) -> Formula:
        total = dict(self.terms)
        for factors, count in other.terms:
            total[factors] = total.get(factors, 0) + count
        return Formula(tuple((factors, count) for factors, count in total.items() if count))

    def __mul__(self, other: Formula | int) -> Formula:
        if isinstance(other, int):
            return Formula(tuple((factors, count * other) for factors, count in self.terms))
        found = Formula()
        for one, a in self.terms:
            for two, b in other.terms:
                found = found + Formula(((_sorted((*one, *two)), a * b),))
        return found

    def at(self, sizes: Mapping[str, int]) -> int:
        """Its value."""
        return sum(count * prod(one.evaluate(sizes) for one in factors) for factors, count in self.terms)

    @property
    def symbols(self) -> frozenset[str]:
        """The names of the sizes in it."""
        return frozenset(name for factors, _ in self.terms for one in factors for name in one.symbols)

    @cached_property
    def expanded(self) -> SizeExpr:
        """The same, multiplied out."""
        total = const(0)
        for factors, count in self.terms:
            term = const(count)
            for one in factors:
                term = term * one
            total = total + term
        return total

    def __str__(self) -> str:
        largest_first = sorted(self.terms, key=lambda term: (-len(term[0]), [str(one) for one in term[0]]))
        return " + ".join(_shown(factors, count) for factors, count in largest_first) or "0"

    def covers(self, other: Formula) -> bool:
        """Whether it is at least as large as the other for all sizes, as far as their terms show it."""
        terms = dict(self.terms)
        if all(terms.get(factors, 0) >= count for factors, count in other.terms):
            return True
        return (self.expanded - other.expanded).nonnegative


def product(sizes: Iterable[SizeExpr]) -> Formula:
    """The product of sizes as one term; 0 where one of them is."""
    sizes = list(sizes)
    count = prod(size.value for size in sizes if size.value is not None)
    return Formula(((_sorted(size for size in sizes if size.value is None), count),) if count else ())


def total(formulas: Iterable[Formula]) -> Formula:
    """The sum."""
    found = Formula()
    for one in formulas:
        found = found + one
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


def _sorted(sizes: Iterable[SizeExpr]) -> tuple[SizeExpr, ...]:
    return tuple(sorted(sizes, key=lambda size: (len(size.terms), str(size))))


def _shown(factors: tuple[SizeExpr, ...], count: int) -> str:
    shown = [f"({size})" if len(size.terms) > 1 else str(size) for size in factors]
    return " * ".join([*([str(count)] if count != 1 or not shown else []), *shown])
