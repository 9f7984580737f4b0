"""Which operands of a contraction have to be copied before a matrix product can take them.

In: an operand that comes from outside, whose axes lie in memory as the caller laid them, and what it is multiplied
with. Out: whether it is moved. What always holds: what a contraction makes itself is laid as its next step likes it
(`emit/emitters/pairwise.py`), so that only operands from outside are asked about.

A matrix product takes each of these groups of axes as one: those of the batch, those that are summed over, and those
that only this operand has. What lies in two pieces is copied; and so is a matrix whose batch lies innermost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from namedlayers.program.graph import Arg


def fixed(arg: Arg) -> tuple[int, ...] | None:
    """How an operand's axes lie, if that is not ours to choose; an axis that occurs twice is read along the diagonal,
    which nobody copies."""
    if arg.node.op != "input" or len(set(arg.axes)) < len(arg.axes) or any(axis < 0 for axis in arg.axes):
        return None
    return arg.axes


def is_moved(layout: Sequence[int], other: Collection[int], kept: Collection[int]) -> bool:
    """Whether an operand whose axes lie like this is copied for a product with one that has the axes `other`, of which
    `kept` stay.

    >>> is_moved((0, 1, 2), (1, 3), (0, 2, 3)), is_moved((0, 1, 2), (2, 3), (0, 1, 3))
    (True, False)
    """
    layout = [axis for axis in layout if axis in other or axis in kept]  # others are summed over beforehand
    inner = [axis for axis in layout if axis in other and axis not in kept]
    if not inner:
        return False
    batch = [axis for axis in layout if axis in other and axis in kept]
    free = [axis for axis in layout if axis not in other]
    if batch and layout[-1] in batch:  # of vectors, products are summed as they lie
        return bool(free) and any(axis in kept and axis not in layout for axis in other)
    return not all(_in_one_piece(layout, group) for group in (batch, inner, free))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _in_one_piece(layout: Sequence[int], group: Sequence[int]) -> bool:
    if not group:
        return True
    start = layout.index(group[0])
    return list(layout[start : start + len(group)]) == list(group)
