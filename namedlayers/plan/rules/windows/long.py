"""Convolutions of a sequence with kernels that may be as long as it is: by transforms, if digits may be lost.

`sum[lag](H * X[t = t - lag; fill = 0])`, with a kernel for each channel, takes as many products as there are pairs of
places and taps; by Fourier transforms it is n log n of them, of which each value has the error of the largest ones.
The call decides by sizes. What always holds: one axis of space, each place of which is a window; no channels are
summed over; the kernel is long, or nothing is known of its length. What is padded by going round (`X[(t - lag) % |t|]`)
is not padded, as that is what a transform does.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.windows.convolution import unflipped
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr

NAME = "long convolution by transforms, in error by up to eps log n norm(x) norm(h)"

LEAST = 32
"""Kernels that are known to be shorter are multiplied out."""


@dataclass(frozen=True, slots=True)
class _Found:
    source: Arg
    own: int
    before: SizeExpr | int
    after: SizeExpr | int
    around: bool
    kernel: int


def _match(scope: Scope, node: Node) -> Outcome:
    space = node.attr("space")
    assert isinstance(space, tuple)
    ((own, position, kernel, stride, dilation, before, after), *more) = space
    length = scope.sizes[kernel]
    short = length.value is not None and length.value < LEAST
    if more or short or (stride, dilation) != (1, 1) or set(range(node.rank, len(node.space))) != {kernel}:
        return None
    inner = _gone_round(scope, node.args[0], own) if before == after == 0 else None
    if inner is not None and inner.source.node.sizes[inner.own] == scope.sizes[position]:
        return Match(_Found(inner.source, inner.own, inner.before, inner.after, True, kernel), (node.args[0].node,))
    return Match(_Found(node.args[0], own, before, after, False, kernel))


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    space = node.attr("space")
    assert isinstance(space, tuple)
    position = space[0][1]
    weight = unflipped(scope, node.args[1], found.kernel)
    turned, own = weight is not None, found.own
    source, weight = found.source, weight or node.args[1]
    if turned and not node.attr("bias") and _either_way(scope, found, weight, position):
        own, axes = weight.axes.index(found.kernel), tuple(found.kernel if c < 0 else c for c in source.axes)
        read = Arg(weight.node, tuple(-1 if c == found.kernel else c for c in weight.axes))
        source, weight = read, Arg(source.node, axes)
    attrs = {
        "space": ((own, position, found.kernel, 1, 1, found.before, found.after),),
        "bias": node.attr("bias"), "around": found.around, "turned": turned,
    }  # fmt: skip
    args = (source, weight, *node.args[2:])
    return scope.build("long_conv", args, range(node.rank), (found.kernel,), kind=node.kind, attrs=attrs)


RULES = (Rule(NAME, "conditioned", ("conv",), _match, _build, loses="small values have the error of the largest ones"),)

# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Round:
    """`source`, with -1 at its axis number `own`, which is gone round."""

    source: Arg
    own: int
    before: SizeExpr | int
    after: SizeExpr | int


def _gone_round(scope: Scope, x: Arg, own: int) -> _Round | None:
    node = x.node
    if node.op != "pad_around" or node.attr("mode") != "circular":
        return None
    space = node.attr("space")
    assert isinstance(space, tuple)
    ((inner, position, before, after), *more) = space
    if more or position != own:
        return None
    axes = tuple(-1 if p < 0 else x.axes[p] for p in node.args[0].axes)
    return _Round(Arg(node.args[0].node, axes), inner, before, after)


def _either_way(scope: Scope, found: _Found, weight: Arg, position: int) -> bool:
    """Whether X and W may change places, `sum[s](X[s] * H[t - s])` being `sum[s](H[s] * X[t - s])`, and W is what has
    batches."""
    size = scope.sizes[found.kernel]
    lengths = (found.source.node.sizes[found.own], scope.sizes[position])
    plain = {c for c in found.source.axes if c >= 0}
    as_long = all(size == one for one in lengths)
    return as_long and size - 1 == found.before and found.after == 0 and plain < set(weight.axes) - {found.kernel}
