"""Derivatives of activations, and of losses of single differences.

What always holds: where torch has a kernel of the derivative, it is that (`slope`), so that kinks are torch's.
"""

from __future__ import annotations

from collections.abc import Mapping

from namedlayers.plan.scans.derivatives.term import Back, Term, consumed, result, slope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr


def _gelu(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    (x,) = operands
    return (g * slope(x, {"none": "gelu", "tanh": "gelu_tanh"}[str(node.attr("approximate"))]),)


def _activation(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """Numbers are not differentiated."""
    x, *numbers = operands
    function = str(node.attr("function"))
    by = (-x)("sigmoid") if function == "log_sigmoid" else slope(x, function, *numbers)
    return g * by, *(None for _ in numbers)


def _prelu(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    x, a = operands
    above = x("gt", 0)
    return g * above.chosen(1, a), g * above.chosen(0, x)


def _glu(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    (x,) = operands
    axis = node.attr("axis")
    assert isinstance(axis, int)
    halves = node.args[0].axes.index(-1)
    sizes: tuple[SizeExpr, ...] = (node.sizes[axis],) * 2
    axes = tuple(-1 if k == halves else c for k, c in enumerate(x.arg.axes))

    def half(number: int) -> Term:
        found = x.scope.build(
            "piece", (Arg(x.arg.node, axes),), range(node.rank), kind=Kind.REAL, weak=x.arg.node.weak,
            attrs={"axis": axis, "number": number, "sizes": sizes},
        )  # fmt: skip
        return Term(x.scope, found)

    value, gate = half(0), half(1)("sigmoid")
    first = g * gate
    pair = [Arg(one.arg.node, tuple(-1 if c == axis else c for c in one.arg.axes))
            for one in (first, first * value * (1 - gate))]  # fmt: skip
    coordinate = x.arg.axes[halves]
    order = tuple(coordinate if c == axis else c for c in range(node.rank))
    joined = x.scope.build("concat", pair, order, kind=Kind.REAL, weak=False, attrs={"axis": axis})
    return (Term(x.scope, joined),)


def _difference(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...] | None:
    """The mean of no differences has no slopes: there are none."""
    x, y, *numbers = operands
    if str(node.attr("reduction")) == "mean":
        for c in consumed(node):
            g = g / Term(g.scope, g.scope.size(g.scope.sizes[c]))
    function = str(node.attr("function"))
    if function == "entropy":
        return _entropy(g, x, y, numbers)
    d = x - y
    by = d * 2 if function == "square" else d("maximum", -numbers[0])("minimum", numbers[0])
    return g * by, -(g * by), *(None for _ in numbers)


def _entropy(g: Term, x: Term, y: Term, weights: list[Term]) -> tuple[Term | None, ...]:
    s = x("sigmoid")
    if not weights:
        return g * (s - y), -(g * x)
    (w,) = weights
    lack = (-x)("softplus")
    scaled = w * y
    return g * ((scaled + 1 - y) * s - scaled), g * ((w - 1) * lack - x), g * (y * lack)


TABLE: Mapping[str, Back] = {
    "relu": lambda node, g, operands: (g * slope(result(node, g), "relu"),),
    "sigmoid": lambda node, g, operands: (g * slope(result(node, g), "sigmoid"),),
    "softplus": lambda node, g, operands: (g * operands[0]("sigmoid"),),
    "silu": lambda node, g, operands: (g * slope(operands[0], "silu"),),
    "gelu": _gelu,
    "activation": _activation,
    "prelu": _prelu,
    "glu": _glu,
    "difference": _difference,
}
