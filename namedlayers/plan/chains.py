"""Chains of matrices: contractions whose orders are too many for variants, but quickly compared at the call.

In: a contraction. Out: its operands in the order of the chain, with the axes between them. What always holds: each
matrix has one axis in common with the next, which is summed over; both ends stay; all other axes stay and are batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from namedlayers.plan.search import Path
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

FEWEST = 4
"""Of three matrices there are two orders, of four there are five."""

Tree = int | tuple["Tree", "Tree"]
"""A matrix by its number in the chain, or the product of two."""


@dataclass(frozen=True, slots=True)
class Chain:
    """`matrices`: numbers of operands, in order; `axes`: one more than these, the ends first and last."""

    matrices: tuple[int, ...]
    axes: tuple[int, ...]


def chain(node: Node) -> Chain | None:
    """The chain that a contraction is, if its sizes are not known and its orders are many."""
    if node.op != "contract" or len(node.args) < FEWEST or node.kind not in (Kind.REAL, Kind.COMPLEX):
        return None
    inner = frozenset(range(node.rank, len(node.space)))
    links = {axis: [k for k, arg in enumerate(node.args) if axis in arg.axes] for axis in inner}
    if all(size.value is not None for size in node.space) or any(len(pair) != 2 for pair in links.values()):
        return None
    if any(len(set(arg.axes)) < len(arg.axes) for arg in node.args):
        return None
    found = _followed(node, links)
    return found if found is not None and len(found.matrices) == len(node.args) else None


def tree(path: Path, matrices: Sequence[int]) -> Tree:
    """An order of pairwise steps, of operands that stand in the chain as `matrices` says.

    >>> tree(((1, 2), (0, 1)), (2, 1, 0))
    ((0, 1), 2)
    """
    here: list[Tree] = [matrices.index(k) for k in range(len(matrices))]
    for pair in path:
        left, right = sorted((here[k] for k in pair), key=_first)
        here = [one for k, one in enumerate(here) if k not in pair]
        here.append((left, right))
    return here[0]


def between_neighbours(order: Tree) -> bool:
    """Whether an order multiplies neighbours only."""
    return _span(order) is not None


# --- helpers ----------------------------------------------------------------------------------------------------------


def _followed(node: Node, links: dict[int, list[int]]) -> Chain | None:
    """From one end, which has one link, to the other."""
    of = {k: [axis for axis, pair in links.items() if k in pair] for k in range(len(node.args))}
    ends = [k for k, axes in of.items() if len(axes) == 1]
    if len(ends) != 2 or any(len(axes) > 2 for axes in of.values()):
        return None
    matrices, axes = [ends[0]], []
    while of[matrices[-1]]:
        (axis,) = of[matrices[-1]][:1]
        (following,) = (k for k in links[axis] if k != matrices[-1])
        of[matrices[-1]].remove(axis)
        of[following].remove(axis)
        matrices.append(following)
        axes.append(axis)
    first, last = (_end(node, k) for k in (matrices[0], matrices[-1]))
    return Chain(tuple(matrices), (first, *axes, last)) if first is not None and last is not None else None


def _end(node: Node, number: int) -> int | None:
    """The axis that stays and that no other operand has, if there is just one."""
    others = {axis for k, arg in enumerate(node.args) if k != number for axis in arg.axes}
    own = [axis for axis in node.args[number].axes if axis < node.rank and axis not in others]
    return own[0] if len(own) == 1 else None


def _first(order: Tree) -> int:
    return order if isinstance(order, int) else _first(order[0])


def _span(order: Tree) -> tuple[int, int] | None:
    if isinstance(order, int):
        return order, order
    left, right = _span(order[0]), _span(order[1])
    return (left[0], right[1]) if left and right and left[1] + 1 == right[0] else None
