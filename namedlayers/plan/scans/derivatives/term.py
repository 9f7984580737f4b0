"""Nodes of a graph written as formulas: what rules of derivatives are written in.

In: a `Scope` and values in its coordinates. Out: nodes, by the usual operators and by name. What always holds: values
meet along the axes that they share; numbers are constants of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A value in the coordinates of a scope."""

    scope: Scope
    arg: Arg

    def __add__(self, other: Operand) -> Term:
        return self("add", other)

    def __radd__(self, other: Operand) -> Term:
        return self._number(other)("add", self)

    def __sub__(self, other: Operand) -> Term:
        return self("sub", other)

    def __rsub__(self, other: Operand) -> Term:
        return self._number(other)("sub", self)

    def __mul__(self, other: Operand) -> Term:
        return self("mul", other)

    def __rmul__(self, other: Operand) -> Term:
        return self("mul", other)

    def __truediv__(self, other: Operand) -> Term:
        return self("div", other)

    def __rtruediv__(self, other: Operand) -> Term:
        return self._number(other)("div", self)

    def __neg__(self) -> Term:
        return self("neg")

    def __call__(self, op: str, *others: Operand) -> Term:
        """An elementwise operation of which this is the first operand."""
        return Term(self.scope, self.scope.apply(op, self.arg, *(self._number(one).arg for one in others)))

    def chosen(self, yes: Operand, no: Operand) -> Term:
        """One of two reals, as this condition says."""
        pair = (self._number(yes).arg, self._number(no).arg)
        kind = max((one.node.kind for one in pair), key=lambda kind: kind.value)
        return Term(self.scope, self.scope.apply("where", self.arg, *pair, kind=kind))

    def sum(self, coordinates: Iterable[int]) -> Term:
        return Term(self.scope, self.scope.reduce("sum", self.arg, coordinates))

    def _number(self, other: Operand) -> Term:
        return other if isinstance(other, Term) else Term(self.scope, self.scope.number(float(other)))


Operand = Term | float

Back = Callable[[Node, Term, tuple[Term, ...]], "tuple[Term | None, ...] | None"]
"""What comes back to each operand: of the node, what comes back to it, and its operands, of which those axes that an
attribute speaks of (-1) have coordinates of their own. None instead of a tuple: there is no rule for such a node."""


def result(node: Node, g: Term) -> Term:
    """The value of the node itself."""
    return Term(g.scope, Arg(node, tuple(range(node.rank))))


def consumed(node: Node) -> tuple[int, ...]:
    return tuple(range(node.rank, len(node.space)))


def axes_of(node: Node) -> tuple[int, ...]:
    """The axes along which the node computes, as positions of its result."""
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    return axes


def slope(x: Term, function: str, *numbers: Term) -> Term:
    """The derivative of a function of torch at x, by torch's own kernel."""
    args = (x.arg, *(one.arg for one in numbers))
    made = x.scope.build("slope", args, sorted(x.arg.axes), kind=Kind.REAL, attrs={"function": function})
    return Term(x.scope, made)


def softmax_back(g: Term, y: Term, axes: Iterable[int]) -> Term:
    """What comes back through a softmax over `axes` whose value is y."""
    product = g * y
    return product - y * product.sum(axes)
