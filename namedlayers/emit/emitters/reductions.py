"""Reductions, softmax, and what else runs along axes.

In: one operand, axes to reduce. Out: a tensor in the operand's layout without them. What always holds: empty axes give
the neutral element; axes along which the operand is broadcast are filled first where they count.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch

from namedlayers.emit.attributes import position, positions
from namedlayers.emit.emitters.elementwise import cast_kind
from namedlayers.emit.kernels import deviations, looking
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

BOUNDED_BELOW = frozenset("sigmoid tanh relu exp abs sqrt sin cos softmax atan erf softplus isnan".split())
"""Operations whose results are never -inf."""


@emits("reduce")
def emit_reduce(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    op = str(node.attr("op"))
    gone = tuple(range(node.rank, len(node.space)))
    if op in IDEMPOTENT:  # the same value over and over: once is enough, if there is one at all
        gone = tuple(a for a in gone if a in x.axes or not _positive(lo, a))
    return REDUCERS[op](lo, lo.filled(x, gone), gone)


@emits("extreme")
def emit_extreme(lo: Lowering, node: Node) -> Value:
    """The largest or smallest, where no axis is empty."""
    (x,) = lo.operands(node)
    gone = tuple(a for a in range(node.rank, len(node.space)) if a in x.axes)
    if not gone:
        return x
    return along(lo, torch.amax if node.attr("op") == "max" else torch.amin, lo.tensor(x), gone)


def along(lo: Lowering, target: Callable | str, x: Value, gone: Sequence[int]) -> Value:
    """`target(x, dims)`, which removes the axes `gone`."""
    left = tuple(a for a in x.axes if a not in gone)
    dims: Any = tuple(sorted(x.dim(a) for a in gone))
    if len(dims) == 1:
        dims = dims[0]
    args = (x, dims) if left or target not in _WHOLE else (x,)
    return lo.call(target, args, left, weak=x.weak)


def total(lo: Lowering, x: Value, gone: Sequence[int]) -> Value:
    """The sum over axes that it has; booleans and integers add up as int64."""
    return along(lo, "sum", x, gone) if gone else x


def _product(lo: Lowering, x: Value, gone: Sequence[int]) -> Value:
    for axis in sorted(gone, key=x.dim, reverse=True):
        left = tuple(a for a in x.axes if a != axis)
        x = lo.call("prod", (x, x.dim(axis)), left, weak=x.weak)
    return lo.integer(x)


def _extreme(target: Callable, neutral: float) -> Callable[[Lowering, Value, Sequence[int]], Value]:
    def reduce(lo: Lowering, x: Value, gone: Sequence[int]) -> Value:
        """torch has no largest element of nothing: where that could be asked, a neutral element is added first."""
        for axis in (a for a in gone if not _positive(lo, a)):
            if x.kind is Kind.INT:
                x = lo.call(with_extreme, (x, x.dim(axis), neutral > 0), x.axes, kind=x.kind, weak=x.weak)
                continue
            fill: Any = neutral > 0 if x.kind is Kind.BOOL else neutral
            pads = (0, 0) * (len(x.axes) - 1 - x.dim(axis)) + (0, 1)
            x = lo.call(torch.nn.functional.pad, (x, pads), x.axes, {"value": fill}, kind=x.kind, weak=x.weak)
        return along(lo, target, x, gone)

    return reduce


def with_extreme(x: torch.Tensor, dim: int, largest: bool) -> torch.Tensor:
    """With the largest (the least) of its integers behind: `pad` takes numbers as doubles, which have not the largest.

    >>> with_extreme(torch.tensor([1]), 0, True)
    tensor([                  1, 9223372036854775807])
    """
    limits = torch.iinfo(x.dtype)
    shape = (*x.shape[:dim], 1, *x.shape[dim + 1 :])
    return torch.cat([x, x.new_full(shape, limits.max if largest else limits.min)], dim)


def _truth(target: Callable) -> Callable[[Lowering, Value, Sequence[int]], Value]:
    def reduce(lo: Lowering, x: Value, gone: Sequence[int]) -> Value:
        return along(lo, target, lo.truth(x), gone)

    return reduce


def logsumexp(lo: Lowering, x: Value, gone: Sequence[int]) -> Value:
    """-inf of nothing but -inf, with gradient 0."""
    x = lo.working(x)
    if x.kind is Kind.COMPLEX:
        return _complex_logsumexp(lo, x, gone)
    return along(lo, torch.logsumexp if bounded_below(lo) else looking.logsumexp, x, gone)


def _complex_logsumexp(lo: Lowering, x: Value, gone: Sequence[int]) -> Value:
    dims = tuple(sorted(x.dim(a) for a in gone))
    real = lo.call(torch.real, (x,), x.axes, kind=Kind.REAL, inline=True)
    for axis in (a for a in gone if not _positive(lo, a)):
        real = _padded_low(lo, real, axis)
    top = lo.call(torch.amax, (real, dims), x.axes, {"keepdim": True}, kind=Kind.REAL)
    top = lo.call("detach", (top,), x.axes, kind=Kind.REAL, inline=True)
    top = lo.call(torch.nan_to_num, (top,), x.axes, {"posinf": 0.0, "neginf": 0.0}, kind=Kind.REAL)
    shifted = lo.call(operator.sub, (x, top), x.axes, inline=True)
    powers = lo.call(torch.exp, (shifted,), x.axes)
    found = along(lo, "sum", powers, gone)
    flat = lo.call("sum", (top, dims), found.axes, kind=Kind.REAL, inline=True)
    return lo.call(operator.add, (lo.call(torch.log, (found,), found.axes, inline=True), flat), found.axes)


def _padded_low(lo: Lowering, x: Value, axis: int) -> Value:
    pads = (0, 0) * (len(x.axes) - 1 - x.dim(axis)) + (0, 1)
    return lo.call(torch.nn.functional.pad, (x, pads), x.axes, {"value": -math.inf}, kind=x.kind, weak=x.weak)


REDUCERS: dict[str, Callable[[Lowering, Value, Sequence[int]], Value]] = {
    "sum": total,
    "prod": _product,
    "max": _extreme(torch.amax, -math.inf),
    "min": _extreme(torch.amin, math.inf),
    "logsumexp": logsumexp,
    "any": _truth(torch.any),
    "all": _truth(torch.all),
}
IDEMPOTENT = frozenset(("max", "min", "any", "all"))

_WHOLE: tuple = ("sum", torch.any, torch.all)
"""Functions that reduce over everything when no dimensions are given."""


# --- softmax ----------------------------------------------------------------------------------------------------------


@emits("softmax", "log_softmax")
def emit_softmax(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    axes = positions(node, "axes")
    x = lo.filled(lo.working(lo.tensor(x)), axes)
    log = node.op == "log_softmax"
    target = torch.log_softmax if log else torch.softmax if bounded_below(lo) else looking.softmax
    if not axes:
        return lo.call(torch.zeros_like if log else torch.ones_like, (x,), x.axes)
    group = tuple(a for a in x.axes if a in axes)
    if len(group) == 1:
        return lo.call(target, (x, x.dim(group[0])), x.axes)
    label = lo.fresh_label()
    sizes = [lo.size(lo.space(a)) for a in group]
    flat = lo.merged(x, group, label)
    return lo.split(lo.call(target, (flat, flat.dim(label)), flat.axes), label, group, sizes, inline=False)


def bounded_below(lo: Lowering) -> bool:
    """Whether no element of the operand can be -inf."""
    node = lo.node.args[0].node
    return node.op in BOUNDED_BELOW


def _positive(lo: Lowering, axis: int) -> bool:
    return lo.at_least_one(lo.space(axis))


# --- statistics -------------------------------------------------------------------------------------------------------


@emits("statistic")
def emit_statistic(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    gone = tuple(range(node.rank, len(node.space)))
    x = lo.filled(lo.working(lo.tensor(x)), gone)
    op = str(node.attr("op"))
    dims: Any = tuple(sorted(x.dim(a) for a in gone))
    dims = dims[0] if len(dims) == 1 else dims
    left = tuple(a for a in x.axes if a not in gone)
    if op == "mean":
        return lo.call("mean", (x, dims), left, weak=x.weak)
    if op == "norm":
        return lo.call(torch.linalg.vector_norm, (x,), left, {"dim": dims}, weak=x.weak)
    found = torch if x.kind is Kind.COMPLEX or lo.prologue.inner else deviations  # a step is told where to write
    target = found.var if op == "var" else found.std
    return lo.call(target, (x, dims), left, {"correction": node.attr("ddof")}, weak=x.weak)


# --- along one axis ---------------------------------------------------------------------------------------------------


@emits("cumulative")
def emit_cumulative(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    axis, op = position(node, "axis"), str(node.attr("op"))
    x = lo.filled(lo.tensor(x), (axis,))
    if op == "logsumexp":
        return _cumulative_logsumexp(lo, lo.working(x), axis)
    target, pair = _CUMULATIVE[op]
    x = lo.integer(x) if node.kind is not Kind.BOOL or pair else x
    found = lo.call(target, (x, x.dim(axis)), x.axes, kind=x.kind)
    if pair:
        found = lo.call(operator.getitem, (found, 0), x.axes, kind=x.kind)
    return cast_kind(lo, found, node.kind)


def _cumulative_logsumexp(lo: Lowering, x: Value, axis: int) -> Value:
    """As `logsumexp`: -inf up to the first finite number, with gradient 0 there."""
    if x.kind is Kind.COMPLEX:
        return lo.call(torch.logcumsumexp, (x, x.dim(axis)), x.axes)
    return lo.call(looking.logcumsumexp, (x, x.dim(axis)), x.axes)


_CUMULATIVE: dict[str, tuple[Callable, bool]] = {
    "sum": (torch.cumsum, False),
    "prod": (torch.cumprod, False),
    "max": (torch.cummax, True),
    "min": (torch.cummin, True),
}


@emits("argreduce")
def emit_argreduce(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    axis = position(node, "axis")
    x = lo.integer(lo.filled(x, (axis,)))
    left = tuple(a for a in x.axes if a != axis)
    # Along with the extreme it is had in half the time that `argmax` takes by itself.
    pair = lo.call(torch.max if node.attr("op") == "max" else torch.min, (x, x.dim(axis)), left, inline=True)
    return lo.call(operator.getitem, (pair, 1), left)


@emits("sort", "argsort")
def emit_sort(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    axis = position(node, "axis")
    x = lo.filled(x, (axis,))
    options: dict[str, Any] = {"dim": x.dim(axis), "stable": True}
    if node.attr("descending"):
        options["descending"] = True
    pair = lo.call(torch.sort, (x,), x.axes, options, kind=x.kind)
    return lo.call(operator.getitem, (pair, int(node.op == "argsort")), x.axes)


@emits("fft")
def emit_fft(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    axis, into = position(node, "axis"), position(node, "into")
    x, _ = lo.raised(lo.filled(lo.working(lo.tensor(x)), (axis,)))
    axes = tuple(into if a == axis else a for a in x.axes)
    target, dim = torch.fft.ifft if node.attr("inverse") else torch.fft.fft, x.dim(axis)
    sizes = [lo.space(a) for a in x.axes]
    if lo.assume(*sizes):
        return lo.call(target, (x,), axes, {"dim": dim})
    # torch transforms nothing that is empty: a zero is added where that is so, and is not in the result.
    missing = [lo.inline(torch.sym_max, lo.size(1 - size), 0) for size in sizes]
    x = lo.call(torch.nn.functional.pad, (x, tuple(n for m in reversed(missing) for n in (0, m))), x.axes, kind=x.kind)
    found = lo.call(target, (x,), axes, {"dim": dim}, inline=True)
    return lo.call(operator.getitem, (found, tuple(slice(None, lo.size(size)) for size in sizes)), axes)
