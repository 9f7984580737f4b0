"""Pre-activations: what is linear in a carried state by products with weights, plus what is free of carried values.

In: values of a body, their axes labelled by the positions of the state's axes. Out: an `Affine`: signed terms. What
always holds: nothing is added to the graph; labels from `SUMMED` on are summed over within one product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from namedlayers.plan.view import LONGEST
from namedlayers.program.graph import Arg, Node

SUMMED = 1000
"""Labels from here on are of axes that are summed over."""

DEEPEST = 100
"""Sums nested deeper are not looked into."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """`sign * weights * value`, summed over the axes labelled `SUMMED` and more."""

    sign: int
    weights: Arg
    value: Arg

    @property
    def summed(self) -> tuple[int, ...]:
        """The value's own axes that are summed over, in order."""
        return tuple(k for k, label in enumerate(self.value.axes) if label >= SUMMED)

    @property
    def plain(self) -> bool:
        """Whether it is a matrix product: what both have is summed over, and nothing else is."""
        shared = set(self.weights.axes) & set(self.value.axes)
        gone = {label for label in (*self.weights.axes, *self.value.axes) if label >= SUMMED}
        return shared == gone


@dataclass(frozen=True, slots=True)
class Affine:
    """Products with states, and summands that are free of carried values, each with its sign."""

    products: tuple[Weighed, ...]
    free: tuple[tuple[int, Arg], ...]

    def times(self, sign: int) -> Affine:
        if sign > 0:
            return self
        return Affine(
            tuple(replace(one, sign=-one.sign) for one in self.products), tuple((-s, arg) for s, arg in self.free)
        )


def operands(arg: Arg) -> tuple[Arg, ...]:
    """The operands of a node under its own labels; what it sums over gets labels from `SUMMED` on."""
    rank = arg.node.rank
    return tuple(
        Arg(one.node, tuple(-1 if p < 0 else arg.axes[p] if p < rank else SUMMED + p for p in one.axes))
        for one in arg.node.args
    )


@dataclass(slots=True)
class Affines:
    """Values as such sums; `bound` tells what depends on carried values. Each value is looked at once."""

    bound: Callable[[Node], bool]
    _known: dict[Arg, Affine | None] = field(default_factory=dict)

    def of(self, arg: Arg, depth: int = DEEPEST) -> Affine | None:
        """The value as a sum; None where it is none, or has too many terms."""
        if arg not in self._known:
            self._known[arg] = self._found(arg, depth)
        return self._known[arg]

    def _found(self, arg: Arg, depth: int) -> Affine | None:
        node = arg.node
        if not self.bound(node):
            return Affine((), ((1, arg),))
        if node.op not in _SIGNS:
            product = weighed(arg, 1, self.bound)
            return Affine((product,), ()) if product is not None and product.summed else None
        parts = [self.of(one, depth - 1) for one in operands(arg)] if depth else []
        found = [part for part in parts if part is not None]
        if len(found) < len(node.args) or sum(len(part.products) + len(part.free) for part in found) > LONGEST:
            return None
        signed = [part.times(sign) for part, sign in zip(found, _SIGNS[node.op], strict=False)]
        return Affine(
            tuple(one for part in signed for one in part.products), tuple(one for part in signed for one in part.free)
        )


def weighed(arg: Arg, sign: int, bound: Callable[[Node], bool]) -> Weighed | None:
    """`arg` as a product of something free and something bound, summed over axes."""
    node = arg.node
    if node.op == "reduce" and node.attr("op") == "sum" and node.args[0].node.op == "mul":
        (body,) = operands(arg)
    elif node.op == "mul":
        body = arg
    else:
        return None
    pair = operands(body)
    for weights, value in (pair, pair[::-1]):
        if not bound(weights.node) and bound(value.node):
            found = Weighed(sign, weights, value)
            return found if found.plain else None
    return None


def summands(arg: Arg) -> list[tuple[int, Arg]]:
    """The terms of a sum, each with its sign."""
    found: list[tuple[int, Arg]] = []
    waiting = [(1, arg)]
    while waiting:
        sign, one = waiting.pop()
        if one.node.op in ("add", "sub", "neg") and len(waiting) + len(found) < LONGEST:
            signs = _SIGNS[one.node.op]
            waiting += [(sign * s, part) for s, part in zip(signs, operands(one), strict=False)][::-1]
        else:
            found.append((sign, one))
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------

_SIGNS = {"add": (1, 1), "sub": (1, -1), "neg": (-1,), "expand": (1,)}
