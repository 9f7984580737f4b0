"""What the emitters of single operations stand on, and the table of emitters.

In: a planned graph and its program. Out: an `fx.Graph` of public torch operations, and for each node of the plan a
`Value`. What always holds: an emitter sees its operands' axes as positions in its own node's index space.

`Lowering` is made of layers, each a module of its own: `calls`, `sizes`, `precision`, `layout`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from namedlayers.emit.layout import Layout
from namedlayers.emit.names import Names, identifier
from namedlayers.emit.prologue import Prologue
from namedlayers.emit.value import Value, own
from namedlayers.errors import Span
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Program
from namedlayers.program.size import SizeExpr

if TYPE_CHECKING:
    from namedlayers.emit.bodies import Bodies

Emitter = Callable[["Lowering", Node], Value]
EMITTERS: dict[str, Emitter] = {}
"""The emitter of each operation of a planned graph."""


def emits(*ops: str) -> Callable[[Emitter], Emitter]:
    """Declares the emitter of some operations."""

    def register(emitter: Emitter) -> Emitter:
        for op in ops:
            assert op not in EMITTERS, op
            EMITTERS[op] = emitter
        return emitter

    return register


class Lowering(Layout):
    """Attributes, beside those of the layers: `values` by node number; `wants`, the order of axes that users of a node
    like best; `users` by node number; `results`, the nodes that the graph gives; `finals`, the last node of a span of
    the text; `bodies`, the functions of bodies; `bundles`, for each node that runs a body what its parts are."""

    def __init__(
        self, program: Program, prologue: Prologue, names: Names, bodies: Bodies,
        floors: Sequence[tuple[SizeExpr, SizeExpr]] = (), optimistic: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(program, prologue, names, floors, optimistic)
        self.bodies = bodies
        self.values: dict[int, Value] = {}
        self.users: dict[int, list[Node]] = {}
        self.results: frozenset[Node] = frozenset()
        self.bundles: dict[int, dict[Node, Value]] = {}
        self.wants: dict[int, tuple[int, ...]] = {}
        self.finals: dict[Span, int] = {}
        self._statements = {
            (s.source.start, s.source.end): s.name for s in program.statements if identifier(s.name).strip("_")
        }

    def operand(self, arg: Arg) -> Value:
        """The operand with its axes in the user's index space; an axis that occurs twice is read along the diagonal."""
        value = self.values[arg.node.number]
        axes = tuple(own(k) if arg.axes[k] < 0 else arg.axes[k] for k in value.axes)
        value = Value(value.held, axes, value.kind, value.weak, value.number)
        for axis in sorted({a for a in axes if axes.count(a) > 1}):
            while value.axes.count(axis) > 1:
                first = value.axes.index(axis)
                second = value.axes.index(axis, first + 1)
                left = tuple(a for d, a in enumerate(value.axes) if d not in (first, second))
                value = self.call(
                    "diagonal", (value, 0, first, second), (*left, axis), kind=value.kind, weak=value.weak, inline=True
                )
        return value

    def operands(self, node: Node) -> list[Value]:
        return [self.operand(arg) for arg in node.args]

    def wanted(self) -> tuple[int, ...]:
        """The order in which the result's axes are liked best by whoever uses it."""
        return self.wants.get(self.node.number, tuple(range(self.node.rank)))

    def statement_name(self, node: Node) -> str:
        """The name of the statement that a node computes, if it is one."""
        for span in node.spans:
            name = self._statements.get((span.start, span.end))
            if name is not None and self.finals.get(span) == node.number:
                return name
        return ""
