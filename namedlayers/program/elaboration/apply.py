"""Applying a definition: its body is elaborated in place, lifted over every axis that it does not name.

In: a definition, a call of it and the environment of the call. Out: the value of the body. What always holds: axes that
the body introduces are new ones, so that they never capture a caller's; those that reach the result stand in its
signature; an extra axis of an argument bears no name that the signature uses for something else (paper, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from namedlayers.errors import ArgumentError, AxisError, FormulaError, FormulaSyntaxError, Label, near_miss
from namedlayers.program.elaboration.arguments import along_stars
from namedlayers.program.elaboration.brackets import bind_axes
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.definitions import axis_parameters, inputs_of
from namedlayers.program.elaboration.foreign import dimension
from namedlayers.program.elaboration.inputs import bind_inputs, bind_options, check_clashes
from namedlayers.program.elaboration.layers import enter, given_sizes, note_part
from namedlayers.program.elaboration.places import also, brackets, head
from namedlayers.program.elaboration.reading import WantsInteger
from namedlayers.program.elaboration.results import bind_results, check_results, note_sizes
from namedlayers.program.elaboration.state import CALL
from namedlayers.program.elaboration.values import Callee, Environment, Evaluated, Instance, Static, Value
from namedlayers.program.solver import located
from namedlayers.syntax import tree

DEEPEST_CALL = 60


def apply_definition(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """The result of `callee[entries](args; options)`."""
    return _apply(ctx, callee, call, env, None)


def apply_instance(ctx: Context, one: Instance, call: tree.Call, env: Environment) -> Evaluated:
    """The result of an instance: `up(X)`, or of a layer that is applied where it is written."""
    own = call is not one.call
    if own and (call.entries is not None or call.settings):
        raise AxisError(
            "NL0327", f"`{one.name}` has its axes and settings already", Label(brackets(call)),
            *also(one.span, "given here"), hint=f"write `{one.name}(…)`",
        )  # fmt: skip
    return _apply(ctx, one.callee, call, env, one)


def _apply(ctx: Context, callee: Callee, call: tree.Call, env: Environment, one: Instance | None) -> Evaluated:
    definition = callee.definition
    assert definition is not None
    _may_be_called(ctx, callee, call, definition)
    ctx.step(call.span, CALL)
    inner = Environment(callee.namespace, definition)
    if one is not None:
        inner.path, inner.order, inner.given = one.path, one.order, given_sizes(ctx, one)
    args = _arguments(ctx, callee, call, env, definition, one, inner.given)
    mode = ctx.modes.get(".".join(one.path)) if one is not None else None
    inner.values["training"] = Static(mode, call.span) if mode is not None else env.values.get(
        "training", Static(False, call.span)
    )  # fmt: skip
    if one is None:
        bind_axes(ctx, callee, call, env, inner, definition, args)
    else:
        bind_axes(ctx, callee, replace(one.call, args=call.args), one.env, inner, definition, args)
    bound = bind_inputs(ctx, definition, args, inner, env, call.span)
    bind_results(ctx, definition, inner, env)
    bind_options(ctx, definition, args, inner, call.span)
    check_clashes(ctx, bound, inner, definition)
    uses = ctx.uses
    if one is not None:
        ctx.uses = (*uses, call.span)
        enter(ctx, inner)
    lifted = ctx.lifted
    ctx.lifted = {**lifted, **{axis: one.value.axes[axis] for one in bound for axis in one.extras}}
    try:
        found = _run_body(ctx, callee, call, env, inner, definition)
    finally:
        ctx.lifted, ctx.uses = lifted, uses
    if one is not None:
        note_part(ctx, one, inner)
    extras = {axis for one in bound for axis in one.extras}
    note_sizes(ctx, found, env)
    return check_results(ctx, definition, found, inner, extras, call.span)


def _run_body(
    ctx: Context, callee: Callee, call: tree.Call, env: Environment, inner: Environment, definition: tree.Definition
) -> Evaluated:
    """The body's result; what goes wrong in another text than the caller's is shown at the call first."""
    within, site = ctx.within, ctx.solver.site
    ctx.within, ctx.calling = (*within, callee.name), (*ctx.calling, definition)
    if site is None and definition.span.source is not call.span.source:
        ctx.solver.site = Label(call.span, f"in this use of `{callee.name}`")
    try:
        found = ctx.run(definition.body, inner)
    except FormulaError as error:
        labels = located(error.labels, ctx.solver.site)
        raise type(error)(error.code, error.message, *labels, hint=error.hint) from None
    except WantsInteger as wanted:
        said = wanted.error
        labels = located(said.labels, ctx.solver.site)
        raise WantsInteger(wanted.inputs, ArgumentError(said.code, said.message, *labels, hint=said.hint)) from None
    finally:
        ctx.within, ctx.calling, ctx.solver.site = within, ctx.calling[:-1], site
    assert found is not None
    return found


def _may_be_called(ctx: Context, callee: Callee, call: tree.Call, definition: tree.Definition) -> None:
    for k, one in enumerate(ctx.calling):
        if definition is one:
            others = [f"`{other.name}`" for other in ctx.calling[k + 1 :]]
            way = f" through {', '.join(others)}" if others else ""
            raise FormulaSyntaxError(
                "NL0206", f"`{callee.name}` uses itself{way}", Label(call.function.span),
                *also(head(definition), "it is defined here"), hint="there is no recursion: every formula terminates",
            )  # fmt: skip
    if len(ctx.calling) >= DEEPEST_CALL:
        raise FormulaSyntaxError(
            "NL0602", f"definitions use each other more than {DEEPEST_CALL} deep", Label(call.function.span)
        )


def _sized(callee: Callee, option: str, definition: tree.Definition) -> str:
    """How the size of an axis is given that was taken for an option."""
    axes = [("*" if axis.star else "") + axis.name for axis in axis_parameters(definition)]
    if option not in axes:
        return ""
    brackets = ", ".join(f"{axis} = …" if axis == option else axis for axis in axes)
    return f"`{option}` is an axis, and its size stands in the brackets: `{callee.name}[{brackets}](…)`"


def _arguments(
    ctx: Context, callee: Callee, call: tree.Call, env: Environment, definition: tree.Definition,
    one: Instance | None, sizes: Mapping[str, object],
) -> dict[str, Evaluated]:  # fmt: skip
    """The evaluated arguments by the name of the input or option; tensors are let-bound. An instance's settings are
    those of its brackets, where `sizes` are given too."""
    names = {p.name: p for p in (*definition.data, *definition.parameters)}
    settings = call.settings if one is None else tuple(a for a in one.call.settings if a.name not in sizes)
    slots = [
        # As from Python, tensors may be given in the signature's order, data and then parameters.
        *_named(ctx, call.args, [p.name for p in inputs_of(definition)], callee, "before the `;`", env, definition),
        *_named(ctx, call.options, [p.name for p in definition.parameters], callee, "after the `;`", env, definition),
        *_named(ctx, settings, [], callee, "in the brackets", env, definition),
    ]
    found: dict[str, Evaluated] = {}
    for name, arg in slots:
        if name not in names and name != "training":
            listed = f"it takes {', '.join(names)}" if names else "it takes nothing"
            raise ArgumentError(
                "NL0219", f"`{callee.name}` has no input or option `{name}`", Label(arg.span),
                *also(head(definition), "its definition"),
                hint=dimension(callee.name, name)
                or _sized(callee, name, definition)
                or near_miss(name, names)
                or listed,
            )  # fmt: skip
        if name in found:
            first = next(earlier for other, earlier in slots if other == name)
            raise ArgumentError("NL0224", f"`{name}` is given twice", Label(arg.span), Label(first.span, "first here"))
        where = one.env if one is not None and any(arg is setting for setting in settings) else env
        is_option = name == "training" or names[name].axes is None and names[name] not in definition.data
        if is_option:
            value = along_stars(ctx, arg.value, call, where)
        else:
            value = ctx.value(ctx.evaluate(arg.value, where), arg.value.span)
        bound = isinstance(value, Value)
        found[name] = ctx.let(value, _called(arg.value) or name).at(arg.value.span) if bound else value
    return found


def _called(expr: tree.Expr) -> str:
    """A name for an argument that is a call: what it calls."""
    named = isinstance(expr, tree.Call) and isinstance(expr.function, tree.Name)
    return expr.function.name if named else ""  # type: ignore[union-attr]


def _named(
    ctx: Context, args: tuple[tree.Argument, ...], positions: list[str], callee: Callee, where: str, env: Environment,
    definition: tree.Definition,
) -> list[tuple[str, tree.Argument]]:  # fmt: skip
    found, used = [], 0
    for arg in args:
        if arg.name is not None:
            found.append((arg.name, arg))
            continue
        if used >= len(positions):
            count = f"{len(positions) or 'no'} positional argument{'' if len(positions) == 1 else 's'}"
            listed = f"{where} stand{'s' if len(positions) == 1 else ''} {', '.join(positions)}" if positions else ""
            raise ArgumentError(
                "NL0228", f"`{callee.name}` takes {count} {where}, and this is one more", Label(arg.span),
                hint=_in_brackets(args, arg, callee, env)
                or _by_name(arg, callee, definition)
                or _numbered(ctx, args, callee, definition, env)
                or listed,
            )  # fmt: skip
        found.append((positions[used], arg))
        used += 1
    return found


def _in_brackets(args: tuple[tree.Argument, ...], one: tree.Argument, callee: Callee, env: Environment) -> str:
    """What to write where an axis is given as a value."""
    values = [arg.value for arg in args if arg.name is None]
    axes = [x.name for x in values if isinstance(x, tree.Name) and x.name in env.axes and x.name not in env.values]
    if not isinstance(one.value, tree.Name) or one.value.name not in axes:
        return ""
    return f"axes stand in brackets: `{callee.name}[{', '.join(axes)}](…)`"


def _by_name(one: tree.Argument, callee: Callee, definition: tree.Definition) -> str:
    """What to write where an option is given as torch takes it: as one more value."""
    inputs = {p.name for p in inputs_of(definition)}
    options = [p.name for p in definition.parameters if p.name not in inputs]
    return f"options are given by name: `{callee.name}(…; {options[0]} = {one.value.span.text})`" if options else ""


def _numbered(
    ctx: Context, args: tuple[tree.Argument, ...], callee: Callee, definition: tree.Definition, env: Environment
) -> str:
    """What to write where the number of an axis is given, as torch takes it: as one more value."""
    parameters = axis_parameters(definition)
    if not parameters:
        return ""
    first = args[0].value
    value = env.values.get(first.name) if isinstance(first, tree.Name) else None
    if len(parameters) == 1 and isinstance(value, Value) and value.axes:
        shown = [f"`{callee.name}[{ctx.display.get(axis, axis)}](…)`" for axis in value.axes]
    else:
        shown = [f"`{callee.name}[{', '.join(axis.name for axis in parameters)}](…)`"]
    return f"axes stand in brackets, by name: {' or '.join(shown)}"
