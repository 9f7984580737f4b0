"""Inputs and options: what a call gives is bound to the names of the signature.

In: the arguments of a call. Out: names of the body's environment, and the axes that are lifted. What always holds: an
input has the axes that its declaration names; a number stands for itself at every coordinate; no extra axis bears a
name that the signature uses for something else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from namedlayers.errors import ArgumentError, AxisError, FormulaError, Label, Span, near_miss
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.definitions import axis_parameters, declared_axes, inputs_of, options_of
from namedlayers.program.elaboration.places import also, axis_in_signature
from namedlayers.program.elaboration.values import Environment, Evaluated, Value, star
from namedlayers.program.elaboration.wording import missing_axis, renamed, stray_star
from namedlayers.program.program import Check
from namedlayers.program.size import SizeExpr
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class Bound:
    """An input with its argument: the axes that the signature names there, and the others."""

    parameter: tree.Parameter
    value: Value
    declared: tuple[str, ...]
    extras: tuple[str, ...]


def bind_inputs(
    ctx: Context,
    definition: tree.Definition,
    args: dict[str, Evaluated],
    inner: Environment,
    env: Environment | None,
    span: Span,
) -> list[Bound]:
    """Bind each input to its argument or default: the axes that it must have, their sizes.

    An axis that is no parameter is the caller's axis of the same name (`env` None: the name itself, at the top).
    """
    bound: list[Bound] = []
    scalars: list[tuple[tree.Parameter, Value, list[str]]] = []
    met: dict[str, Span] = {}
    for parameter in inputs_of(definition):
        axes = [axis for node in declared_axes(parameter) for axis in _declared(ctx, node, inner, env)]
        for k, (axis, node) in enumerate(zip(axes, _spread_nodes(parameter, inner), strict=True)):
            if axis in axes[:k]:
                raise AxisError(
                    "NL0303", f"`{parameter.name}` has axis {ctx.shown([axis])} twice", Label(node.span),
                    hint=f"give one another name: `{ctx.display.get(axis, axis)}'`",
                )  # fmt: skip
        found = args.get(parameter.name)
        if found is None:
            if parameter.default is None:
                raise ArgumentError(
                    "NL0225", f"`{definition.name}` needs its input `{parameter.name}`", Label(span),
                    *also(parameter.span, "declared here"),
                )  # fmt: skip
            scalars.append((parameter, _lazy(parameter), axes))
            continue
        assert isinstance(found, Value)
        if not found.axes and axes:
            scalars.append((parameter, found, axes))
            continue
        for axis, node in zip(axes, _spread_nodes(parameter, inner), strict=True):
            if axis not in found.axes:
                raise _lacks(ctx, definition, parameter, axis, node, found, span)
            _size(ctx, axis, found.axes[axis], inner, found, node, met)
        bound.append(Bound(parameter, found, tuple(axes), tuple(a for a in found.axes if a not in axes)))
        inner.values[parameter.name] = found
    inner.declared |= {axis for axes in inner.axes.values() for axis in star(axes)}
    for parameter in inputs_of(definition):
        for node in declared_axes(parameter):
            if node.size is not None:
                ctx.introduce(node, inner)
    for node in axis_parameters(definition):
        for axis in star(inner.axes[node.name]):
            if axis not in inner.sizes:
                inner.sizes[axis] = _size_from_outside(ctx, node, axis, inner, env)
    for parameter, value, axes in scalars:
        _bind_scalar(ctx, parameter, value, axes, inner, bound)
    return bound


def bind_options(
    ctx: Context, definition: tree.Definition, args: dict[str, Evaluated], inner: Environment, span: Span
) -> None:
    """Bind each option to what is given or to its default."""
    if "training" in args:
        inner.values["training"] = args["training"]
    for parameter in options_of(definition):
        found = args.get(parameter.name)
        if found is None:
            if parameter.default is None:
                raise ArgumentError(
                    "NL0225", f"`{definition.name}` needs the option `{parameter.name}`",
                    Label(span), *also(parameter.span, "declared here"), hint=f"`{parameter.name} = …` after the `;`",
                )  # fmt: skip
            found = ctx.evaluate(parameter.default, inner)
        if isinstance(found, Value) and found.axes:
            own = not definition.span.source.shipped
            raise ArgumentError(
                "NL0220", f"option `{parameter.name}` is a number", Label(found.span, f"this {ctx.axes_of(found)}"),
                hint=f"to take a tensor, declare it as an input: `{parameter.name}[…]`" if own else "",
            )  # fmt: skip
        inner.values[parameter.name] = found


def check_clashes(ctx: Context, bound: list[Bound], inner: Environment, definition: tree.Definition) -> None:
    """An extra axis may not bear a name that the signature uses for another input or for the result."""
    named = {axis for axes in inner.axes.values() for axis in star(axes)}
    for one in bound:
        for axis in one.extras:
            if axis in named:
                shown = ctx.display.get(axis, axis)
                name = next(name for name, axes in inner.axes.items() if axis in star(axes))
                raise AxisError(
                    "NL0306",
                    f"`{definition.name}` would be lifted over axis `{shown}` of `{one.parameter.name}`, but its "
                    f"signature uses that name for another axis",
                    Label(one.value.span, f"this {ctx.axes_of(one.value)}"),
                    *also(axis_in_signature(definition, name), "the name is taken here"),
                    hint=f"rename it: {_otherwise(ctx, one, axis)}",
                )


def _otherwise(ctx: Context, one: Bound, axis: str) -> str:
    """How an argument is written whose extra axis has another name: what Python gives is named there."""
    name = ctx.display.get(axis, axis)
    if one.value.span != one.parameter.span:
        return renamed(one.value, name, f"{name}'")
    names = (f"{name}'" if other == axis else ctx.display.get(other, other) for other in one.value.axes)
    return f'`nl.named({one.parameter.name}, "{" ".join(names)}")`'


def _size_from_outside(
    ctx: Context, node: tree.Axis, axis: str, inner: Environment, env: Environment | None
) -> SizeExpr:
    """The size of an axis parameter that no input has: the caller's, the default's, or one to be solved."""
    if env is not None and axis in env.sizes and axis not in env.clashing:
        return env.sizes[axis]
    if node.name in inner.given:
        return inner.given[node.name]
    if node.size is not None:
        return ctx.length(node, inner)
    size = ctx.solver.fresh(ctx.display.get(axis, axis), Label(ctx.places.get(axis, node.span), "its size is needed"))
    if env is not None:
        ctx.record(axis, size, env)
    return size


def _declared(ctx: Context, node: tree.Axis, inner: Environment, env: Environment | None) -> tuple[str, ...]:
    if node.name not in inner.axes:
        if node.star:
            raise stray_star(inner.definition.name, node)
        outer = node.name if env is None else env.axes.get(node.name)
        if isinstance(outer, tuple):
            outer = None
        inner.axes[node.name] = outer or ctx.new_axis(node.name)
    found = inner.axes[node.name]
    if isinstance(found, tuple) != node.star:
        ctx.axis(node, inner)
    inner.used_axes.add(node.name)
    return star(found)


def _spread_nodes(parameter: tree.Parameter, inner: Environment) -> list[tree.Axis]:
    return [node for node in declared_axes(parameter) for _ in star(inner.axes[node.name])]


def _size(
    ctx: Context, axis: str, size: SizeExpr, inner: Environment, value: Value, node: tree.Axis, met: dict[str, Span]
) -> None:
    """An axis of the signature has one size: that of the first argument, or the one given in the brackets. `met` says
    where that was."""
    known = inner.sizes.get(axis)
    earlier = met.setdefault(axis, value.span)
    if known is None:
        inner.sizes[axis] = size
        return
    if earlier == value.span:
        earlier = ctx.places.get(axis, node.span)
    shown = ctx.display.get(axis, axis)
    ctx.solver.require(
        Check(
            known, "==", size, "NL0402", f"axis `{shown}` has size {{left}} in one argument and {{right}} in another"
            if earlier == met[axis] else f"axis `{shown}` has size {{left}}, but {{right}} in the argument",
            (Label(value.span, f"`{shown}` here is {{right}}"), *also(earlier, f"`{shown}` here is {{left}}")),
        )
    )  # fmt: skip


def _lazy(parameter: tree.Parameter) -> Value:
    """Stands for a default, which is evaluated once the sizes are known."""
    assert parameter.default is not None
    return Value(None, {}, None, parameter.default.span)  # type: ignore[arg-type]


def _bind_scalar(
    ctx: Context, parameter: tree.Parameter, value: Value, axes: list[str], inner: Environment, bound: list[Bound]
) -> None:
    """A number where axes are declared is the same number at every coordinate."""
    if value.draft is None:
        assert parameter.default is not None
        value = ctx.let(ctx.value(ctx.evaluate(parameter.default, inner), parameter.default.span), parameter.name)
    missing = [axis for axis in axes if axis not in value.axes]
    for axis in missing:
        if axis not in inner.sizes:
            inner.sizes[axis] = ctx.solver.fresh(ctx.display.get(axis, axis), Label(parameter.span, "this axis"))
    value = replace(
        value,
        axes={**value.axes, **{axis: inner.sizes[axis] for axis in missing}},
        virtual=value.virtual | frozenset(missing),
    )
    inner.values[parameter.name] = value
    bound.append(Bound(parameter, value, tuple(axes), tuple(a for a in value.axes if a not in axes)))


def _lacks(
    ctx: Context,
    definition: tree.Definition,
    parameter: tree.Parameter,
    axis: str,
    node: tree.Axis,
    value: Value,
    span: Span,
) -> FormulaError:
    shown = ctx.display.get(axis, axis)
    if axis in ctx.places and any(p.name == node.name for p in axis_parameters(definition)):
        # The call names the axis itself.
        return missing_axis(ctx, f"`{definition.name}` is over", axis, value, ctx.places[axis])
    others = [ctx.display.get(a, a) for a in value.axes]
    close = near_miss(shown, others)
    rename = f"rename the axis that is meant: {renamed(value, others[0] if len(others) == 1 else '…', shown)}"
    return AxisError(
        "NL0305",
        f"`{definition.name}` needs axis `{shown}` in its input `{parameter.name}`",
        Label(value.span, f"this {ctx.axes_of(value)}"),
        *also(node.span, "declared here"),
        hint=close or (rename if others else ""),
    )
