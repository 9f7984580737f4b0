"""A value on its way through the emission: what holds it, and which axis each of its dimensions is.

In: made by `Lowering`. Out: read by the emitters. What always holds: `axes` lists each axis once, one a dimension; an
axis of the node that is not in `axes` is broadcast (the value is the same along it), so that nothing is expanded
before something needs it.

Axes are positions in the index space of the node that is being emitted; an operand's axis that only an attribute speaks
of (-1 in its `Arg`) is `own(k)`, a negative number.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from namedlayers.program.program import Kind

Number = bool | int | float | complex


@dataclass(frozen=True, slots=True)
class Value:
    """`held` is a tensor's node, a number's node, or a Python number; `number` tells whether it is a number.

    `weak`: it is made of numbers without a precision (indices, conditions, coordinates), so that a real value has the
    working precision and takes the one that it meets.
    """

    held: fx.Node | Number
    axes: tuple[int, ...]
    kind: Kind
    weak: bool = False
    number: bool = False

    @property
    def literal(self) -> bool:
        """Whether this is a number that is known now."""
        return not isinstance(self.held, fx.Node)

    def dim(self, axis: int) -> int:
        return self.axes.index(axis)


def own(axis: int) -> int:
    """The label of an operand's own axis number `axis` where the index space has no place for it.

    >>> own(0), own(2)
    (-1, -3)
    """
    return -1 - axis


def adjacent(axes: tuple[int, ...], group: tuple[int, ...]) -> bool:
    """Whether `group` lies in `axes` in one piece and in this order, so that flattening it is a view.

    >>> adjacent((4, 2, 3), (2, 3)), adjacent((4, 2, 3), (3, 2)), adjacent((4, 2, 3), ())
    (True, False, True)
    """
    if not group:
        return True
    start = axes.index(group[0])
    return axes[start : start + len(group)] == group
