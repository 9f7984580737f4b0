"""Results: their axes are those that the signature states, and the extra ones of the arguments.

In: what a body returns. Out: the same, checked. What always holds: an axis that the body introduced reaches the result
only where the signature names it.
"""

from __future__ import annotations

from namedlayers.errors import ArgumentError, AxisError, Label, Span, near_miss
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.definitions import axis_parameters, declared_axes, inputs_of
from namedlayers.program.elaboration.places import also, head, results
from namedlayers.program.elaboration.values import Environment, Evaluated, Several, Static, Value, star
from namedlayers.program.elaboration.wording import stray_star
from namedlayers.syntax import tree


def bind_results(ctx: Context, definition: tree.Definition, inner: Environment, env: Environment) -> None:
    """Axes that only `->` names are the caller's axes of those names."""
    check_stated(definition, inner)
    for result in definition.results or ():
        for node in result.axes:
            if node.name not in inner.axes:
                inner.axes[node.name] = ctx.introduce(tree.Axis(node.span, node.name), env)


def check_stated(definition: tree.Definition, env: Environment) -> None:
    """Raises AxisError where `->` names an axis twice, or a star that is no axis parameter."""
    for result in definition.results or ():
        for k, node in enumerate(result.axes):
            if any(node.name == earlier.name for earlier in result.axes[:k]):
                raise AxisError(
                    "NL0303", f"a result cannot have axis `{node.name}` twice", Label(node.span),
                    hint=f"give one another name: `{node.name}'`",
                )  # fmt: skip
            if node.star and node.name not in env.axes:
                raise stray_star(definition.name, node)


def check_results(
    ctx: Context, definition: tree.Definition, found: Evaluated, inner: Environment, extras: set[str], span: Span | None
) -> Evaluated:
    """The results, whose axes must be those that the signature says, and the extra ones. They come from `span`."""
    values = found.values if isinstance(found, Several) else (found,)
    if definition.results is not None and len(definition.results) != len(values):
        raise ArgumentError(
            "NL0229", f"`{definition.name}` states {_counted(len(definition.results))} and returns {len(values)}",
            Label(found.span), *also(results(definition), "stated here"),
        )  # fmt: skip
    checked = tuple(
        _check_result(ctx, definition, ctx.value(one, one.span), k, inner, extras) for k, one in enumerate(values)
    )
    if isinstance(found, Static) and definition.results is None:
        return found.at(span or found.span)
    if isinstance(found, Several):
        return Several(checked, span or found.span)
    return checked[0].at(span or checked[0].span)


def signature_axes(definition: tree.Definition, inner: Environment) -> list[tuple[str, ...]]:
    """The axes that inputs and axis parameters name: those of the inputs first, in the order in which callers give
    them."""
    names = [node.name for parameter in inputs_of(definition) for node in declared_axes(parameter)]
    names += [p.name for p in axis_parameters(definition)]
    return [star(inner.axes[name]) for name in names if name in inner.axes]


def note_sizes(ctx: Context, found: Evaluated, env: Environment) -> None:
    """Sizes that the results have along axes that the caller introduced here."""
    visible = {axis for axes in env.axes.values() for axis in star(axes)}
    for value in found.values if isinstance(found, Several) else (found,):
        if isinstance(value, Value):
            for axis, size in value.axes.items():
                if axis in visible:
                    ctx.record(axis, size, env)


def _check_result(
    ctx: Context, definition: tree.Definition, value: Value, k: int, inner: Environment, extras: set[str]
) -> Value:
    if definition.results is None:
        named = {axis for axes in signature_axes(definition, inner) for axis in axes}
        strange = [axis for axis in value.axes if axis not in named and axis not in extras]
        if strange:
            raise AxisError(
                "NL0307",
                f"the result of `{definition.name}` has {ctx.shown(strange)}, which its signature does not name",
                Label(value.span, f"this {ctx.axes_of(value)}"), *also(head(definition), "this signature"),
                hint=f"make it an axis parameter, or state it: "
                f"`-> [{', '.join(ctx.display.get(a, a) for a in value.axes)}]`",
            )  # fmt: skip
        return value
    stated = [axis for node in definition.results[k].axes for axis in star(inner.axes[node.name])]
    lacking = [axis for axis in stated if axis not in value.axes]
    if lacking:
        raise AxisError(
            "NL0308", f"the result of `{definition.name}` lacks {ctx.shown(lacking)}",
            Label(value.span, f"this {ctx.axes_of(value)}"), *also(definition.results[k].span, "stated here"),
            hint=near_miss(
                ctx.display.get(lacking[0], lacking[0]), [ctx.display.get(a, a) for a in value.axes if a not in stated]
            ),
        )  # fmt: skip
    strange = [axis for axis in value.axes if axis not in stated and axis not in extras]
    if strange:
        raise AxisError(
            "NL0307", f"the result of `{definition.name}` has {ctx.shown(strange)}, which is not stated",
            Label(value.span, f"this {ctx.axes_of(value)}"), *also(definition.results[k].span, "stated here"),
            hint=f"state it: `[{', '.join(ctx.display.get(a, a) for a in (*stated, *strange))}]`, or reduce over it",
        )  # fmt: skip
    return value


def _counted(results: int) -> str:
    return "1 result" if results == 1 else f"{results} results"
