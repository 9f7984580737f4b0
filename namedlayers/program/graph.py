"""The program as a value-numbered graph of operations: what the rules of `plan/` read and add to.

In: nodes made through `Graph.node`, which returns the node that is already there if an equal one is. Out: nodes whose
axes are positions, so that two values equal up to the names of their axes are one node. What always holds: an operand
is older than its user; nothing is ever removed or changed; the order of nodes is the same for every hash seed.

A node's *index space* are its result axes, positions 0 … rank-1, then the axes that it consumes (reduces over).
An `Arg` says where each axis of the operand lies in the user's index space (-1: the operation's attributes say).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from namedlayers.errors import Span
from namedlayers.program.program import Body, Kind
from namedlayers.program.size import SizeExpr

Attrs = tuple[tuple[str, Hashable], ...]


@dataclass(frozen=True, slots=True)
class Arg:
    """An operand: a node and, for each of its axes in order, the position in the user's index space."""

    node: Node
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value. Compared by identity: `Graph` makes equal ones the same object.

    `op` is `input`, `const`, `size`, `coord`, a unary, binary or (`reduce`, with attribute `op`) reduction name of
    `terms`, a primitive's name, or an operation that a rule of `plan/` introduced.
    `space` are the sizes of the index space, `rank` how many of them the result's. `weak`: it is made of no real
    numbers but of indices, conditions, coordinates, so it takes the precision that it meets. `names` are for people,
    one for each position of the index space.
    """

    number: int
    op: str
    attrs: Attrs
    args: tuple[Arg, ...]
    space: tuple[SizeExpr, ...]
    rank: int
    kind: Kind
    weak: bool
    names: tuple[str, ...]
    spans: tuple[Span, ...] = ()
    rule: str = ""

    @property
    def sizes(self) -> tuple[SizeExpr, ...]:
        """The sizes of the result's axes."""
        return self.space[: self.rank]

    def attr(self, name: str) -> Hashable:
        for own, value in self.attrs:
            if own == name:
                return value
        raise KeyError(name)

    def __repr__(self) -> str:
        args = ", ".join(f"%{a.node.number}{list(a.axes)}" for a in self.args)
        attrs = "".join(f" {k}={v}" for k, v in self.attrs)
        return f"%{self.number} = {self.op}({args}){attrs} [{', '.join(self.names[: self.rank])}]"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Region:
    """A body with its own graph, whose first nodes are the body's inputs, in order. Compared by identity.

    It is the attribute `region` of a node `call` or `scan`, a *bundle* of rank 0 of which each `part` takes one value.
    Such a node's attribute `places` says for each operand which axis (by position) of the body's input each of its axes
    is; -1: the axis that a `scan` steps along.
    """

    body: Body
    graph: Graph

    def __repr__(self) -> str:
        return f"<{self.body.name}>"


@dataclass(slots=True)
class Graph:
    """Nodes in order, and which are the results (each with the order of axes that callers get).

    `states` are the names of inputs that a layer holds, and `stored` the numbers of results that it only stores: no
    gradient flows into either.
    """

    nodes: list[Node] = field(default_factory=list)
    outputs: list[Arg] = field(default_factory=list)
    states: frozenset[str] = frozenset()
    stored: frozenset[int] = frozenset()
    _table: dict[Hashable, Node] = field(default_factory=dict, repr=False)

    def node(
        self,
        op: str,
        args: tuple[Arg, ...],
        space: tuple[SizeExpr, ...],
        rank: int,
        kind: Kind,
        *,
        attrs: Mapping[str, Hashable] | None = None,
        weak: bool | None = None,
        names: tuple[str, ...] = (),
        spans: tuple[Span, ...] = (),
        rule: str = "",
    ) -> Node:
        """The node of this operation on these operands, an existing one where there is one.

        `weak` defaults to "all operands are weak", and what is not real is.
        """
        listed = tuple(sorted((attrs or {}).items()))
        weak = kind < Kind.REAL or all(a.node.weak for a in args) if weak is None else weak
        key = (op, listed, tuple((a.node.number, a.axes) for a in args), space, rank, kind, weak)
        found = self._table.get(key)
        if found is None:
            names = names or tuple(f"a{k}" for k in range(len(space)))
            found = Node(len(self.nodes), op, listed, args, space, rank, kind, weak, names, spans, rule)
            self.nodes.append(found)
            self._table[key] = found
        return found

    def has(self, node: Node) -> bool:
        """Whether it is a node of this graph, not one that is numbered alike in another."""
        return node.number < len(self.nodes) and self.nodes[node.number] is node

    def live(self) -> list[Node]:
        """The nodes that the outputs need, in order."""
        needed: set[int] = set()
        waiting = [arg.node for arg in self.outputs]
        while waiting:
            node = waiting.pop()
            if node.number not in needed:
                needed.add(node.number)
                waiting += [arg.node for arg in node.args]
        return [node for node in self.nodes if node.number in needed]

    def users(self) -> dict[int, list[Node]]:
        """For each live node's number the live nodes that use it."""
        found: dict[int, list[Node]] = {}
        for node in self.live():
            for number in dict.fromkeys(arg.node.number for arg in node.args):
                found.setdefault(number, []).append(node)
        return found

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)
