"""Means over windows that leave padding out of the count: a mean pool over one of 1 where there is something.

Sums are such means times as many, so that their quotient is the same.
"""

from __future__ import annotations

from dataclasses import replace

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Product, Scope, constant, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const, size_expr

Axis = tuple[SizeExpr, ...]
"""How long it is, the kernel, its stride, what is padded before and after."""


def _uncounted(scope: Scope, node: Node) -> Outcome:
    """mean over windows of X, over the mean over windows of 1"""
    if node.kind is not Kind.REAL:
        return None
    product = scope.product(scope.whole())
    for pooled in product.top:
        if not _is_mean(pooled.node) or not scope.once(pooled.node):
            continue
        wanted = _axes(pooled)
        for share in product.bottom:
            if _is_mean(share.node) and _share(scope, share) == wanted:
                rest = _without(product, pooled, share)
                return Match((pooled, rest), (pooled.node, share.node))
    return None


def _is_mean(node: Node) -> bool:
    return node.op == "pool" and node.attr("op") == "mean" and bool(node.attr("counted"))


def _without(product: Product, pooled: Arg, share: Arg) -> Product:
    """What is left; factors that are above and below are neither."""
    top, bottom = list(product.top), list(product.bottom)
    top.remove(pooled)
    bottom.remove(share)
    for factor in list(top):
        if factor in bottom and not factor.node.rank:
            top.remove(factor)
            bottom.remove(factor)
    return replace(product, top=tuple(top), bottom=tuple(bottom))


def _axes(pooled: Arg) -> dict[int, Axis]:
    """What is pooled along each axis of the result."""
    space = pooled.node.attr("space")
    assert isinstance(space, tuple)
    sizes = pooled.node.args[0].node.sizes
    return {
        pooled.axes[position]: (sizes[own], *map(size_expr, (kernel, stride, before, after)))
        for own, position, kernel, stride, _, before, after in space
    }


def _share(scope: Scope, share: Arg) -> dict[int, Axis] | None:
    """The same of a pool of 1, whose padding with 0 may come before it."""
    source = scope.operands(share)[0].node
    padded: dict[int, tuple[SizeExpr, SizeExpr]] = {}
    own_of = {own: own for own in range(source.rank)}  # the axes of what was seen so far, as those of the source
    node = source
    while constant(node) is None:
        if node.op == "pad":
            axis = node.attr("axis")
            assert isinstance(axis, int)
            if node.attr("mode") != "constant" or not is_number(node.args[1], 0) or own_of[axis] in padded:
                return None
            before, after = node.attr("before"), node.attr("after")
            assert isinstance(before, SizeExpr) and isinstance(after, SizeExpr)
            padded[own_of[axis]] = before, after
        elif node.op != "expand":
            return None
        own_of = {k: own_of[axis if p < 0 else p] for k, p in enumerate(node.args[0].axes) for axis in [_axis(node)]}
        node = node.args[0].node
    if constant(node) != 1:
        return None
    space = share.node.attr("space")
    assert isinstance(space, tuple)
    found: dict[int, Axis] = {}
    for own, position, kernel, stride, _, before, after in space:
        more = padded.pop(own, (const(0), const(0)))
        length = source.sizes[own] - more[0] - more[1]
        sides = (size_expr(before) + more[0], size_expr(after) + more[1])
        found[share.axes[position]] = (length, size_expr(kernel), size_expr(stride), *sides)
    return found if not padded else None


def _axis(node: Node) -> int:
    axis = node.attr("axis") if node.op == "pad" else -1
    assert isinstance(axis, int)
    return axis


def _build_uncounted(scope: Scope, node: Node, found: tuple[Arg, Product]) -> Arg:
    pooled, rest = found
    attrs = dict(pooled.node.attrs) | {"counted": False}
    made = scope.build(
        "pool", scope.operands(pooled), sorted(pooled.axes), kind=pooled.node.kind, attrs=_moved(pooled, attrs)
    )
    return scope.multiply(replace(rest, top=(made, *rest.top)))


def _moved(pooled: Arg, attrs: dict[str, object]) -> dict[str, object]:
    """The attributes with positions as they are in the order of the root's axes."""
    order = sorted(pooled.axes)
    space = attrs["space"]
    assert isinstance(space, tuple)
    moved = tuple((own, order.index(pooled.axes[position]), *rest) for own, position, *rest in space)
    return attrs | {"space": moved}


def _scaled(scope: Scope, node: Node) -> Outcome:
    """Times as many and over as many again, which is what is left of a quotient of sums"""
    product = scope.product(scope.whole(), scope.once)
    if len(product.top) != 1 or product.bottom or isinstance(product.number, complex):
        return None
    (pooled,) = product.top
    if pooled.node.op != "pool" or pooled.node.attr("counted") or abs(product.number - 1) > 1e-15:
        return None
    return Match(pooled, product.nodes)


def _build_scaled(scope: Scope, node: Node, found: Arg) -> Arg:
    return found


LAST = (
    Rule("mean pool without its padding", "exact", ("div", "mul"), _uncounted, _build_uncounted),
    Rule("mean pool without its padding", "exact", ("mul", "div"), _scaled, _build_scaled),
)
