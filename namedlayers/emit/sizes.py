"""Sizes as numbers: read from the inputs, never literals (constants of the text aside).

In: size expressions. Out: Python integers where they are known for all sizes, else fx nodes that compute them from the
inputs' shapes. What always holds: one expression is computed once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import fx

from namedlayers.emit.calls import Calls
from namedlayers.emit.names import Names
from namedlayers.emit.prologue import Prologue
from namedlayers.program.program import Program
from namedlayers.program.size import Floor, SizeExpr, SizeLike, Symbol, const, size_expr


class Sizes(Calls):
    """`floors`: pairs of sizes of which the variant's guards say that the first is at least the second. `assumed`:
    sizes that an `optimistic` emission took not to be 0, so that its variant must ask for it."""

    def __init__(
        self, program: Program, prologue: Prologue, names: Names,
        floors: Sequence[tuple[SizeExpr, SizeExpr]], optimistic: bool,
    ) -> None:  # fmt: skip
        super().__init__(program, prologue, names)
        self.floors = tuple(floors)
        self.optimistic = optimistic
        self.assumed: dict[SizeExpr, None] = {}
        self._sizes: dict[SizeExpr, fx.Node] = {}
        self._computed: list[fx.Node] = []
        self._read_shapes(prologue)

    def size(self, size: SizeLike) -> fx.Node | int:
        """A size as a number: a Python integer where it is one for all sizes, else a node."""
        size = size_expr(size)
        if size.value is not None:
            return size.value
        if size not in self._sizes:
            self._sizes[size] = self._polynomial(size)
        return self._sizes[size]

    def space(self, axis: int) -> SizeExpr:
        """The size of an axis of the index space of the node that is being emitted."""
        if axis >= 0:
            return self.node.space[axis]
        arg = next(a for a in self.node.args if -1 - axis < len(a.axes) and a.axes[-1 - axis] < 0)
        return arg.node.sizes[-1 - axis]

    def at_least_one(self, size: SizeExpr) -> bool:
        """Whether a size is provably not 0 where this variant runs."""
        if never_negative(size - 1):
            return True
        return any((size - 1 - left + right).nonnegative for left, right in self.floors)

    def assume(self, *sizes: SizeExpr) -> bool:
        """Whether sizes may be taken not to be 0: proved, or assumed where there is a variant for the other case."""
        open_ = [size for size in sizes if not self.at_least_one(size)]
        if self.optimistic:
            self.assumed |= dict.fromkeys(open_)
        return self.optimistic or not open_

    def extent(self, axes: Iterable[int]) -> SizeExpr:
        """The product of the sizes of some axes."""
        product = size_expr(1)
        for axis in axes:
            product = product * self.space(axis)
        return product

    def _polynomial(self, size: SizeExpr) -> fx.Node:
        total: fx.Node | int | None = None
        for monomial, c in size.terms:
            factors: list[fx.Node | int] = []
            for atom in monomial:
                positive, sign = _upwards(atom)
                factors.append(self._atom(positive))
                c *= sign
            if abs(c) != 1 or not factors:
                factors.insert(0, abs(c))
            product = factors[0]
            for factor in factors[1:]:
                product = self._sum(operator.mul, product, factor)
            if total is None:
                total = product if c > 0 else -product if isinstance(product, int) else self._sum(operator.neg, product)
            else:
                total = self._sum(operator.add if c > 0 else operator.sub, total, product)
        assert isinstance(total, fx.Node)
        return total

    def _atom(self, atom: Any) -> fx.Node | int:
        if isinstance(atom, Symbol):
            return self._sizes[SizeExpr({(atom,): 1})]
        return self._sum(operator.floordiv, self.size(atom.numerator), self.size(atom.denominator))

    def _sum(self, target: Callable, *args: Any) -> fx.Node:
        held = self.fx.create_node("call_function", target, args, {}, name=self.names.fresh("n"))
        held.meta |= {"inline": True, "axes": None}
        self._computed.append(held)
        return held

    def _read_shapes(self, prologue: Prologue) -> None:
        """The nodes that stand for what the prologue computes or is given. Those that nothing uses are erased at the
        end."""
        for symbol, name in prologue.passed.items():
            node = self.fx.create_node("placeholder", name, name=name)
            node.meta |= {"size": symbol, "axes": None}
            self._sizes[SizeExpr({(Symbol(symbol),): 1})] = node
        numbers = {given.name: number for number, given in enumerate(self.program.inputs)}
        dims: dict[tuple[int, int], fx.Node] = {}
        for place, name in prologue.dims.items():
            number, axis = place
            node = self.fx.create_node("call_method", "size", (self.inputs[number], axis), {}, name=name)
            node.meta |= {"prologue": True, "axes": None}
            dims[place] = node
        for recipe in self.program.recipes:
            dim, name = dims[numbers[recipe.input], recipe.axis], prologue.symbols[recipe.symbol]
            node = dim
            if dim.name != name:
                before = len(self._computed)
                if recipe.rest != 0:
                    node = self._sum(operator.sub, node, self.size(recipe.rest))
                node = self._sum(operator.floordiv, node, self.size(recipe.factor))
                for made in self._computed[before:]:
                    made.meta["prologue"] = True
                node.name = name
            self._sizes[SizeExpr({(Symbol(recipe.symbol),): 1})] = node


def _upwards(atom: Any) -> tuple[Any, int]:
    """An atom as another one and its sign, so that nothing negative is divided where that shows: ONNX rounds towards 0.

    >>> from namedlayers.program.size import symbol
    >>> print(*_upwards(Floor(-symbol("n"), const(3))))
    ((|n| + 2) // 3) -1
    """
    if isinstance(atom, Floor) and (-atom.numerator).nonnegative:
        return Floor(-atom.numerator + atom.denominator - 1, atom.denominator), -1
    return atom, 1


def never_negative(size: SizeExpr) -> bool:
    """Whether a size is provably >= 0, its floors bounded by what is divided: n - d < d * (n // d) <= n.

    >>> from namedlayers.program.size import symbol
    >>> b = symbol("b")
    >>> never_negative(2 * ((b + 1) // 2) - b), never_negative(2 * (b // 2) - b)
    (True, False)
    """
    bound = const(0)
    for monomial, c in size.terms:
        floor = monomial[0] if len(monomial) == 1 else None
        divisor = floor.denominator.value if isinstance(floor, Floor) else None
        if isinstance(floor, Floor) and divisor is not None and divisor > 0 and c % divisor == 0:
            bound += (floor.numerator - (divisor - 1 if c > 0 else 0)) * (c // divisor)
        else:
            bound += SizeExpr({monomial: c})
    return bound.nonnegative
