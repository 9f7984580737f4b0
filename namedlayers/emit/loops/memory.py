"""Which values of a step lie in the same memory, one after the other.

In: the fx graph of a step, the nodes that can be written into memory which is there, the places of results, sequences
that may be written over. Out: the `Memory` of each of these nodes, but for those that are allocated at each step. What
always holds: when a value is written, nothing needs what lay there before; values that share memory have the same axes
and are of one kind (whether of one precision and size, the first step tells).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import fx

from namedlayers.emit.loops.rewritten_steps import elementwise, writer, written
from namedlayers.emit.loops.step_values import FRESH, is_view, rank


@dataclass(eq=False)
class Memory:
    """`home`: the first step's tensor of the node by which it is `known`, kept; or a tensor that is made at each step;
    or a step of a sequence, known by its input; or a step's place in a result. `nodes` lie there in this order."""

    home: Literal["kept", "fresh", "sequence", "place"]
    known_by: fx.Node
    nodes: list[fx.Node] = field(default_factory=list)

    @property
    def viewed(self) -> bool:
        return any(is_view(user) for node in self.nodes for user in node.users)


def shared(
    graph: fx.Graph, free: Sequence[fx.Node], rolling: Mapping[fx.Node, fx.Node], places: Mapping[fx.Node, int],
    owned: Collection[fx.Node], made: Collection[fx.Node],
) -> dict[fx.Node, Memory]:  # fmt: skip
    """The memory of the nodes that have one. `rolling` nodes are written over what was handed on, behind what
    needs that last; `places` are the
    nodes that have one in a result; `owned` sequences may be written over; `made` is what a step returns."""
    return _Sharing(graph, set(free), rolling, places, owned, made).run()


def over(node: fx.Node, memory: Mapping[fx.Node, Memory]) -> bool:
    """Whether a node is computed by a function that writes over its first operand."""
    found, first = writer(node), node.args[0] if node.args else None
    if found is None or found.over is None or not isinstance(first, fx.Node):
        return False
    own = memory[node]
    return first in own.nodes or own.known_by is first


def behind(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes whose memory these values may be: what goes through anything but a computation may be a view."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            if may_be_view(node):
                waiting += node.all_input_nodes
    return found


def may_be_view(node: fx.Node) -> bool:
    """Whether a value may lie in the memory of an operand."""
    return writer(node) is None and node.target not in FRESH


def follows(node: fx.Node, last: fx.Node, place: Callable[[fx.Node], int]) -> bool:
    """Whether a node may write over what another needs, which is the last to do so."""
    return place(node) > place(last) or (node is last and elementwise(node))


def into_sequences(
    memory: dict[fx.Node, Memory], places: Mapping[fx.Node, int], owned: Collection[fx.Node]
) -> dict[int, fx.Node]:  # fmt: skip
    """Of results, by number, which sequence each step writes over instead of a place: one in which an operand lies of
    what is written there first, and that nothing else needs. What lies in the place lies in the sequence then, in
    `memory` too."""
    found: dict[int, fx.Node] = {}
    for node, number in places.items():
        own = memory[node]
        first = own.nodes[0]
        how, operand = writer(first), first.args[0] if first.args else None
        if own.home != "place" or own.viewed or first.kwargs or not isinstance(operand, fx.Node) or how is None:
            continue
        whose = memory.get(operand) or Memory("sequence", operand)
        if whose.home != "sequence" or whose.viewed or whose.nodes[-1:] not in ([], [operand]):
            continue
        like = operand.meta.get("kind") is first.meta.get("kind") and rank(operand) == rank(first)
        writes = isinstance(how.over, str) or written(first) is not None
        alone = list(operand.users) == [first] and first.args.count(operand) == 1
        fits = like and writes and alone and (elementwise(first) or first.target is torch.addmm)
        if fits and whose.known_by in owned and whose.known_by not in found.values():
            whose.nodes += own.nodes
            memory |= dict.fromkeys(own.nodes, whose)
            found[number] = whose.known_by
    return found


def at_once(node: fx.Node) -> bool:
    """Whether a node's operation can write over its one operand, which nothing else needs, and so over all steps of a
    sequence in one call."""
    found, operands = writer(node), node.all_input_nodes
    alone = len(node.args) == 1 and not node.kwargs and all(len(one.users) == 1 for one in operands)
    return found is not None and isinstance(found.over, str) and alone


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Sharing:
    def __init__(
        self, graph: fx.Graph, free: Collection[fx.Node], rolling: Mapping[fx.Node, fx.Node],
        places: Mapping[fx.Node, int], owned: Collection[fx.Node], made: Collection[fx.Node],
    ) -> None:  # fmt: skip
        self.free, self.rolling, self.places, self.owned, self.made = free, rolling, places, owned, set(made)
        self.order = {node: place for place, node in enumerate(graph.nodes)}
        self.memory: dict[fx.Node, Memory] = {}

    def run(self) -> dict[fx.Node, Memory]:
        for node in self.order:
            if node in self.places:
                self._put(node, "place", self._moved_to_place)
            elif node in self.rolling:
                self._put(node, "kept", self._rolled)
            elif node in self.free:
                self._put(node, "kept", self._joined)
            elif node.target in FRESH:
                self.memory[node] = Memory("fresh", node, [node])
        return self.memory

    def _put(self, node: fx.Node, home: Literal["kept", "place"], join: Callable[[fx.Node, fx.Node], bool]) -> None:
        operands = [one for one in node.args if isinstance(one, fx.Node)]
        if any(self._dead_at(one, node) and join(one, node) for one in operands):
            return
        if written(node) is not None:
            self.memory[node] = Memory(home, node, [node])
        elif home == "kept" and node not in self.made:
            self.memory[node] = Memory("fresh", node, [node])

    def _dead_at(self, operand: fx.Node, node: fx.Node) -> bool:
        """Whether nothing but a node needs an operand that lies in memory, so that the node may be written there."""
        summand = node.target is torch.addmm and operand is node.args[0]
        if operand in self.owned:
            if _viewed(node) or not (at_once(node) or (summand and rank(operand) == 2)):
                return False  # views would have to be taken at each step
        elif operand not in self.memory or rank(operand) != rank(node) or operand.kwargs.get("keepdim"):
            return False
        if operand in self.made or operand.meta.get("kind") is not node.meta.get("kind"):
            return False
        if not (summand or elementwise(node)) or (summand and operand in node.args[1:]):
            return False
        # A view of what is written over is read at other places than it is written.
        others = [one for one in node.all_input_nodes if one is not operand]
        if any(operand in behind([one]) for one in others):
            return False
        return all(self.order[user] <= self.order[node] for user in self._users(operand))

    def _joined(self, operand: fx.Node, node: fx.Node) -> bool:
        """A node in the memory of its operand."""
        if node in self.made:
            return False
        found = self.memory.get(operand) or Memory("sequence", operand)
        if _viewed(node) and (found.home != "kept" or found.viewed):
            return False
        if written(node) is None and not (writer(node).over and node.args[0] is operand):  # type: ignore[union-attr]
            return False
        found.nodes.append(node)
        if _viewed(node):
            found.known_by = node
        self.memory[node] = found
        return True

    def _moved_to_place(self, operand: fx.Node, node: fx.Node) -> bool:
        """The memory of an operand is the place of a result."""
        found = self.memory.get(operand)
        if found is None or found.home != "kept" or found.viewed or set(found.nodes) & set(self.rolling):
            return False
        if written(node) is None and not (writer(node).over and node.args[0] is operand):  # type: ignore[union-attr]
            return False
        found.home, found.known_by = "place", node
        found.nodes.append(node)
        self.memory[node] = found
        return True

    def _rolled(self, operand: fx.Node, node: fx.Node) -> bool:
        """The memory of an operand is that of what was handed on before."""
        found = self.memory.get(operand)
        if found is None or not follows(found.nodes[0], self.rolling[node], self.order.__getitem__):
            return False
        if _viewed(node) or not self._moved_to_place(operand, node):
            return False
        found.home = "kept"
        return True

    def _users(self, node: fx.Node) -> Iterable[fx.Node]:
        """Who needs a value, itself or what may be a view of it."""
        for user in node.users:
            yield user
            if may_be_view(user):
                yield from self._users(user)


def _viewed(node: fx.Node) -> bool:
    return any(is_view(user) for user in node.users)
