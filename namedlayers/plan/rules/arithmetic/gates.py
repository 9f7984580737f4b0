"""A half of an axis that gates the other, and whole slices that drop out: one kernel each.

`X[layer -> (half = 2, layer)]` and slices of half an axis are the same halves.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.view import Product, Scope, constant
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, size_expr


@dataclass(frozen=True, slots=True)
class _Half:
    """`source` with -1 at the axis of which this is the first (0) or the second half (1), along `axis`."""

    source: Arg
    number: int
    axis: int


def _half(scope: Scope, arg: Arg) -> _Half | None:
    """The half that `arg` is."""
    node = arg.node
    entries = node.attr("entries") if node.op == "index" else ()
    if not isinstance(entries, tuple) or len(entries) != 1:
        return None
    (source,) = scope.operands(arg)
    own, terms, offset = entries[0]
    return _sliced(arg, source, own, terms, size_expr(offset)) or _selected(scope, source, own, terms, offset)


def _sliced(arg: Arg, source: Arg, own: int, terms: tuple[tuple[int, SizeExpr], ...], offset: SizeExpr) -> _Half | None:
    """X[axis = 0:n] or X[axis = n:] of 2 n"""
    if len(terms) != 1 or size_expr(terms[0][1]) != 1:
        return None
    position = terms[0][0]
    size = arg.node.sizes[position]
    if source.node.sizes[own] != size * 2 or offset not in (size_expr(0), size):
        return None
    return _Half(source, int(offset == size and size != 0), arg.axes[position])


def _selected(
    scope: Scope, source: Arg, own: int, terms: tuple[tuple[int, SizeExpr], ...], offset: SizeExpr
) -> _Half | None:
    """X[axis -> (half = 2, axis)][half = 0], or 1"""
    split = source.node
    number = size_expr(offset).value
    if terms or split.op != "split" or number not in (0, 1):
        return None
    into = split.attr("into")
    if not isinstance(into, tuple) or len(into) != 2 or into[0] != own or split.sizes[own] != 2:
        return None
    (whole,) = split.args
    axis = split.attr("axis")
    inner = tuple(-1 if p == axis else source.axes[p] for p in whole.axes)
    return _Half(Arg(whole.node, inner), number, source.axes[into[1]])


def _gated(scope: Scope, node: Node) -> Outcome:
    """One half times the sigmoid of the other"""
    if node.kind is not Kind.REAL:
        return None
    for value, gate in (node.args, node.args[::-1]):
        if gate.node.op != "sigmoid" or not scope.once(gate.node):
            continue
        (inner,) = scope.operands(gate)
        first, second = _half(scope, value), _half(scope, inner)
        if first is None or second is None or (first.source, first.axis) != (second.source, second.axis):
            continue
        if (first.number, second.number) != (0, 1):
            return Near("the kernel gates the first half by the second")
        if sorted(value.axes) == sorted(inner.axes) == list(range(node.rank)):
            return Match(first, (value.node, gate.node, inner.node))
    return None


def _build_gated(scope: Scope, node: Node, found: _Half) -> Arg:
    return scope.build("glu", (found.source,), range(node.rank), kind=node.kind, attrs={"axis": found.axis})


# --- whole slices that drop out ---------------------------------------------------------------------------------------


def _dropped(scope: Scope, node: Node) -> Outcome:
    """X times what is 0, with probability 1 - q, or else 1 / q, over some of its axes"""
    if node.kind is not Kind.REAL or not node.rank:
        return None
    product = scope.product(scope.whole(), scope.once)
    draws = [one for one in product.top if one.node.op == "random" and one.node.attr("distribution") == "bernoulli"]
    if len(draws) != 1 or not scope.once(draws[0].node):
        return None
    (draw,) = draws
    (q,) = scope.operands(draw)
    rest = [one for one in product.top if one != draw]
    if len(rest) != 1 or not _inverse(product, q) or not draw.axes:
        return None
    (x,) = rest
    if x.node.kind is not Kind.REAL or sorted(x.axes) != list(range(node.rank)):
        return None
    return Match((x, draw, q), (draw.node, *product.nodes))


def _inverse(product: Product, q: Arg) -> bool:
    """Whether a product divides by q, a number above 0, besides what stands above."""
    value = constant(q.node)
    if value is None:
        return product.number == 1 and product.bottom == (q,) and _is_number(q.node)
    if isinstance(value, complex) or isinstance(product.number, complex) or product.bottom or not 0 < value <= 1:
        return False
    return abs(product.number * value - 1) <= 1e-12


def _is_number(node: Node) -> bool:
    """A number that is given at the call, or one less it."""
    if node.op == "sub" and constant(node.args[0].node) is not None:
        node = node.args[1].node
    return node.op == "input" and node.weak and not node.rank


def _build_dropped(scope: Scope, node: Node, found: tuple[Arg, Arg, Arg]) -> Arg:
    x, draw, q = found
    attrs = {"axes": tuple(sorted(draw.axes)), "site": draw.node.attr("site")}
    return scope.build("slice_dropout", (x, q), range(node.rank), kind=node.kind, attrs=attrs)


RULES = (
    Rule("gated half", "exact", ("mul",), _gated, _build_gated),
    Rule("slices that drop out", "exact", ("mul", "div"), _dropped, _build_dropped),
)
