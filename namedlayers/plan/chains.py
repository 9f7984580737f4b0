"""Chains of matrices: contractions whose orders are too many for variants, but quickly compared at the call.

In: a contraction. Out: its operands in the order of the chain, with the axes between them; for sizes that are known,
the cheapest order. What always holds: each matrix has one axis in common with the next, which is summed over; both ends
stay; all other axes stay and are batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from opt_einsum.paths import ssa_to_linear

from namedlayers.plan.search import HELD, Path
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

FEWEST = 4
"""Of three matrices there are two orders, of four there are five."""

Shape = tuple[int, ...]

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


def cheapest(shapes: tuple[Shape, ...]) -> Tree:
    """The cheapest order, the first of those that cost the same.

    >>> cheapest(((8, 2), (2, 8), (8, 1)))
    (0, (1, 2))
    """
    count = len(shapes)
    ends = [*(shape[-2] for shape in shapes), shapes[-1][-1]]
    best: dict[tuple[int, int], tuple[float, Tree, Shape]] = {
        (k, k): (0.0, k, shape[:-2]) for k, shape in enumerate(shapes)
    }
    for length in range(1, count):
        for start in range(count - length):
            stop = start + length
            batch = _broadcast(best[start, start][2], best[start + 1, stop][2])
            made = prod(batch) * ends[start] * ends[stop + 1]
            costs = [
                best[start, at][0] + best[at + 1, stop][0] + made * (2 * ends[at + 1] + HELD)
                for at in range(start, stop)
            ]
            at = start + costs.index(min(costs))
            best[start, stop] = min(costs), (best[start, at][1], best[at + 1, stop][1]), batch
    return best[0, count - 1][1]


def cheapest_path(node: Node, found: Chain, sizes: Mapping[str, int]) -> Path:
    """The order that a call with these sizes takes, of the operands as they stand in the contraction."""
    length = [size.evaluate(sizes) for size in node.space]
    batch = [axis for axis in range(node.rank) if axis not in (found.axes[0], found.axes[-1])]
    shapes = []
    for number, rows, columns in zip(found.matrices, found.axes, found.axes[1:], strict=False):
        own = node.args[number].axes
        shapes.append((*(length[axis] if axis in own else 1 for axis in batch), length[rows], length[columns]))
    pairs: list[tuple[int, int]] = []

    def number_of(order: Tree) -> int:
        if isinstance(order, int):
            return found.matrices[order]
        pairs.append((number_of(order[0]), number_of(order[1])))
        return len(shapes) + len(pairs) - 1

    number_of(cheapest(tuple(shapes)))
    return tuple(tuple(sorted(pair)) for pair in ssa_to_linear(pairs))


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


def _broadcast(one: Shape, other: Shape) -> Shape:
    """`torch.broadcast_shapes`, of which a traced graph would keep the calls."""
    length = max(len(one), len(other))
    padded = [(1,) * (length - len(shape)) + tuple(shape) for shape in (one, other)]
    return tuple([b if a == 1 else a for a, b in zip(*padded, strict=True)])
