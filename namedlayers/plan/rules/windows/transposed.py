"""What is folded out of a contraction is a transposed convolution: W times X at each position is added to a window.

The fold adds at `stride * position + dilation * kernel - padding`; X has the position and W the kernel axis. Folds
along further axes, of the same positions and weights, join it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.windows.convolution import MOST_SPACE_AXES, plain
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const, size_expr


@dataclass(frozen=True, slots=True)
class Transposed:
    """X (-1 at its space axes), W, what is summed over, and the space axes as in the operation's attribute, but with
    coordinates for positions."""

    x: Arg
    w: Arg
    consumed: tuple[int, ...]
    space: tuple[tuple[Any, ...], ...]


def _of_product(scope: Scope, node: Node) -> Outcome:
    """fold(W @ X)"""
    (arg,) = node.args
    if arg.node.op not in ("contract", "mul") or len(arg.node.args) != 2 or node.kind != Kind.REAL:
        return None
    operands, consumed, kernel = scope.operands(arg), scope.consumed(arg), _kernel(node)
    for x, w in (operands, operands[::-1]):
        if -1 not in x.axes or -1 in w.axes or kernel in x.axes or kernel not in w.axes:
            continue
        if x.node.kind != Kind.REAL or w.node.kind != Kind.REAL or not set(consumed) <= set(x.axes) & set(w.axes):
            return Near("what is summed over is not what both factors have")
        axis = _axis(node, x.axes.index(-1), x.node.sizes[x.axes.index(-1)], scope.sizes[kernel])
        if isinstance(axis, str):
            return Near(axis)
        return Match(Transposed(x, w, (kernel, *consumed), (axis,)), (arg.node,))
    return Near("of the folded axis and the kernel, each factor has to have one")


def _of_transposed(scope: Scope, node: Node) -> Outcome:
    """The fold of one, along another axis"""
    (arg,) = node.args
    if arg.node.op != "conv_transpose" or arg.node.attr("bias") or not scope.once(arg.node):
        return None
    (x, w), consumed, kernel = scope.operands(arg), scope.consumed(arg), _kernel(node)
    old = (*arg.axes, *consumed)
    space = tuple((own, old[p], old[k], *rest) for own, p, k, *rest in arg.node.attr("space"))  # type: ignore[attr-defined]
    new = [own for own, c in enumerate(x.axes) if c == -1 and own not in {axis[0] for axis in space}]
    if len(new) != 1 or kernel in x.axes or kernel not in w.axes or len(space) == MOST_SPACE_AXES:
        return None
    axis = _axis(node, new[0], x.node.sizes[new[0]], scope.sizes[kernel])
    if isinstance(axis, str):
        return Near(axis)
    return Match(Transposed(x, w, (kernel, *consumed), tuple(sorted((*space, axis)))), (arg.node,))


def _of_multiple(scope: Scope, node: Node) -> Outcome:
    """fold(-X), fold(c * X)"""
    (arg,) = node.args
    if arg.node.op not in ("neg", "mul", "div") or not scope.once(arg.node):
        return None
    operands = scope.operands(arg)
    x = operands[0] if arg.node.op == "div" else max(operands, key=lambda one: one.node.rank)
    if any(other.node.rank for other in operands if other is not x) or x.node.kind != node.kind:
        return None
    return Match((arg.node.op, operands, x), (arg.node,))


def _build_multiple(scope: Scope, node: Node, found: tuple[str, tuple[Arg, ...], Arg]) -> Arg:
    op, operands, x = found
    gone = range(node.rank, len(node.space))
    folded = scope.build("fold", (x,), range(node.rank), gone, kind=node.kind, attrs=dict(node.attrs))
    return scope.apply(op, *(folded if one is x else one for one in operands), kind=node.kind)


def _kernel(node: Node) -> int:
    kernel = node.attr("kernel")
    assert isinstance(kernel, int)
    return kernel


def _axis(node: Node, own: int, windows: SizeExpr, taps: SizeExpr) -> tuple[Any, ...] | str:
    """One space axis, or why the kernel does not do it."""
    position = node.attr("axis")
    assert isinstance(position, int)
    stride, dilation, padding, size = (size_expr(node.attr(n)) for n in ("stride", "dilation", "padding", "size"))  # type: ignore[arg-type]
    more = size - ((windows - 1) * stride + dilation * (taps - 1) + const(1) - padding * 2)
    if not more.nonnegative or not ((stride - 1 - more).nonnegative or (dilation - 1 - more).nonnegative):
        return f"the result's size along {node.names[position]} is not one that the kernel makes"
    return own, position, _kernel(node), plain(stride), plain(dilation), plain(padding), plain(more)


def _build(scope: Scope, node: Node, found: Transposed) -> Arg:
    result = tuple(range(node.rank))
    at = {c: k for k, c in enumerate((*result, *found.consumed))}
    attrs = {"space": tuple((own, at[p], at[k], *rest) for own, p, k, *rest in found.space), "bias": False}
    return scope.build("conv_transpose", (found.x, found.w), result, found.consumed, kind=node.kind, attrs=attrs)


RULES = (
    Rule("fold of a multiple", "algebraic", ("fold",), _of_multiple, _build_multiple),
    Rule("transposed convolution", "algebraic", ("fold",), _of_product, _build),
    Rule("transposed convolution over more space", "algebraic", ("fold",), _of_transposed, _build),
)
