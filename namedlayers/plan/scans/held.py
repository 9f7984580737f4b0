"""A body's value as a node of another graph, with or without the axis of the steps.

In: nodes. Out: `Held`, which says where the axes are. What always holds: no axis is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.size import SizeExpr


@dataclass(frozen=True, slots=True)
class Steps:
    """The axis that a scan goes along."""

    size: SizeExpr
    name: str


@dataclass(frozen=True, slots=True)
class Held:
    """For each axis of the value, which of the node's axes it is; and which one is the axis of the steps (-1: the value
    is the same at every step)."""

    node: Node
    where: tuple[int, ...]
    step: int = -1

    @property
    def stepped(self) -> bool:
        return self.step >= 0

    def arg(self, positions: Sequence[int], step: int = -1) -> Arg:
        """It as an operand: its axes at `positions`, that of the steps at `step`."""
        axes = [step] * self.node.rank
        for axis, position in zip(self.where, positions, strict=True):
            axes[axis] = position
        return Arg(self.node, tuple(axes))


def expanded(graph: Graph, held: Held, steps: Steps) -> Held:
    """The value at every step, where it is the same at all."""
    if held.stepped:
        return held
    node = held.node
    made = graph.node(
        "expand", (held.arg(range(1, node.rank + 1)),), (steps.size, *(node.sizes[k] for k in held.where)),
        node.rank + 1, node.kind, attrs={"axes": (0,)}, weak=node.weak,
        names=(steps.name, *(node.names[k] for k in held.where)), spans=node.spans,
    )  # fmt: skip
    return Held(made, tuple(range(1, made.rank)), 0)


def free_name(name: str, taken: Sequence[str]) -> str:
    """The name, primed until it is none of those taken."""
    while name in taken:
        name += "'"
    return name
