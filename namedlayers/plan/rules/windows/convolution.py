"""Contractions with windows are convolutions; a bias is added by the kernel, and so is that of a matrix product.

A window of X reads an axis at `stride * position + dilation * kernel`. When the kernel axes are contracted with another
factor that lacks the positions, the contraction is a cross-correlation, of one to three space axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.rules.windows.functions import function_windows, product_windows
from namedlayers.plan.view import Scope
from namedlayers.plan.windows import STEPS, Padding, WindowAxis, Windows, windows
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

MOST_SPACE_AXES = 3
CONVOLUTIONS = ("conv", "conv_transpose")


@dataclass(frozen=True, slots=True)
class Convolution:
    """Windows of X, the other factors, and what is summed over; `space`: (axis of X, position, kernel, stride,
    dilation)."""

    view: Windows
    others: tuple[Arg, ...]
    space: tuple[tuple[WindowAxis, int, int, SizeExpr, SizeExpr], ...]
    consumed: frozenset[int]


def _convolution(scope: Scope, node: Node) -> Outcome:
    return _of_factors(scope, node.args, (), frozenset(range(node.rank, len(node.space))))


def _sum_of_contraction(scope: Scope, node: Node) -> Outcome:
    """sum[k](W @[c] windows): what is summed over, in the contraction and after it"""
    (arg,) = node.args
    if arg.node.op != "contract" or not scope.once(arg.node):
        return None
    consumed = frozenset((*range(node.rank, len(node.space)), *scope.consumed(arg)))
    return _of_factors(scope, scope.operands(arg), (arg.node,), consumed)


def _of_factors(scope: Scope, args: tuple[Arg, ...], parts: tuple[Node, ...], consumed: frozenset[int]) -> Outcome:
    near: Near | None = None
    for k, arg in enumerate(args):
        for view in function_windows(scope, arg):
            found = _check(scope, view, args[:k] + args[k + 1 :], consumed)
            if isinstance(found, Convolution):
                return Match(found, (*parts, *view.nodes))
            near = near or Near(found, arg.node.spans)
    for view, others in product_windows(scope, args):
        found = _check(scope, view, others, consumed)
        if isinstance(found, Convolution):
            return Match(found, (*parts, *view.nodes))
    return near


def _check(scope: Scope, view: Windows, others: tuple[Arg, ...], consumed: frozenset[int]) -> Convolution | str:
    """The convolution, or why it is none."""
    if not all(a.node.kind == Kind.REAL for a in (view.source, *others)):
        return "a convolution is of reals"
    weights = {c for a in others for c in a.axes}
    space = []
    for axis in view.space:
        roles = axis.roles(consumed)
        if roles is None:
            if not axis.turned <= consumed:
                return f"the windows along {_names(scope, axis)} are read backwards"
            return f"of {_names(scope, axis)}, one has to be summed over and the other has to stay"
        (position, stride), (kernel, dilation) = roles
        if kernel not in weights:
            return f"the other factor lacks the kernel axis {scope.names[kernel]}"
        if position in weights:
            return f"the other factor differs by the position {scope.names[position]}"
        if not _constant(axis.padding, 0):
            return f"the windows along {scope.names[position]} are padded with another value than 0"
        if axis.extent(scope.sizes[kernel], dilation, stride) != scope.sizes[position]:
            return f"the windows along {scope.names[position]} are not all that fit"
        space.append((axis, position, kernel, stride, dilation))
    if len(space) > MOST_SPACE_AXES:
        return f"kernels have at most {MOST_SPACE_AXES} space axes"
    plain = {c for c in view.source.axes if c >= 0}
    kernels = {kernel for _, _, kernel, _, _ in space}
    if len(others) == 1:
        if (plain & consumed) != (weights & consumed) - kernels:
            return "the summed axes are not those that both factors have"
    elif plain & weights - consumed:
        return "one of several factors has an axis of the windows' that stays"
    return Convolution(view, others, tuple(space), consumed)


def _names(scope: Scope, axis: WindowAxis) -> str:
    return " and ".join(scope.names[c] for c, _ in axis.terms)


def _constant(padding: Padding | None, value: float) -> bool:
    return padding is None or padding.value == value


def _build_convolution(scope: Scope, node: Node, found: Convolution) -> Arg:
    source = found.view.source
    kernels = {kernel for _, _, kernel, _, _ in found.space}
    inside = {c for c in source.axes if c >= 0} | kernels
    consumed = set(found.consumed)
    # Several factors are put together first; an axis that only they have is summed there.
    weight = contraction(scope, list(found.others), consumed - inside)
    for kernel in sorted(c for axis in found.view.space for c in axis.turned):
        weight = _flipped(scope, weight, kernel)
    left = sorted(consumed & inside)
    at = {c: k for k, c in enumerate((*range(node.rank), *left))}
    attrs = {"space": tuple((own, at[p], at[k], *rest) for own, p, k, *rest in _space(found)), "bias": False}
    return scope.build("conv", (source, weight), range(node.rank), left, kind=node.kind, attrs=attrs)


def _space(found: Convolution) -> tuple[tuple[Any, ...], ...]:
    """As in the operation's attribute, but with coordinates for positions."""
    return tuple(
        (axis.own, position, kernel, plain(stride), plain(dilation), *_padding(axis.padding))
        for axis, position, kernel, stride, dilation in found.space
    )


def _flipped(scope: Scope, arg: Arg, axis: int) -> Arg:
    """The value read from the other end of an axis; one that is read so already, as it was."""
    known = unflipped(scope, arg, axis)
    if known is not None:
        return known
    result = sorted(arg.axes)
    own, position = arg.axes.index(axis), result.index(axis)
    entries = _turned(own, position, scope.sizes[axis])
    inner = Arg(arg.node, tuple(-1 if c == axis else c for c in arg.axes))
    return scope.build("index", (inner,), result, kind=arg.node.kind, attrs={"entries": entries})


def unflipped(scope: Scope, arg: Arg, axis: int) -> Arg | None:
    """What is read from the other end of an axis, where a value is just that."""
    if arg.node.op != "index":
        return None
    inner = scope.operands(arg)[0]
    own = arg.axes.index(axis)
    if inner.axes.count(-1) != 1 or arg.node.attr("entries") != _turned(inner.axes.index(-1), own, scope.sizes[axis]):
        return None
    return Arg(inner.node, tuple(axis if c == -1 else c for c in inner.axes))


def _turned(own: int, position: int, size: SizeExpr) -> tuple[Any, ...]:
    return ((own, ((position, const(-1)),), size - 1),)


def plain(size: SizeExpr) -> SizeExpr | int:
    """A size as a plain integer where it is one."""
    return size if size.value is None else size.value


def _padding(padding: Padding | None) -> tuple[SizeExpr | int, SizeExpr | int]:
    return (plain(padding.before), plain(padding.after)) if padding is not None else (0, 0)


def _sum_of_convolution(scope: Scope, node: Node) -> Outcome:
    """A sum over what windows and weights have in common: groups that become channels"""
    (conv,) = node.args
    if conv.node.op != "conv" or conv.node.attr("bias") or not scope.once(conv.node):
        return None
    consumed = set(range(node.rank, len(node.space)))
    source, weight = scope.operands(conv)
    return Match(conv, (conv.node,)) if consumed <= set(source.axes) & set(weight.axes) else None


def _build_sum_of_convolution(scope: Scope, node: Node, conv: Arg) -> Arg:
    consumed = (*range(node.rank, len(node.space)), *scope.consumed(conv))
    return _rebuilt(scope, conv, scope.operands(conv), tuple(range(node.rank)), consumed, False)


def _more_space(scope: Scope, node: Node) -> Outcome:
    """The windows of a convolution are of windows that it sums over, too"""
    if node.attr("bias") or len(node.args) != 2:
        return None
    source, weight = node.args
    held = node.attr("space")
    assert isinstance(held, tuple)
    if len(held) == MOST_SPACE_AXES or source.node.op not in STEPS:
        return None
    # The axes that are read in windows already are, for what is below, axes like any other.
    own = {k: scope.fresh(size, name) for k, (c, size, name) in enumerate(_axes(source)) if c == -1}
    seen = Arg(source.node, tuple(own.get(k, c) for k, c in enumerate(source.axes)))
    consumed = frozenset(range(node.rank, len(node.space))) - {kernel for _, _, kernel, *_ in held}
    for view in windows(scope, seen):
        at = {c: k for k, c in enumerate(view.source.axes)}
        found = _check(scope, view, (weight,), consumed)
        if isinstance(found, Convolution) and all(c in at for c in own.values()):
            before = tuple((at[own[k]], *rest) for k, *rest in held)
            return Match((found, before), view.nodes) if len(before) + len(found.space) <= MOST_SPACE_AXES else None
    return None


def _axes(arg: Arg) -> Iterator[tuple[int, SizeExpr, str]]:
    return zip(arg.axes, arg.node.sizes, arg.node.names[: arg.node.rank], strict=True)


def _build_more_space(scope: Scope, node: Node, found: tuple[Convolution, tuple[tuple[Any, ...], ...]]) -> Arg:
    more, before = found
    source = more.view.source
    weight = node.args[1]
    for kernel in sorted(c for axis in more.view.space for c in axis.turned):
        weight = _flipped(scope, weight, kernel)
    own = {axis[0] for axis in before}
    read = Arg(source.node, tuple(-1 if k in own else c for k, c in enumerate(source.axes)))
    attrs = {"space": tuple(sorted((*before, *_space(more)))), "bias": False}
    consumed = range(node.rank, len(node.space))
    return scope.build("conv", (read, weight), range(node.rank), consumed, kind=node.kind, attrs=attrs)


def _rebuilt(
    scope: Scope, conv: Arg, operands: tuple[Arg, ...], result: tuple[int, ...], consumed: tuple[int, ...], bias: bool
) -> Arg:
    """A convolution with the same windows and other roles."""
    at = {c: k for k, c in enumerate((*result, *consumed))}
    old = (*conv.axes, *scope.consumed(conv))
    space = conv.node.attr("space")
    assert isinstance(space, tuple)
    attrs = {"space": tuple((own, at[old[p]], at[old[k]], *more) for own, p, k, *more in space), "bias": bias}
    return scope.build(conv.node.op, operands, result, consumed, kind=conv.node.kind, attrs=attrs)


# --- biases -----------------------------------------------------------------------------------------------------------


def _bias(scope: Scope, node: Node) -> Outcome:
    """conv(X, W) + b and X @ W + b, among other summands"""
    total = scope.sum(scope.whole(), scope.once)
    near: Near | None = None
    for k, (sign, product) in enumerate(total.terms):
        if sign < 0 or not _takes_bias(product.node) or not scope.once(product.node) or len(total.terms) < 2:
            continue
        near = near or Near("no summand has exactly the axes of the result that the weights have")
        for j, (other, bias) in enumerate(total.terms):
            if j == k or other < 0 or bias.node.kind != Kind.REAL or _takes_bias(bias.node) and bias.node.rank > 1:
                continue
            order = _operands_for(scope, product, bias)
            if order is not None:
                rest = tuple(t for i, t in enumerate(total.terms) if i not in (k, j))
                return Match((product, order, bias, rest, total.number), (product.node, *total.nodes))
    return near


def _takes_bias(node: Node) -> bool:
    if node.kind != Kind.REAL:
        return False
    return node.op == "contract" and len(node.args) == 2 or node.op in CONVOLUTIONS and not node.attr("bias")


def _operands_for(scope: Scope, product: Arg, bias: Arg) -> tuple[Arg, ...] | None:
    """X and W such that the bias has exactly the axes of the result that W has (and, in a linear map, X has not)."""
    operands = scope.operands(product)
    staying = set(product.axes)
    wanted = set(bias.axes)
    if not wanted or len(wanted) != len(bias.axes):
        return None
    if product.node.op in CONVOLUTIONS:
        return operands if set(operands[1].axes) & staying == wanted else None
    for x, w in (operands, operands[::-1]):
        if set(w.axes) & staying == wanted and not wanted & set(x.axes):
            return x, w
    return None


def _build_bias(scope: Scope, node: Node, found: tuple[Arg, tuple[Arg, ...], Arg, Any, Any]) -> Arg:
    product, operands, bias, rest, number = found
    consumed = scope.consumed(product)
    result = tuple(sorted(product.axes))
    if product.node.op in CONVOLUTIONS:
        core = _rebuilt(scope, product, (*operands, bias), result, consumed, True)
    else:
        core = scope.build("linear", (*operands, bias), result, consumed, kind=product.node.kind)
    for sign, term in rest:
        core = scope.apply("add" if sign > 0 else "sub", core, term)
    return core if number == 0 else scope.apply("add", core, scope.number(number))


RULES = (
    Rule("convolution", "exact", ("contract",), _convolution, _build_convolution),
    Rule("convolution", "algebraic", ("reduce sum",), _sum_of_contraction, _build_convolution),
    Rule("convolution over more space", "exact", ("conv",), _more_space, _build_more_space),
    Rule("sum of a convolution", "algebraic", ("reduce sum",), _sum_of_convolution, _build_sum_of_convolution),
)
BIASES = (Rule("bias in the kernel", "exact", ("add",), _bias, _build_bias),)
