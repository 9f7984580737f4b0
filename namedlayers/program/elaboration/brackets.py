"""The brackets of a call: which axes go to which axis parameters.

In: a call and the definition that it calls. Out: the axes that the parameters' names stand for in the body. What always
holds: stars of one definition get equally many axes; one star may be left to the arguments' extra axes.
"""

from __future__ import annotations

from namedlayers.errors import AxisError, Label
from namedlayers.program.elaboration.arguments import Bracket, bracket_items, missing_brackets
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.definitions import axis_parameters, declared_axes, inputs_of
from namedlayers.program.elaboration.places import also, brackets, head
from namedlayers.program.elaboration.values import Callee, Environment, Evaluated, Value, star
from namedlayers.syntax import tree


def bind_axes(
    ctx: Context, callee: Callee, call: tree.Call, env: Environment, inner: Environment,
    definition: tree.Definition, args: dict[str, Evaluated],
) -> None:  # fmt: skip
    """Give each axis parameter its axis (a star its axes), by position; one star may be left to the arguments."""
    parameters = axis_parameters(definition)
    if not parameters:
        if call.entries:
            raise AxisError(
                "NL0316", f"`{callee.name}` takes no axes",
                Label(brackets(call)), *also(head(definition), "its definition"),
                hint=f"it is applied at each coordinate: `{callee.name}(…)`",
            )  # fmt: skip
        return
    if call.entries is None:
        values = [one for one in args.values() if isinstance(one, Value)]
        raise missing_brackets(ctx, callee, call, _shown(values, parameters))
    items = bracket_items(call)
    shares = _shares(ctx, callee, call, env, parameters, items, definition, args)
    for parameter, share in zip(parameters, shares, strict=True):
        bound: list[str] = []
        for item in share:
            if isinstance(item, str):
                bound.append(item)
                continue
            axis = ctx.introduce(item, env)
            bound.append(axis)
            if axis in bound[:-1] or any(axis in star(axes) for axes in inner.axes.values()):
                raise AxisError("NL0303", f"{ctx.shown([axis])} is named twice", Label(item.span))
            if item.size is not None:
                inner.sizes[axis] = ctx.length(item, env)
        inner.axes[parameter.name] = tuple(bound) if parameter.star else bound[0]


def _shown(values: list[Value], parameters: list[tree.Axis]) -> Value | None:
    """The argument whose axes can be suggested for all parameters."""
    first = values[0] if values else None
    return first if first is not None and len(parameters) in (1, len(first.axes)) else None


def _shares(
    ctx: Context, callee: Callee, call: tree.Call, env: Environment, parameters: list[tree.Axis],
    items: list[Bracket], definition: tree.Definition, args: dict[str, Evaluated],
) -> list[list[tree.Axis | str]]:  # fmt: skip
    """Which bracket items go to which parameter; a caller's own stars stand for their axes."""
    if any(isinstance(item, tree.Group) for item in items):
        if len(items) != len(parameters):
            raise _count(callee, call, len(items), parameters, definition)
        grouped: list[list[tree.Axis | str]] = []
        for parameter, item in zip(parameters, items, strict=True):
            if isinstance(item, tree.Group) and not parameter.star:
                raise AxisError("NL0314", f"`{callee.name}` needs one axis here, not a group", Label(item.span))
            grouped.append(_spread(ctx, env, item.items if isinstance(item, tree.Group) else (item,)))
        return grouped
    flat = _spread(ctx, env, items)  # type: ignore[arg-type]
    stars = sum(p.star for p in parameters)
    rest = len(flat) - (len(parameters) - stars)
    if stars == 1 and rest == 0 and flat:
        star = next(p for p in parameters if p.star)
        inferred = _inferred(
            ctx, env, definition, star, args, {item.name for item in flat if isinstance(item, tree.Axis)}
        )
        return [list(inferred) if p.star else [flat.pop(0)] for p in parameters]
    if rest < 0 or (rest and not stars) or (stars and rest % stars):
        raise _count(callee, call, len(flat), parameters, definition)
    width = rest // stars if stars else 0
    shares = []
    for parameter in parameters:
        count = width if parameter.star else 1
        shares.append(flat[:count])
        flat = flat[count:]
    return shares


def _spread(ctx: Context, env: Environment, items: tuple[tree.Axis, ...] | list[tree.Axis]) -> list[tree.Axis | str]:
    found: list[tree.Axis | str] = []
    for item in items:
        found += ctx.axis(item, env) if item.star and isinstance(env.axes.get(item.name), tuple) else (item,)
        if item.star and not isinstance(env.axes.get(item.name), tuple):
            ctx.axis(item, env)
    return found


def _inferred(
    ctx: Context,
    env: Environment,
    definition: tree.Definition,
    star: tree.Axis,
    args: dict[str, Evaluated],
    named: set[str],
) -> list[str]:
    """The axes of a star that the call leaves out: those of its first input that the signature does not name. What
    the definitions around are lifted over stays what it is lifted over."""
    for parameter in inputs_of(definition):
        axes = declared_axes(parameter)
        value = args.get(parameter.name)
        if any(a.star and a.name == star.name for a in axes) and isinstance(value, Value):
            taken = {env.axes.get(name) for name in named} | {env.axes.get(a.name) for a in axes if not a.star}
            return [axis for axis in value.axes if axis not in taken and axis not in ctx.lifted]
    return []


def _count(
    callee: Callee, call: tree.Call, given: int, parameters: list[tree.Axis], definition: tree.Definition
) -> AxisError:
    listed = ", ".join(("*" if p.star else "") + p.name for p in parameters)
    stars = [f"*{p.name}" for p in parameters if p.star]
    hint = f"name as many for {stars[0]} as for {stars[1]}" if len(stars) == 2 else ""
    if given < len(parameters) and not stars:
        more = len(parameters) - given
        names = ", ".join([one.span.text for one in call.entries or ()] + [p.name for p in parameters[given:]])
        hint = f"name {more} more: `{callee.name}[{names}](…)`"
    return AxisError(
        "NL0316", f"`{callee.name}` takes the axes [{listed}], but {given} {'is' if given == 1 else 'are'} given",
        Label(brackets(call)), *also(head(definition), "its definition"),
        hint=hint,
    )  # fmt: skip
