"""Normalisation.

In: a tensor, eps, weights over exactly the normalised axes or the one other. Out: a tensor in the same layout, or with
those axes last. What always holds: variance is taken in two passes or by torch's kernels, which accumulate in float32.
"""

from __future__ import annotations

import operator
from typing import Any

import torch

from namedlayers.emit.attributes import listed, position, positions, size_of
from namedlayers.emit.emitters.elementwise import elementwise
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

_BATCH, _CHANNEL = -101, -102


@emits("standardize")
def emit_standardize(lo: Lowering, node: Node) -> Value:
    x, eps, affine, axes = _operands(lo, node)
    if not eps.number or node.kind is not Kind.REAL or not axes:
        return _affine(lo, _standardized(lo, x, eps, axes), affine)
    rest = [a for a in x.axes if a not in axes]
    along = {a for v in affine.values() for a in v.axes}
    if not _last(x, axes) and len(rest) == 1 and x.dim(rest[0]) in (1, len(x.axes) - 1):
        if along <= set(rest):
            return _by_channel(lo, x, rest[0], eps, affine)
        return _affine(lo, _by_channel(lo, x, rest[0], eps, {}), affine)
    if along and along != set(axes):
        outer, inner = (tuple(a for a in group if a in along) for group in (rest, axes))
        order = _grouped(x, axes, (*outer, *inner))
        if order == x.axes or (not inner and not _last(x, axes)):  # else a copy would cost more than it spares
            groups = lo.size(lo.space(outer[0])) if outer else 1
            return _in_groups(lo, lo.permuted(x, order), (*outer, *inner), axes, groups, eps, affine)
    if not _last(x, axes):  # one copy costs less than the passes over what lies apart
        x = lo.permuted(x, (*rest, *(a for a in x.axes if a in axes)))
    exact = along == set(axes)
    shape, options = _kernel(lo, x, axes, affine if exact else {})
    found = lo.call(torch.layer_norm, (x, shape), x.axes, {**options, "eps": eps})
    return found if exact else _affine(lo, found, affine)


def _standardized(lo: Lowering, x: Value, eps: Value, axes: tuple[int, ...]) -> Value:
    """Step by step, the variance in two passes."""
    dims = tuple(sorted(x.dim(a) for a in axes))
    pair = lo.call(torch.var_mean, (x,), x.axes, {"dim": dims, "correction": 0, "keepdim": True})
    variance, mean = (lo.call(operator.getitem, (pair, k), x.axes, inline=True) for k in (0, 1))
    centred = lo.call(operator.sub, (x, mean), x.axes, wish="centred")
    raised = lo.call(operator.add, (variance, eps), x.axes, inline=True)
    scale = lo.call(torch.rsqrt, (raised,), x.axes, inline=True)
    return lo.call(operator.mul, (centred, scale), x.axes)


@emits("batch_norm")
def emit_batch_norm(lo: Lowering, node: Node) -> Value:
    x, eps, *rest = lo.operands(node)
    axes, rate = positions(node, "axes"), node.attr("rate")
    (channel,) = (a for a in range(node.rank) if a not in axes)
    x, *rest = lo.alike([lo.filled(lo.working(lo.tensor(x)), axes), *rest])
    states, affine = rest[:2], dict(zip(listed(node, "affine"), rest[2:], strict=True))
    if rate is not None:
        # The kernel writes into what it is given.
        states = [lo.call("clone", (value,), value.axes) for value in states]
        for user in lo.users.get(node.number, ()):
            if user.op == "running":
                value = states[("mean", "var").index(str(user.attr("which")))]
                lo.bundles.setdefault(node.number, {})[user] = Value(value.held, (0,), value.kind)
    return _by_channel(lo, x, channel, eps, affine, (states[0], states[1], rate))


@emits("group_norm")
def emit_group_norm(lo: Lowering, node: Node) -> Value:
    x, eps, *rest = lo.operands(node)
    space, channel = positions(node, "axes"), position(node, "channel")
    x, *rest = lo.alike([lo.filled(lo.working(lo.tensor(x)), (*space, channel)), *rest])
    affine = dict(zip(listed(node, "affine"), rest, strict=True))
    x = lo.permuted(x, _grouped(x, space, (channel,)))
    return _in_groups(lo, x, (channel,), space, lo.size(size_of(node, "groups")), eps, affine)


@emits("running")
def emit_running(lo: Lowering, node: Node) -> Value:
    return lo.bundles[node.args[0].node.number][node]


@emits("rms_norm")
def emit_rms_norm(lo: Lowering, node: Node) -> Value:
    x, eps, affine, axes = _operands(lo, node)
    if eps.number and axes and node.kind is Kind.REAL:
        if not _last(x, axes):
            x = lo.permuted(x, (*(a for a in x.axes if a not in axes), *(a for a in x.axes if a in axes)))
        shape, options = _kernel(lo, x, axes, affine)
        return lo.call(torch.rms_norm, (x, shape), x.axes, {**options, "eps": eps})
    dims = tuple(sorted(x.dim(a) for a in axes))
    square = lo.call(torch.square, (lo.call(torch.abs, (x,), x.axes, kind=Kind.REAL, inline=True),), x.axes)
    mean = lo.call("mean", (square, dims), x.axes, {"keepdim": True})
    raised = lo.call(operator.add, (mean, eps), x.axes, inline=True)
    scale = lo.call(torch.rsqrt, (raised,), x.axes, inline=True)
    return _affine(lo, lo.call(operator.mul, (x, scale), x.axes), affine)


def _operands(lo: Lowering, node: Node) -> tuple[Value, Value, dict[str, Value], tuple[int, ...]]:
    x, eps, *rest = lo.operands(node)
    axes = positions(node, "axes")
    x, *rest = lo.meet([lo.filled(lo.working(lo.tensor(x)), axes), *rest])
    affine = dict(zip(listed(node, "affine"), rest, strict=True))
    return x, eps, affine, axes


def _last(x: Value, axes: tuple[int, ...]) -> bool:
    return bool(axes) and set(x.axes[len(x.axes) - len(axes) :]) == set(axes)


def _kernel(lo: Lowering, x: Value, axes: tuple[int, ...], affine: dict[str, Value]) -> tuple[tuple, dict[str, Value]]:
    """What torch's kernels over the last dimensions take."""
    order = x.axes[len(x.axes) - len(axes) :]
    shape = tuple(lo.size(lo.space(a)) for a in order)
    return shape, {name: lo.permuted(lo.filled(v, axes), order) for name, v in affine.items()}


def _by_channel(
    lo: Lowering, x: Value, channel: int, eps: Value, affine: dict[str, Value],
    states: tuple[Value | None, Value | None, Any] = (None, None, 0.0),
) -> Value:  # fmt: skip
    """Over all axes but one: batch normalisation by the statistics of the batch, or by `states`: mean, variance, and
    the rate at which they change, None if they stay and count.

    `affine` lies along that one.
    """
    mean, variance, rate = states
    along = {name: lo.permuted(lo.filled(v, (channel,)), (channel,)) for name, v in affine.items()}
    training, rate = rate is not None, 0.0 if rate is None else rate
    settings = (along.get("weight"), along.get("bias"), mean, variance, training, rate, eps, True)
    if len(x.axes) == 1:
        x = lo.call("unsqueeze", (x, 0), (_BATCH, channel), inline=True)
        return lo.split(lo.call(torch.batch_norm, (x, *settings), x.axes, inline=True), _BATCH, (), [])
    if x.dim(channel) not in (1, len(x.axes) - 1):
        first, *rest = (a for a in x.axes if a != channel)
        x = lo.permuted(x, (first, channel, *rest))
    if x.dim(channel) == 1:
        return lo.call(torch.batch_norm, (x, *settings), x.axes)
    group = x.axes[:-1]
    flat = lo.merged(x, group, _BATCH)
    found = lo.call(torch.batch_norm, (flat, *settings), flat.axes, inline=True)
    return lo.split(found, _BATCH, group, [lo.size(lo.space(a)) for a in group], inline=False)


def _grouped(x: Value, space: tuple[int, ...], channels: tuple[int, ...]) -> tuple[int, ...]:
    """The order of axes that the kernel for groups takes: what is apart, channels, what is normalised besides."""
    batch = (a for a in x.axes if a not in (*space, *channels))
    return (*batch, *channels, *(a for a in x.axes if a in space and a not in channels))


def _in_groups(
    lo: Lowering, x: Value, channels: tuple[int, ...], space: tuple[int, ...], groups: Any, eps: Value,
    affine: dict[str, Value],
) -> Value:  # fmt: skip
    """Over `space` and so many groups of channels, apart for all other axes; `affine` lies along the channels."""
    if "weight" not in affine and affine:  # torch's gradient of the kernel fails with a bias alone
        return _affine(lo, _in_groups(lo, x, channels, space, groups, eps, {}), affine)
    batch = tuple(a for a in x.axes if a not in (*space, *channels))
    if batch:
        x = lo.merged(x, batch, _BATCH)
    else:
        x = lo.call("unsqueeze", (x, 0), (_BATCH, *x.axes), inline=True)
    x = lo.merged(x, channels, _CHANNEL)
    along = {
        name: lo.merged(lo.permuted(lo.filled(value, channels), channels), channels, _CHANNEL)
        for name, value in affine.items()
    }
    args = (x, groups, along.get("weight"), along.get("bias"), eps)
    found = lo.call(torch.group_norm, args, x.axes, inline=len(batch) != 1 or len(channels) > 1)
    found = lo.unmerged(found, _CHANNEL, channels, inline=len(batch) != 1)
    return lo.unmerged(found, _BATCH, batch, inline=False)


def _affine(lo: Lowering, x: Value, affine: dict[str, Value]) -> Value:
    for name, target in (("weight", operator.mul), ("bias", operator.add)):
        if name in affine:
            x = elementwise(lo, target, [x, affine[name]])
    return x
