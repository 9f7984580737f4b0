"""What a `prefix_product` or `prefix_sum` is made of: the steps of its kernel, and what each touches and writes.

In: the node. Out: `Step`s, for whoever counts operations, elements held or bytes. What always holds: every step is
linear in the places and in the positions; a block has `BLOCK` places, unless sizes are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr, const

BLOCK = 64
PREFIXES = frozenset({"prefix_product", "prefix_sum"})
DECAYS = {"power": 1, "rate": 1, "between": 2}
"""How many operands each decay is made of."""


@dataclass(frozen=True, slots=True)
class Step:
    """`operations` for each element of the product of the sizes `touched`; `made` are those of what is written."""

    touched: tuple[SizeExpr, ...]
    made: tuple[SizeExpr, ...]
    operations: int = 2


def steps(node: Node, length: SizeExpr | None = None) -> tuple[Step, ...]:
    """Products within the blocks, these times the values; sums of keys times values, and what queries see of them.
    Without values the products within are those of another node, most often. Of a sum up to each place: the sum, and
    what is read of it. `length`: that of a block."""
    row, column, inner = axes_of(node)
    if node.op == "prefix_sum" and decays(node):
        return (Step((*node.sizes, const(BLOCK)), node.sizes),)
    if node.op == "prefix_sum":
        return tuple(Step(one, one, 1) for one in (node.args[0].node.sizes, node.sizes))
    block = const(BLOCK) if length is None else length
    query, key, *rest = (set(arg.axes) for arg in factors(node))
    weights = {axis for _, parts in decays(node) for arg in parts for axis in arg.axes}
    value = rest[0] if rest else {column}
    within = (query | key | weights) - {column, *inner}
    values, sums = within | (value - {column}), (key | value | weights - {row}) - {column}

    def sizes(axes: set[int], *more: SizeExpr) -> tuple[SizeExpr, ...]:
        return (*(node.space[axis] for axis in sorted(axes)), *more)

    blocks = (node.space[column] + BLOCK - 1) // BLOCK
    products = Step(sizes(within | {*inner}, block), sizes(within, block))
    return (
        *([products] if rest else []),
        Step(sizes(values, block), sizes(values)),
        Step(sizes(sums, node.space[column]), sizes(sums, blocks)),
        Step(sizes(values | {*inner}), sizes(values)),
    )


def passing(node: Node) -> tuple[tuple[SizeExpr, ...], ...]:
    """The sizes of what a node makes on its way: the products within the blocks, and the sums before them."""
    _, column, inner = axes_of(node)
    within = sorted({axis for arg in node.args[:2] for axis in arg.axes} - {column, *inner})
    return (*(node.space[axis] for axis in within), const(BLOCK)), steps(node)[-2].made


def steps_at(node: Node, evaluated: Callable[[SizeExpr], int]) -> tuple[Step, ...]:
    """The steps for certain sizes: where a block or two are all there is, nothing lies before it."""
    if node.op == "prefix_sum":
        return steps(node)
    row, column, inner = axes_of(node)
    places, positions, *features = (evaluated(node.space[axis]) for axis in (row, column, *inner))
    block = max(BLOCK, prod(features) // 2)
    if min(places, positions) <= 2 * block:
        return steps(node, node.space[column])[:-2]
    return steps(node, const(block))


def factors(node: Node) -> tuple[Arg, ...]:
    """What is multiplied: queries, keys and values, or less of them."""
    return node.args[: len(node.args) - sum(DECAYS[name] for name in _decays(node))]


def decays(node: Node) -> tuple[tuple[str, tuple[Arg, ...]], ...]:
    """By which names what lies far back counts less, and of what."""
    at, found = len(factors(node)), []
    for name in _decays(node):
        found.append((name, node.args[at : at + DECAYS[name]]))
        at += DECAYS[name]
    return tuple(found)


def _decays(node: Node) -> tuple[str, ...]:
    found = node.attr("decays")
    assert isinstance(found, tuple)
    return found


def axes_of(node: Node) -> tuple[int, int, tuple[int, ...]]:
    """The axis of the places, that of the positions, and those that queries and keys are multiplied along."""
    row, column = node.attr("row"), node.attr("column")
    assert isinstance(row, int) and isinstance(column, int)
    return row, column, tuple(axis for axis in range(node.rank, len(node.space)) if axis != column)
