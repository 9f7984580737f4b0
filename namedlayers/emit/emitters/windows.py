"""Convolutions and pools.

In: operands with any axes. Out: a tensor (batch…, channels…, space…). What always holds: the kernels get one batch
axis, one channel axis and up to three space axes, flattened or made as needed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from namedlayers.emit.attributes import listed
from namedlayers.emit.kernels.depthwise import depthwise_conv1d
from namedlayers.emit.kernels.padding import padded
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node
from namedlayers.program.size import SizeExpr, SizeLike, size_expr

BATCH, CHANNELS, OUT, IN = -101, -102, -103, -104

CONVOLUTIONS: tuple[Callable, ...] = (F.conv1d, F.conv2d, F.conv3d)
POOLS: dict[str, tuple[Callable, ...]] = {
    "max": (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d),
    "mean": (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d),
}
ADAPTIVE: Mapping[str, tuple[Callable, ...]] = {
    "adaptive_max": (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d),
    "adaptive_mean": (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
}


_ZERO = size_expr(0)


@dataclass(frozen=True, slots=True)
class SpaceAxis:
    """One axis of space. `source` is X's axis, `result` its place in the result, `kernel` an axis (conv) or a size."""

    source: int
    result: int
    kernel: Any
    stride: SizeExpr
    dilation: SizeExpr
    before: SizeExpr
    after: SizeExpr

    @property
    def kernel_pads(self) -> SizeExpr | None:
        """The padding that the kernel itself does on both sides; None where its input has to be padded first.

        At stride 1 it is the larger one, and a slice takes away what is too much.
        """
        if self.before == self.after:
            return self.before
        larger = [p for p, q in ((self.before, self.after), (self.after, self.before)) if (p - q).nonnegative]
        return larger[0] if larger and self.stride == 1 else None


@dataclass(frozen=True, slots=True)
class Operands:
    """What a convolution is of, and what its axes are to a kernel: `batch` are the data's alone, `groups` are axes of
    data and weights, `channels` are summed over, `outs` the weights' alone; `kernels` the weights' axes of space."""

    x: Value
    w: Value
    bias: Value | None
    batch: tuple[int, ...]
    groups: tuple[int, ...]
    channels: tuple[int, ...]
    outs: tuple[int, ...]
    kernels: tuple[int, ...]

    @property
    def lead(self) -> tuple[int, ...]:
        return (BATCH,) if self.batch else ()

    def data(self, lo: Lowering, x: Value, sources: tuple[int, ...]) -> Value:
        """The data as a kernel takes them: a batch axis, if there is any, channels, and the axes `sources`."""
        x = lo.filled(x, (*self.groups, *self.channels, *sources))
        x = lo.permuted(x, (*self.batch, *self.groups, *self.channels, *sources))
        x = together(lo, x, (*self.groups, *self.channels), CHANNELS, len(self.batch))
        return lo.merged(x, self.batch, BATCH) if self.batch else x

    def biases(self, lo: Lowering) -> tuple[Value, ...]:
        """The bias, if there is one, as a kernel takes it."""
        if self.bias is None:
            return ()
        axes = (*self.groups, *self.outs)
        return (together(lo, lo.permuted(lo.filled(self.bias, axes), axes), axes, OUT, 0),)

    def restored(self, lo: Lowering, found: Value) -> Value:
        """What a kernel gives, in the axes that it stands for."""
        found = lo.unmerged(found, OUT, (*self.groups, *self.outs), inline=False)
        return lo.unmerged(found, BATCH, self.batch, inline=False) if self.batch else found


def operands(lo: Lowering, node: Node, kernels: tuple[int, ...]) -> Operands:
    """The operands of a convolution; weights that lack an axis have it afterwards."""
    x, w, *bias = lo.alike(lo.operands(node))
    in_x, in_w = frozenset(node.args[0].axes), frozenset(node.args[1].axes)
    result = frozenset(range(node.rank))
    groups = tuple(a for a in range(node.rank) if a in in_x and a in in_w)
    batch = tuple(a for a in x.axes if a in result and a not in in_w)
    channels = _ordered(frozenset(range(node.rank, len(node.space))) - frozenset(kernels), x, w)
    outs = _ordered((in_w & result) - frozenset(groups), w)
    if node.op == "conv" and not (channels or outs):
        shared = _shared(x, batch, groups)
        if shared and all(lo.assume(lo.space(axis)) for axis in shared):
            batch = tuple(a for a in batch if a not in shared)
            groups = tuple(a for a in x.axes if a in groups or a in shared)
    w = lo.filled(w, (*groups, *outs, *channels, *kernels))
    return Operands(x, w, bias[0] if node.attr("bias") else None, batch, groups, channels, outs, kernels)


def together(lo: Lowering, value: Value, axes: tuple[int, ...], label: int, place: int) -> Value:
    """With these axes as one, of size 1 and in that place if there are none."""
    return lo.merged(value, axes, label) if axes else leading(lo, value, label, place)


def spaces(node: Node) -> list[SpaceAxis]:
    return [
        SpaceAxis(own(source), result, kernel, *(size_expr(n) for n in rest))
        for source, result, kernel, *rest in listed(node, "space")
    ]


@emits("conv")
def emit_conv(lo: Lowering, node: Node) -> Value:
    space = spaces(node)
    them = operands(lo, node, tuple(axis.kernel for axis in space))
    if len(space) == 1 and _channels_last(lo.filled(them.x, (space[0].source,)), space[0], them):
        return _depthwise(lo, them, space)
    sources = tuple(axis.source for axis in space)
    x, padding = _padded(lo, lo.filled(them.x, sources), space)
    x = them.data(lo, x, sources)
    w = lo.permuted(them.w, (*them.groups, *them.outs, *them.channels, *them.kernels))
    w = together(lo, w, (*them.groups, *them.outs), OUT, 0)
    w = together(lo, w, them.channels, IN, 1)
    options: dict[str, Any] = {}
    say(lo, options, "stride", [axis.stride for axis in space], 1)
    options |= padding
    say(lo, options, "dilation", [axis.dilation for axis in space], 1)
    if them.groups:
        options["groups"] = lo.size(lo.extent(them.groups))
    axes = (*them.lead, OUT, *(axis.result for axis in space))
    found = lo.call(CONVOLUTIONS[len(space) - 1], (x, w, *them.biases(lo)), axes, options)
    return them.restored(lo, _sliced(lo, found, space))


def _channels_last(x: Value, axis: SpaceAxis, them: Operands) -> bool:
    """Whether each channel has a kernel of its own, and lies beside the others in memory."""
    if not them.groups or them.channels or them.outs or not set(them.groups) <= set(x.axes):
        return False
    return max(map(x.dim, (axis.source, *them.batch))) < min(map(x.dim, them.groups))


def _depthwise(lo: Lowering, them: Operands, space: list[SpaceAxis]) -> Value:
    (axis,) = space
    them = replace(them, groups=tuple(sorted(them.groups, key=them.x.dim)))  # weights are turned, rather than data
    x, padding = _padded(lo, lo.filled(them.x, (axis.source,)), space)
    x = lo.permuted(x, (*them.batch, axis.source, *them.groups))
    x = lo.merged(x, them.groups, OUT)
    x = lo.merged(x, them.batch, BATCH) if them.batch else x
    w = lo.merged(lo.permuted(them.w, (*them.groups, *them.kernels)), them.groups, OUT)
    w = leading(lo, w, IN, 1)
    options: dict[str, Any] = {}
    say(lo, options, "stride", [axis.stride], 1)
    options |= padding
    say(lo, options, "dilation", [axis.dilation], 1)
    axes = (*them.lead, axis.result, OUT)
    found = lo.call(depthwise_conv1d, (x, w, *them.biases(lo)), axes, options)
    return them.restored(lo, _sliced(lo, found, space))


@emits("pool")
def emit_pool(lo: Lowering, node: Node) -> Value:
    space = spaces(node)
    kernels = [axis.kernel for axis in space]
    options: dict[str, Any] = {}
    say(lo, options, "stride", [axis.stride for axis in space], kernels)
    say(lo, options, "padding", [axis.before for axis in space], 0)
    if node.attr("op") == "max":
        say(lo, options, "dilation", [axis.dilation for axis in space], 1)
    if node.attr("ceil"):
        options["ceil_mode"] = True
    if not node.attr("counted"):
        options["count_include_pad"] = False
    target = POOLS[str(node.attr("op"))][len(space) - 1]
    places = [(axis.source, axis.result) for axis in space]
    return _over_space(lo, target, places, _plain([lo.size(k) for k in kernels]), options)


@emits("adaptive_max", "adaptive_mean")
def emit_adaptive(lo: Lowering, node: Node) -> Value:
    places = [(own(source), cell) for source, cell in listed(node, "cells")]
    sizes = [lo.size(lo.space(cell)) for _, cell in places]
    function = ADAPTIVE[node.op][len(places) - 1]
    return _over_space(lo, function, places, sizes[0] if len(sizes) == 1 else tuple(sizes), {})


@emits("pad_around")
def emit_pad_around(lo: Lowering, node: Node) -> Value:
    space = listed(node, "space")
    pads = tuple(lo.size(more) for _, _, *padding in reversed(space) for more in padding)
    places = [(own(source), position) for source, position, *_ in space]
    return _over_space(lo, F.pad, places, pads, {"mode": str(node.attr("mode"))})


def _over_space(
    lo: Lowering, target: Callable, places: list[tuple[int, int]], sizes: Any, options: dict[str, Any]
) -> Value:  # fmt: skip
    """A kernel of torch's over space: `places` are axes of the operand, each with what it becomes."""
    (x,) = lo.operands(lo.node)
    x = lo.working(lo.tensor(x))
    x = lo.filled(x, tuple(source for source, _ in places))
    rest = tuple(a for a in x.axes if a >= 0)
    x = lo.permuted(x, (*rest, *(source for source, _ in places)))
    lead = rest if len(rest) in (1, 2) else (BATCH,)
    if len(rest) > 2:
        x = lo.merged(x, rest, BATCH)
    elif not rest:
        x = leading(lo, x, BATCH, 0)
    found = lo.call(target, (x, sizes), (*lead, *(result for _, result in places)), options)
    if lead == (BATCH,):
        return lo.unmerged(found, BATCH, rest, inline=False)
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


def _padded(lo: Lowering, x: Value, space: list[SpaceAxis]) -> tuple[Value, dict[str, Any]]:
    """The data, and the kernel's padding. What it may have to have more of on one side than on the other is padded
    before, if the call finds that it has."""
    options: dict[str, Any] = {}
    uneven = [axis for axis in space if axis.kernel_pads is None]
    if not uneven:
        say(lo, options, "padding", [_ZERO if axis.kernel_pads is None else axis.kernel_pads for axis in space], 0)
        return x, options
    x = lo.permuted(x, (*(a for a in x.axes if a not in {axis.source for axis in uneven}), *(a.source for a in uneven)))
    pads = tuple((lo.size(axis.before), lo.size(axis.after)) for axis in uneven)
    both = lo.raw(padded, (x, *pads), {}, "padded")
    both.meta |= {"parts": 1 + len(uneven), "temporary": True}
    there = lo.call(operator.getitem, (both, 0), x.axes, kind=x.kind, weak=x.weak, wish="pad")
    left = {axis.source: lo.raw(operator.getitem, (both, 1 + k), {}, "n") for k, axis in enumerate(uneven)}
    options["padding"] = _plain(
        [left[axis.source] if axis.kernel_pads is None else lo.size(axis.kernel_pads) for axis in space]
    )
    return there, options


def _sliced(lo: Lowering, found: Value, space: list[SpaceAxis]) -> Value:
    """Without what comes of padding both sides by the larger padding."""
    index = [slice(None)] * len(found.axes)
    for axis in space:
        if axis.kernel_pads is not None and axis.before != axis.after:
            front = axis.kernel_pads == axis.after
            index[found.dim(axis.result)] = (
                slice(lo.size(axis.after - axis.before), None) if front else slice(None, lo.size(lo.space(axis.result)))
            )
    if all(part == slice(None) for part in index):
        return found
    return lo.call(operator.getitem, (found, tuple(index)), found.axes)


def leading(lo: Lowering, value: Value, label: int, place: int) -> Value:
    axes = (*value.axes[:place], label, *value.axes[place:])
    return lo.call("unsqueeze", (value, place), axes, kind=value.kind, weak=value.weak, inline=True)


def say(lo: Lowering, options: dict[str, Any], name: str, sizes: Sequence[SizeLike], default: Any) -> None:
    """Adds an option, unless it is what the kernel takes anyway."""
    defaults = default if isinstance(default, list) else [default] * len(sizes)
    if any(size_expr(size) != size_expr(other) for size, other in zip(sizes, defaults, strict=True)):
        options[name] = _plain([lo.size(size) for size in sizes])


def _plain(sizes: list[Any]) -> Any:
    """One number for all axes if they have the same."""
    return sizes[0] if all(size is sizes[0] or size == sizes[0] for size in sizes) else tuple(sizes)


def _shared(x: Value, batch: tuple[int, ...], groups: tuple[int, ...]) -> tuple[int, ...]:
    """Axes that are better channels, each with a copy of its kernel, than images: torch has no fast way for images of
    one channel, and is slow where they have few. They lie within a group, as the channels of a head do; without groups,
    it is the last axis of several."""
    if not groups:
        return batch[-1:] if len(batch) > 1 else ()
    places = {axis: place for place, axis in enumerate(x.axes)}
    first = min(places.get(axis, len(places)) for axis in groups)
    return tuple(axis for axis in batch if places[axis] > first)


def _ordered(group: frozenset[int], *values: Value) -> tuple[int, ...]:
    found = dict.fromkeys(axis for value in values for axis in value.axes if axis in group)
    return (*found, *sorted(group - found.keys()))
