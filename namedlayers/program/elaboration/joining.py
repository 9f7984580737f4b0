"""Padding, folding, joining and constants: operations that make axes, or axes longer.

In: calls. Out: values. What always holds: no size becomes negative; a new axis is not one that the value has already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from namedlayers.errors import ArgumentError, AxisError, Label, Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.arguments import (
    along,
    flat,
    free,
    per_axis,
    take,
    wrong_count,
)
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.values import Callee, Environment, Evaluated, Static, Value
from namedlayers.program.elaboration.wording import missing_axis
from namedlayers.program.program import Check
from namedlayers.program.size import SizeExpr, const
from namedlayers.syntax import tree

PADDING_MODES = {"zeros": "constant", "constant": "constant", "circular": "circular", "reflect": "reflect",
                 "replicate": "replicate"}  # fmt: skip


def pad(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    defaults = {"before": 0, "after": 0, "value": 0, "mode": "zeros"}
    (value,), options = take(ctx, callee, call, env, 1, defaults)
    axes = along(ctx, callee, call, env, value)
    count = len(axes)
    modes = [_padding_mode(mode, options["mode"].span) for mode in per_axis(ctx, options["mode"], "mode", count)]
    fills = _fills(ctx, options["value"], count)
    amounts = [per_axis(ctx, options[name], name, count) for name in ("before", "after")]
    for axis, before, after, mode, fill in zip(axes, *amounts, modes, fills, strict=True):
        before_size = ctx.size_value(before, options["before"].span, "`before`")
        after_size = ctx.size_value(after, options["after"].span, "`after`")
        value = _pad_one(ctx, value, axis, before_size, after_size, mode, fill, call)
    return value


def fold(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    defaults = {"stride": 1, "dilation": 1, "padding": 0, "output_padding": 0}
    (value,), options = take(ctx, callee, call, env, 1, defaults)
    axes = along(ctx, callee, call, env, value)
    if len(axes) % 2:
        raise wrong_count(callee, call, len(axes), "an even number of")
    count = len(axes) // 2
    each = {name: per_axis(ctx, one, name, count) for name, one in options.items()}
    for k, (axis, kernel) in enumerate(zip(axes[:count], axes[count:], strict=True)):
        sizes = {name: ctx.size_value(each[name][k], options[name].span, f"`{name}`") for name in each}
        value = _fold_one(ctx, value, axis, kernel, sizes, call)
    return value


def join(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    values, _ = take(ctx, callee, call, env, -1)
    nodes = flat(call) if call.entries is not None else []
    if len(nodes) != 1:
        raise wrong_count(callee, call, len(nodes), 1)
    kind = max((value.kind for value in values), key=lambda kind: kind.value)
    if callee.name == "stack":
        axis = ctx.introduce(nodes[0], env)
        for value in values:
            free(ctx, axis, value, nodes[0])
        total: SizeExpr = const(len(values))
        others = values
    else:
        (axis,) = ctx.axis(nodes[0], env)
        for value in values:
            if axis not in value.axes:
                raise missing_axis(ctx, "`concat` is along", axis, value, nodes[0].span)
        values = [ctx.materialise(value, [axis]) for value in values]
        total = sum((value.axes[axis] for value in values), start=const(0))
        others = [replace(value, axes={a: s for a, s in value.axes.items() if a != axis}) for value in values]
    axes = ctx.meet(others) | {axis: total}
    ctx.record(axis, total, env)
    return ctx.primitive(callee.name, tuple(values), axes, call.span, {"axis": axis}, kind=kind)


def constant(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`zeros[i, j]`, `ones[i]`: a number over virtual axes, made real only where an operation needs them."""
    take(ctx, callee, call, env, 0)
    if call.entries is None:
        raise AxisError(
            "NL0315", f"`{callee.name}` needs its axes", Label(call.span), hint=f"`{callee.name}[]` is a scalar"
        )
    return v.constant(0.0 if callee.name == "zeros" else 1.0, call.span, sized_axes(ctx, call, env))


def expand(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`expand[i = 3, j](A)`: the same value at every coordinate of axes that it lacks."""
    (value,), _ = take(ctx, callee, call, env, 1)
    if call.entries is None:
        raise AxisError("NL0315", "`expand` needs its axes", Label(call.span), hint="`expand[i = 3](A)`")
    axes = sized_axes(ctx, call, env)
    for node in flat(call):
        for axis in ctx.axis(node, env):
            free(ctx, axis, value, node)
    return replace(value, axes={**value.axes, **axes}, virtual=value.virtual | frozenset(axes), span=call.span)


def _padding_mode(mode: Any, span: Span) -> str:
    if not isinstance(mode, str) or mode not in PADDING_MODES:
        raise ArgumentError(
            "NL0226", f"there is no padding mode {mode!r}", Label(span),
            hint="modes are " + ", ".join(f'"{m}"' for m in PADDING_MODES),
        )  # fmt: skip
    return PADDING_MODES[mode]


def _fills(ctx: Context, found: Any, count: int) -> list[Value]:
    """What is padded with, along each of `count` axes: numbers, or one that only the call knows."""
    each = [found] * count
    if isinstance(found, Static) and isinstance(found.value, tuple):
        each = [Static(one, found.span) for one in per_axis(ctx, found, "value", count)]
    fills = [ctx.value(one, found.span) for one in each]
    for fill in fills:
        if fill.axes:
            raise ArgumentError("NL0220", "`value` is a number", Label(fill.span, f"this {ctx.axes_of(fill)}"))
    return fills


def _pad_one(
    ctx: Context, value: Value, axis: str, before: SizeExpr, after: SizeExpr, mode: str, fill: Value, call: tree.Call
) -> Value:
    before, after = ctx.solver.normal(before), ctx.solver.normal(after)
    if before == 0 and after == 0:
        return value
    value = ctx.materialise(value, [axis])
    size = value.axes[axis]
    shown = ctx.shown([axis])
    labels = (Label(call.span),)
    for amount, side in ((before, "before"), (after, "after")):
        message = f"{shown} is padded by {{left}} {side} it, which is less than nothing"
        ctx.solver.require(
            Check(amount, ">=", const(0), "NL0415", message, labels, "a slice takes elements away: `X[seq = 1:]`")
        )
        if mode in ("reflect", "circular"):
            most = size - 1 if mode == "reflect" else size
            message = f"{mode} padding of {shown} by {{right}}, but it has elements for {{left}} at most"
            ctx.solver.require(Check(most, ">=", amount, "NL0416", message, labels))
        if mode == "replicate":
            message = f"{shown} is empty, so it has no edge to replicate"
            ctx.solver.require(Check(size, ">=", const(1), "NL0416", message, labels))
    attrs = {"axis": axis, "before": before, "after": after, "mode": mode}
    kind = max(value.kind, fill.kind, key=lambda kind: kind.value) if mode == "constant" else value.kind
    axes = {**value.axes, axis: size + before + after}
    return ctx.primitive("pad", (value, fill), axes, call.span, attrs, kind=kind, hint="padded")


def _fold_one(ctx: Context, value: Value, axis: str, kernel: str, given: dict[str, SizeExpr], call: tree.Call) -> Value:
    value = ctx.materialise(value, [axis, kernel])
    windows, width = value.axes[axis], value.axes[kernel]
    stride, dilation, padding = given["stride"], given["dilation"], given["padding"]
    labels = (Label(call.span),)
    for name, least in (("stride", 1), ("dilation", 1), ("padding", 0), ("output_padding", 0)):
        ctx.solver.require(
            Check(given[name], ">=", const(least), "NL0417", f"`{name}` is at least {least}, not {{left}}", labels)
        )
    size = (windows - 1) * stride + dilation * (width - 1) + 1 - 2 * padding + given["output_padding"]
    ctx.solver.require(Check(size, ">=", const(0), "NL0417", "the result would have the negative size {left}", labels))
    axes = {a: (size if a == axis else s) for a, s in value.axes.items() if a != kernel}
    attrs = {"axis": axis, "kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding, "size": size}
    return ctx.primitive("fold", (value,), axes, call.span, attrs, hint="folded")


def sized_axes(ctx: Context, call: tree.Call, env: Environment) -> dict[str, SizeExpr]:
    axes: dict[str, SizeExpr] = {}
    for node in flat(call):
        for axis in ctx.axis(node, env) if node.star else (ctx.introduce(node, env),):
            if axis in axes:
                raise AxisError("NL0303", f"`{node.name}` is named twice", Label(node.span))
            if node.star:
                axes[axis] = env.sizes[axis]
            elif node.size is not None and axis not in env.declared:
                axes[axis] = ctx.length(node, env)  # this value's own, whatever others of that name have
            else:
                axes[axis] = ctx.size_of(tree.Axis(node.span, node.name), env)
    return axes
