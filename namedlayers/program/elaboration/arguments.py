"""The brackets and parentheses of a call, taken apart.

In: a call. Out: its axes, data and options. What always holds: what a call gives and the callee does not know is an
error, and so is what the callee needs and the call does not give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from namedlayers.errors import ArgumentError, AxisError, Label, near_miss
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.foreign import dimension
from namedlayers.program.elaboration.places import also, brackets
from namedlayers.program.elaboration.stars import unzip
from namedlayers.program.elaboration.values import Callee, Environment, Static, Value
from namedlayers.program.elaboration.wording import missing_axis
from namedlayers.syntax import tree

REQUIRED = object()
"""Stands where an option has no default."""

USAGE = {
    "where": "where(condition, then, otherwise)",
    "solve": "solve[i, j](A, b)",
    "zeros": "zeros[i, j]",
    "ones": "ones[i, j]",
    "index": "index[seq]",
    "concat": "concat[seq](A, B)",
    "stack": "stack[pair](A, B)",
    "pad": "pad[seq](A; before = 1, after = 1)",
    "normal": "mean + deviation * normal[seq]",
    "uniform": "least + width * uniform[seq]",
    **{name: f"{name}[seq](A)" for name in "sum prod any all logsumexp argmax argmin sort argsort".split()},
    **{name: f"{name}[seq](A)" for name in "cumsum cumprod cummax cummin logcumsumexp".split()},
    "size": "size[seq](A)",
    "expand": "expand[i = 3](A)",
    "dropout": "dropout(X; p = 0.1)",
    **{name: f"{name}[seq](A)`, or elementwise `{name}imum(a, b)" for name in ("max", "min")},
    **{name: f"{name}(a, b)" for name in ("minimum", "maximum", "logaddexp", "atan2")},
}
"""How operations of several values are written, or of none."""

Bracket = tree.Axis | tree.Group


def bracket_items(call: tree.Call) -> list[Bracket]:
    """The brackets in order: `[a, b -> c = 3]` is a, b, c, the size standing with its axis."""
    items: list[Bracket] = []
    for entry in call.entries or ():
        ends = [part for part in (entry.source, entry.target) if part is not None]
        if entry.value is not None:
            last = ends[-1]
            if isinstance(last, tree.Group) or isinstance(entry.value, tree.Slice):
                raise AxisError("NL0314", "a size is given to one axis, as an integer", Label(entry.span))
            ends[-1] = tree.Axis(entry.span, last.name, last.star, entry.value)
        items += ends
    return items


def existing_axes(
    ctx: Context,
    callee: Callee,
    call: tree.Call,
    env: Environment,
    count: int | None = None,
    value: Value | None = None,
) -> list[str]:
    """The axes between the brackets, all of which exist; `count` of them if given. Errors may suggest the value's."""
    if call.entries is None:
        raise missing_brackets(ctx, callee, call, value)
    axes: list[str] = []
    for node in flat(call):
        for axis in ctx.axis(node, env):
            if axis in axes:
                raise AxisError("NL0303", f"{ctx.shown([axis])} is named twice", Label(node.span))
            axes.append(axis)
    if count is not None and len(axes) != count:
        raise wrong_count(callee, call, len(axes), count)
    return axes


def flat(call: tree.Call) -> list[tree.Axis]:
    """The bracket items, none of which may be a group."""
    found = []
    for item in bracket_items(call):
        if isinstance(item, tree.Group):
            listed = ", ".join(node.name for node in item.items)
            raise AxisError(
                "NL0314",
                "axes are named one by one here, without parentheses",
                Label(item.span),
                hint=f"write `{listed}`",
            )
        found.append(item)
    return found


def wrong_count(callee: Callee, call: tree.Call, given: int, wanted: int | str) -> AxisError:
    noun = "axis" if wanted == 1 else "axes"
    hint = f"`{usage}`" if (usage := USAGE.get(callee.name)) else ""
    hint = "merge them first: `X[(h, w) -> flat]`" if wanted == 1 and given > 1 else hint
    return AxisError("NL0316", f"`{callee.name}` takes {wanted} {noun}, not {given}", Label(brackets(call)), hint=hint)


def missing_brackets(ctx: Context, callee: Callee, call: tree.Call, value: Value | None) -> AxisError:
    """The error for a call without the axes that it needs; an argument's own axes are a suggestion."""
    axes = ", ".join(ctx.display.get(axis, axis) for axis in value.axes) if value is not None else ""
    return AxisError(
        "NL0315", f"`{callee.name}` needs its axes", Label(call.function.span),
        hint=f"name them: `{callee.name}[{axes or '…'}](…)`",
    )  # fmt: skip


def take(
    ctx: Context, callee: Callee, call: tree.Call, env: Environment, data: int, options: Mapping[str, Any] | None = None
) -> tuple[list[Value], dict[str, Any]]:
    """`data` positional tensors (-1: one or more) and the options' evaluated values, defaults filled in."""
    for arg in call.args:
        if arg.name is None and isinstance(arg.value, tree.String):
            raise ArgumentError(
                "NL0212", "a string is not a value to compute with", Label(arg.value.span),
                hint=dimension(callee.name, "axis"),
            )  # fmt: skip
    tensors = [ctx.value(ctx.evaluate(arg.value, env), arg.value.span) for arg in call.args if arg.name is None]
    if len(tensors) != data and not (data == -1 and tensors):
        wanted = "one or more values" if data == -1 else f"{data} {'value' if data == 1 else 'values'}"
        hint = f"`{usage}`" if (usage := USAGE.get(callee.name)) else ""
        raise ArgumentError(
            "NL0223", f"`{callee.name}` takes {wanted}, not {len(tensors)}", Label(call.span), hint=hint
        )
    known = dict(options or {})
    positional = list(known)
    given: dict[str, Any] = {}
    rest = [a for a in call.args if a.name is not None] + [*call.options, *call.settings]
    for k, arg in enumerate(rest):
        name = arg.name if arg.name is not None else positional[k] if k < len(positional) else None
        if name not in known:
            raise ArgumentError(
                "NL0219", f"`{callee.name}` has no option `{arg.name or arg.value.span.text}`", Label(arg.span),
                hint=dimension(callee.name, arg.name or "") or near_miss(arg.name or "", known)
                or (f"its options are {', '.join(known)}" if known else "it has none"),
            )  # fmt: skip
        if name in given:
            earlier = given[name].span
            raise ArgumentError("NL0224", f"`{name}` is given twice", Label(arg.span), *also(earlier, "first here"))
        given[name] = along_stars(ctx, arg.value, call, env)
    for name, default in known.items():
        if name not in given:
            if default is REQUIRED:
                hint = f"`{usage}`" if (usage := USAGE.get(callee.name)) else ""
                raise ArgumentError("NL0225", f"`{callee.name}` needs `{name}`", Label(call.span), hint=hint)
            given[name] = Static(default, call.span)
    return tensors, given


def along_stars(ctx: Context, expr: tree.Expr, call: tree.Call, env: Environment) -> Any:
    """An option's value; where it names a star, or the call's brackets have one, a tuple along it."""
    starred = [item for item in bracket_items(call) if isinstance(item, tree.Axis) and item.star]
    environments = unzip(ctx, expr, env)
    if not starred or (environments and environments[0] is env):
        return ctx.evaluate(expr, env)
    return Static(tuple(ctx.static(expr, inner, "an option along axes") for inner in environments), expr.span)


def static_option(ctx: Context, value: Any, name: str) -> Any:
    """The value of an option that must be known while compiling."""
    return ctx.known(value, value.span, f"`{name}`")


def per_axis(ctx: Context, given: Any, name: str, count: int) -> list[Any]:
    """An option along `count` axes: a tuple item by item, anything else for each."""
    value = static_option(ctx, given, name)
    if not isinstance(value, tuple):
        return [value] * count
    if len(value) != count:
        items, axes = (
            ("1 item" if len(value) == 1 else f"{len(value)} items"),
            ("1 axis" if count == 1 else f"{count} axes"),
        )
        raise ArgumentError(
            "NL0232", f"`{name}` has {items} for {axes}", Label(given.span),
            hint="give one number for all axes, or a tuple with one for each",
        )  # fmt: skip
    return list(value)


def along(
    ctx: Context, callee: Callee, call: tree.Call, env: Environment, value: Value, count: int | None = None
) -> list[str]:
    """The axes in the brackets, all of which the value must have."""
    axes = existing_axes(ctx, callee, call, env, count, value)
    for axis in axes:
        if axis not in value.axes:
            node = next(n for n in flat(call) if axis in ctx.axis(n, env))
            raise missing_axis(ctx, f"`{callee.name}` is over", axis, value, node.span)
    return axes


def free(ctx: Context, axis: str, value: Value, node: tree.Axis, but: str | None = None) -> None:
    """A new axis must not be one that the value has already."""
    if axis in value.axes and axis != but:
        raise AxisError(
            "NL0304",
            f"the value has axis `{node.name}` already",
            Label(node.span),
            Label(value.span, f"this {ctx.axes_of(value)}"),
        )
