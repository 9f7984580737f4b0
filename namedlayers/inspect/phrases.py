"""What expressions are put together from: pieces of mathematics that know how tightly they hold together.

In: `Math`. Out: `Phrase`, and `Scope`, what names mean where it stands. What always holds: `Phrase.within` sets
brackets where something looser would stand in a place that needs something tighter, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from namedlayers.inspect import mathematics as m
from namedlayers.inspect.mathematics import Math
from namedlayers.syntax import tree

# How tightly a form holds together; `BIG`: a sum, whose reach ends at the next `+`.
OR, AND, NOT, COMPARISON, SUM, BIG, PRODUCT, SIGNED, POWER, ATOM = range(10)


@dataclass(frozen=True, slots=True)
class Phrase:
    math: Math
    binds: int = ATOM

    def within(self, binds: int) -> Math:
        """What stands where nothing looser may."""
        return self.math if self.binds >= binds else m.fenced("(", self.math)


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean in a definition: `values` are bound in it, `functions` are definitions (`own`: of the user's,
    which no form of this language's stands for), `axes` are named in brackets."""

    values: frozenset[str]
    functions: frozenset[str]
    own: frozenset[str]
    axes: frozenset[str]


class Writer(Protocol):
    """What writes the parts of an expression."""

    def of(self, node: tree.Node, binds: int = 0) -> Math: ...

    def listed(self, nodes: Sequence[tree.Node]) -> Math: ...
