"""Applying a definition: its body is elaborated in place, lifted over every axis that it does not name.

In: a definition, a call of it and the environment of the call. Out: the value of the body. What always holds: axes that
the body introduces are new ones, so that they never capture a caller's; those that reach the result stand in its
signature; an extra axis of an argument bears no name that the signature uses for something else (paper, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from namedlayers.errors import ArgumentError, AxisError, FormulaError, FormulaSyntaxError, Label, Span, near_miss
from namedlayers.program.arguments import Bracket, along_stars, bracket_items, missing_brackets
from namedlayers.program.context import CALL, Context, missing_axis, renamed
from namedlayers.program.places import also, axis_in_signature, brackets, head, results
from namedlayers.program.program import Check
from namedlayers.program.size import SizeExpr
from namedlayers.program.solver import located
from namedlayers.program.values import Callee, Environment, Evaluated, Several, Static, Value
from namedlayers.syntax import tree

DEEPEST_CALL = 60


def apply_definition(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """The result of `callee[entries](args; options)`."""
    definition = callee.definition
    assert definition is not None
    _may_be_called(ctx, callee, call, definition)
    ctx.step(call.span, CALL)
    args = _arguments(ctx, callee, call, env, definition)
    inner = Environment(callee.namespace, definition)
    inner.values["training"] = env.values.get("training", Static(False, call.span))
    _bind_axes(ctx, callee, call, env, inner, definition, args)
    bound = bind_inputs(ctx, definition, args, inner, env, call.span)
    _bind_results(ctx, definition, inner, env)
    bind_options(ctx, definition, args, inner, call.span)
    check_clashes(ctx, bound, inner, definition)
    found = _run_body(ctx, callee, call, env, inner, definition)
    extras = {axis for one in bound for axis in one.extras}
    _note_sizes(ctx, found, env)
    return check_results(ctx, definition, found, inner, extras, call.span)


@dataclass(frozen=True, slots=True)
class Bound:
    """An input with its argument: the axes that the signature names there, and the others."""

    parameter: tree.Parameter
    value: Value
    declared: tuple[str, ...]
    extras: tuple[str, ...]


def inputs_of(definition: tree.Definition) -> list[tree.Parameter]:
    """The tensors that a definition takes: data, and parameters with brackets."""
    return [*definition.data, *(p for p in definition.parameters if p.axes is not None)]


def options_of(definition: tree.Definition) -> list[tree.Parameter]:
    return [p for p in definition.parameters if p.axes is None]


def axis_parameters(definition: tree.Definition) -> list[tree.Axis]:
    """The axis parameters in order; a default size stands with its axis."""
    found: list[tree.Axis] = []
    for entry in definition.axes:
        ends = [part for part in (entry.source, entry.target) if part is not None]
        for k, part in enumerate(ends):
            if isinstance(part, tree.Group):
                raise AxisError("NL0314", "an axis parameter is one axis", Label(part.span))
            last = k == len(ends) - 1 and entry.value is not None and not isinstance(entry.value, tree.Slice)
            found.append(tree.Axis(part.span, part.name, part.star, entry.value if last else part.size))  # type: ignore[arg-type]
    return found


def declared_axes(parameter: tree.Parameter) -> list[tree.Axis]:
    """The axes that a signature names for an input."""
    found: list[tree.Axis] = []
    for item in parameter.axes or ():
        if isinstance(item, tree.Group):
            raise AxisError("NL0314", "an input's axes are named one by one; split it in the body", Label(item.span))
        found.append(item)
    return found


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
    finally:
        ctx.within, ctx.calling, ctx.solver.site = within, ctx.calling[:-1], site
    assert found is not None
    return found


# --- binding ----------------------------------------------------------------------------------------------------------


def _may_be_called(ctx: Context, callee: Callee, call: tree.Call, definition: tree.Definition) -> None:
    if definition.kind == "layer":
        raise not_yet(f"`{callee.name}` is a layer", call.function.span, LAYER_HINT)
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


def not_yet(what: str, span: Span, hint: str = "") -> FormulaError:
    """The error for what the language has and this version does not compile."""
    return FormulaSyntaxError("NL0210", f"{what}, and this version does not compile that yet", Label(span), hint=hint)


LAYER_HINT = "write it as a `def` that takes its parameters after the `;`"


def _arguments(
    ctx: Context, callee: Callee, call: tree.Call, env: Environment, definition: tree.Definition
) -> dict[str, Evaluated]:
    """The evaluated arguments by the name of the input or option; tensors are let-bound."""
    names = {p.name: p for p in (*definition.data, *definition.parameters)}
    slots = [
        # As from Python, tensors may be given in the signature's order, data and then parameters.
        *_named(call.args, [p.name for p in inputs_of(definition)], callee, "before the `;`"),
        *_named(call.options, [p.name for p in definition.parameters], callee, "after the `;`"),
        *_named(call.settings, [], callee, "in the brackets"),
    ]
    found: dict[str, Evaluated] = {}
    for name, arg in slots:
        if name not in names and name != "training":
            listed = f"it takes {', '.join(names)}" if names else "it takes nothing"
            raise ArgumentError(
                "NL0219", f"`{callee.name}` has no input or option `{name}`", Label(arg.span),
                *also(head(definition), "its definition"), hint=near_miss(name, names) or listed,
            )  # fmt: skip
        if name in found:
            first = next(one for other, one in slots if other == name)
            raise ArgumentError("NL0224", f"`{name}` is given twice", Label(arg.span), Label(first.span, "first here"))
        is_option = name == "training" or names[name].axes is None and names[name] not in definition.data
        if is_option:
            one = along_stars(ctx, arg.value, call, env)
        else:
            one = ctx.value(ctx.evaluate(arg.value, env), arg.value.span)
        found[name] = ctx.let(one, _called(arg.value) or name).at(arg.value.span) if isinstance(one, Value) else one
    return found


def _called(expr: tree.Expr) -> str:
    """A name for an argument that is a call: what it calls."""
    named = isinstance(expr, tree.Call) and isinstance(expr.function, tree.Name)
    return expr.function.name if named else ""  # type: ignore[union-attr]


def _named(
    args: tuple[tree.Argument, ...], positions: list[str], callee: Callee, where: str
) -> list[tuple[str, tree.Argument]]:
    found, used = [], 0
    for arg in args:
        if arg.name is not None:
            found.append((arg.name, arg))
            continue
        if used >= len(positions):
            count = f"{len(positions) or 'no'} positional argument{'' if len(positions) == 1 else 's'}"
            raise ArgumentError(
                "NL0228", f"`{callee.name}` takes {count} {where}, and this is one more", Label(arg.span),
                hint=f"{where} stand{'s' if len(positions) == 1 else ''} {', '.join(positions)}" if positions else "",
            )  # fmt: skip
        found.append((positions[used], arg))
        used += 1
    return found


def _bind_axes(
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
        raise missing_brackets(ctx, callee, call, values[0] if values and len(parameters) == 1 else None)
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
            if axis in bound[:-1] or any(axis in _star(axes) for axes in inner.axes.values()):
                raise AxisError("NL0303", f"{ctx.shown([axis])} is named twice", Label(item.span))
            if item.size is not None:
                inner.sizes[axis] = ctx.length(item, env)
        inner.axes[parameter.name] = tuple(bound) if parameter.star else bound[0]


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
    """The axes of a star that the call leaves out: those of its first input that the signature does not name."""
    for parameter in inputs_of(definition):
        axes = declared_axes(parameter)
        value = args.get(parameter.name)
        if any(a.star and a.name == star.name for a in axes) and isinstance(value, Value):
            taken = {env.axes.get(name) for name in named} | {env.axes.get(a.name) for a in axes if not a.star}
            return [axis for axis in value.axes if axis not in taken]
    return []


def _count(
    callee: Callee, call: tree.Call, given: int, parameters: list[tree.Axis], definition: tree.Definition
) -> AxisError:
    listed = ", ".join(("*" if p.star else "") + p.name for p in parameters)
    stars = [f"*{p.name}" for p in parameters if p.star]
    return AxisError(
        "NL0316", f"`{callee.name}` takes the axes [{listed}], but {given} {'is' if given == 1 else 'are'} given",
        Label(brackets(call)), *also(head(definition), "its definition"),
        hint=f"name as many for {stars[0]} as for {stars[1]}" if len(stars) == 2 else "",
    )  # fmt: skip


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
    inner.declared |= {axis for axes in inner.axes.values() for axis in _star(axes)}
    for parameter in inputs_of(definition):
        for node in declared_axes(parameter):
            if node.size is not None:
                ctx.introduce(node, inner)
    for node in axis_parameters(definition):
        for axis in _star(inner.axes[node.name]):
            if axis not in inner.sizes:
                inner.sizes[axis] = _size_from_outside(ctx, node, axis, inner, env)
    for parameter, value, axes in scalars:
        _bind_scalar(ctx, parameter, value, axes, inner, bound)
    return bound


def _size_from_outside(
    ctx: Context, node: tree.Axis, axis: str, inner: Environment, env: Environment | None
) -> SizeExpr:
    """The size of an axis parameter that no input has: the caller's, the default's, or one to be solved."""
    if env is not None and axis in env.sizes and axis not in env.clashing:
        return env.sizes[axis]
    if node.size is not None:
        return ctx.length(node, inner)
    size = ctx.solver.fresh(ctx.display.get(axis, axis), Label(ctx.places.get(axis, node.span), "its size is needed"))
    if env is not None:
        ctx.record(axis, size, env)
    return size


def _star(axes: str | tuple[str, ...]) -> tuple[str, ...]:
    return axes if isinstance(axes, tuple) else (axes,)


def _declared(ctx: Context, node: tree.Axis, inner: Environment, env: Environment | None) -> tuple[str, ...]:
    if node.name not in inner.axes:
        if node.star:
            raise AxisError("NL0302", f"`*{node.name}` is not an axis parameter", Label(node.span))
        outer = node.name if env is None else env.axes.get(node.name)
        if isinstance(outer, tuple):
            outer = None
        inner.axes[node.name] = outer or ctx.new_axis(node.name)
    found = inner.axes[node.name]
    if isinstance(found, tuple) != node.star:
        ctx.axis(node, inner)
    inner.used_axes.add(node.name)
    return _star(found)


def _spread_nodes(parameter: tree.Parameter, inner: Environment) -> list[tree.Axis]:
    return [node for node in declared_axes(parameter) for _ in _star(inner.axes[node.name])]


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


def _counted(results: int) -> str:
    return "1 result" if results == 1 else f"{results} results"


def _bind_results(ctx: Context, definition: tree.Definition, inner: Environment, env: Environment) -> None:
    """Axes that only `->` names are the caller's axes of those names."""
    for result in definition.results or ():
        for node in result.axes:
            if node.name not in inner.axes:
                if node.star:
                    raise AxisError("NL0302", f"`*{node.name}` is not an axis parameter", Label(node.span))
                inner.axes[node.name] = ctx.introduce(tree.Axis(node.span, node.name), env)


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
    named = {axis for axes in inner.axes.values() for axis in _star(axes)}
    for one in bound:
        for axis in one.extras:
            if axis in named:
                shown = ctx.display.get(axis, axis)
                name = next(name for name, axes in inner.axes.items() if axis in _star(axes))
                raise AxisError(
                    "NL0306",
                    f"`{definition.name}` would be lifted over axis `{shown}` of `{one.parameter.name}`, but its "
                    f"signature uses that name for another axis",
                    Label(one.value.span, f"this {ctx.axes_of(one.value)}"),
                    *also(axis_in_signature(definition, name), "the name is taken here"),
                    hint=f"rename it: {renamed(one.value, shown, shown + chr(39))}",
                )


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
    stated = [axis for node in definition.results[k].axes for axis in _star(inner.axes[node.name])]
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


def signature_axes(definition: tree.Definition, inner: Environment) -> list[tuple[str, ...]]:
    """The axes that axis parameters and inputs name."""
    names = [p.name for p in axis_parameters(definition)]
    names += [node.name for parameter in inputs_of(definition) for node in declared_axes(parameter)]
    return [_star(inner.axes[name]) for name in names if name in inner.axes]


def _note_sizes(ctx: Context, found: Evaluated, env: Environment) -> None:
    """Sizes that the results have along axes that the caller introduced here."""
    visible = {axis for axes in env.axes.values() for axis in _star(axes)}
    for value in found.values if isinstance(found, Several) else (found,):
        if isinstance(value, Value):
            for axis, size in value.axes.items():
                if axis in visible:
                    ctx.record(axis, size, env)


