"""An update of a recurrent cell as a function of its pre-activations, of what enters as it is, and of the states.

In: an update, its axes labelled by the positions of the state's axes. Out: a `Reading`: what it is a function of, and
its values at given points. What always holds: each value is looked at once, however often it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from namedlayers.plan.rule import Near
from namedlayers.plan.scans import cells
from namedlayers.plan.scans.affine import Affine, Affines, operands
from namedlayers.plan.scans.block import Block
from namedlayers.plan.view import constant
from namedlayers.program.graph import Arg, Node

DEEPEST = 100
"""Updates nested deeper are not looked into."""


@dataclass(slots=True)
class Reading:
    """`gates` are pre-activations, `entering` values free of carried ones, `states` the labels of the carried values;
    `constants` the sizes of the numbers that stand in the update; `choosing`: whether it makes choices; `reason`: why
    it is not understood."""

    block: Block
    affines: Affines
    gates: list[tuple[Arg, Affine]] = field(default_factory=list)
    entering: list[Arg] = field(default_factory=list)
    states: dict[int, Arg] = field(default_factory=dict)
    constants: list[float] = field(default_factory=list)
    choosing: bool = False
    reason: Near | None = None
    _seen: set[Arg] = field(default_factory=set)

    def leaves(self, arg: Arg, depth: int = DEEPEST) -> bool:
        """Collects what the update is a function of; False if it is none that can be told by its values."""
        node = arg.node
        if arg in self._seen:
            return True
        self._seen.add(arg)
        if node.op == "input" and node.number in self.block.unsolved:
            return self.states.setdefault(node.number, arg) == arg
        if not self.block.open(node):
            return self._free(arg)
        found = self.affines.of(arg)
        if found is not None and found.products:
            self.gates.append((arg, found))
            return True
        if not depth or (node.op != "expand" and node.op not in cells.ANALYTIC and node.op not in cells.CHOOSING):
            self.reason = self.reason or _why_not(node)
            return False
        self.choosing |= node.op in cells.CHOOSING
        # All of them, so that what is a product with the state is seen even if something else is not understood.
        understood = [self.leaves(one, depth - 1) for one in operands(arg)]
        return all(understood)

    def at(self, arg: Arg, known: dict[Arg, cells.Array]) -> cells.Array:
        """The value at the points at which the leaves are `known`."""
        if arg not in known:
            value = constant(arg.node)
            parts = [] if value is not None else [self.at(one, known) for one in operands(arg)]
            function = cells.ANALYTIC.get(arg.node.op) or cells.CHOOSING.get(arg.node.op)
            if value is not None:
                known[arg] = np.full(cells.POINTS, value, dtype=float)
            else:
                known[arg] = parts[0] if function is None else function(*parts)
        return known[arg]

    def _free(self, arg: Arg) -> bool:
        value = constant(arg.node)
        if value is None:
            self.entering.append(arg)
        elif not isinstance(value, complex):
            self.constants.append(abs(value))
        return not isinstance(value, complex)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _why_not(node: Node) -> Near | None:
    if node.op == "reduce" and node.attr("op") == "sum":
        return Near(
            "weights are applied to something else than the state itself (torch's GRU resets after the product)",
            node.spans,
        )
    return None
