"""Brackets after a value: renames, merges, splits, selections, slices, indices by coordinates and by tensors.

In: a value and the entries between its brackets. Out: a value. What always holds: all entries apply at once (axes that
steps make are given names of their own until the end); what is not proved to be in range is checked at the call.
"""

from __future__ import annotations

from namedlayers.errors import ArgumentError, AxisError, Label, near_miss
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.lets import hint_of
from namedlayers.program.elaboration.reshaping import Reshaping
from namedlayers.program.elaboration.stars import unzip
from namedlayers.program.elaboration.steps import Plain
from namedlayers.program.elaboration.values import Environment, Value
from namedlayers.program.elaboration.wording import missing_axis, spelled
from namedlayers.syntax import tree


def index(ctx: Context, base: Value, expr: tree.Index, env: Environment) -> Value:
    """`base[entries; options]`."""
    fill = _fill(ctx, expr, env)
    plain = [one for entry in expr.entries for one in _expand(ctx, entry, env)]
    if not plain:
        raise AxisError("NL0310", "nothing stands between the brackets", Label(expr.span), hint="leave them away")
    base = ctx.let(base, hint_of(base.draft))
    state = Reshaping(ctx, expr, base, _sources(ctx, base, plain))
    computed = [one for one in plain if one.value is not None]
    state.by_value(computed, fill)
    for one in plain:
        if one.value is None:
            state.reshape(one)
    return state.finish()


def _fill(ctx: Context, expr: tree.Index, env: Environment) -> Value | None:
    fill = None
    for option in expr.options:
        if option.name != "fill":
            raise ArgumentError(
                "NL0219", f"an index has no option `{option.name or option.span.text}`", Label(option.span),
                hint="its option is `fill`, the value read outside the axis",
            )  # fmt: skip
        fill = ctx.value(ctx.evaluate(option.value, env), option.value.span)
        if fill.axes:
            raise ArgumentError("NL0220", "`fill` is a number", Label(option.value.span, f"this {ctx.axes_of(fill)}"))
    return fill


def _expand(ctx: Context, entry: tree.Entry, env: Environment) -> list[Plain]:
    """The entry once for each axis of its star, if it has one outside a group."""
    if entry.target is None and entry.value is None:
        raise AxisError(
            "NL0310", f"`{entry.span.text}` alone says nothing about the axis", Label(entry.span),
            hint=f"rename it (`{entry.span.text} -> …`) or index it (`{entry.span.text} = …`); "
            "a value's axes are not written",
        )  # fmt: skip
    found = []
    starred = isinstance(entry.source, tree.Axis) and entry.source.star
    for inner in unzip(ctx, entry, env) if starred else [env]:
        sources = _items(ctx, entry.source, inner, starred)
        targets = None if entry.target is None else _items(ctx, entry.target, inner, starred)
        found.append(Plain(sources, targets, entry.value, inner, entry.span))
    return found


def _items(ctx: Context, part: tree.Axis | tree.Group, env: Environment, zipped: bool) -> tuple[tree.Axis, ...]:
    """The axes of a source or target; a star inside a group stands for its axes."""
    items = part.items if isinstance(part, tree.Group) else (part,)
    listed: list[tree.Axis] = []
    for item in items:
        if item.star and not (zipped and isinstance(env.axes.get(item.name), str)):
            names = {axis: name for name, axis in env.axes.items() if isinstance(axis, str)}
            for axis in ctx.axis(item, env):
                name = names.get(axis, axis)
                env.axes.setdefault(name, axis)
                listed.append(tree.Axis(item.span, name))
        else:
            listed.append(tree.Axis(item.span, item.name, False, item.size))
    return tuple(listed)


def _sources(ctx: Context, base: Value, plain: list[Plain]) -> dict[str, Plain]:
    """Each indexed axis with its entry; every source must be there, and once only."""
    found: dict[str, Plain] = {}
    for one in plain:
        for node in one.sources:
            if node.name not in one.env.axes:
                shown = {ctx.display.get(a, a) for a in base.axes}
                raise AxisError(
                    "NL0301", f"{spelled(base)} has no axis `{node.name}`", Label(node.span),
                    Label(base.span, f"this {ctx.axes_of(base)}"), hint=near_miss(node.name, shown),
                )  # fmt: skip
            (axis,) = ctx.axis(node, one.env)
            if axis not in base.axes:
                what = "this renames" if one.targets is not None else "this indexes"
                raise missing_axis(ctx, what, axis, base, node.span)
            if axis in found:
                raise AxisError(
                    "NL0303", f"`{node.name}` is indexed twice",
                    Label(node.span), Label(found[axis].span, "first here"),
                    hint="all entries apply at once; one after the other is `X[…][…]`",
                )  # fmt: skip
            found[axis] = one
            if node.size is not None:
                ctx.same_size(axis, base.axes[axis], ctx.length(node, one.env), base.span, node.span)
    return found
