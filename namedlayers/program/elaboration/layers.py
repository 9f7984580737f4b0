"""Layers inside layers: instances, their names, their settings.

In: places where a layer is written. Out: `Instance`s. What always holds: a layer that is written at a place is one
instance, with a path of its own, in each round of the blocks around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from namedlayers.errors import FormulaSyntaxError, Label
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.definitions import axis_parameters, declared_axes, inputs_of, options_of
from namedlayers.program.elaboration.naming import after_type, free_name, name_places
from namedlayers.program.elaboration.owned import DraftPart
from namedlayers.program.elaboration.places import also, head
from namedlayers.program.elaboration.values import Callee, Environment, Instance, Static
from namedlayers.program.size import SizeExpr
from namedlayers.syntax import tree


def enter(ctx: Context, env: Environment) -> None:
    """Before the body of a layer: the axes of what it declares have one size in all of it."""
    for node in declarations(env.definition):
        for axis in nodes_of(node):
            if axis.star:
                continue
            if axis.name not in env.axes:
                env.axes[axis.name] = ctx.new_axis(axis.name)
            found = env.axes[axis.name]
            if isinstance(found, str):
                env.declared.add(found)
                if axis.name in env.given and found not in env.sizes:
                    env.sizes[found] = env.given[axis.name]


def enter_round(
    ctx: Context, statement: tree.Repeat, k: int, path: tuple[str, ...] | None, order: tuple[int, ...], env: Environment
) -> None:
    """Before round `k` of a block: what it declares lies under the block's name and the round's number."""
    if path is None:
        return
    place = statement.span.start
    env.path = (*path, _places(ctx, env)[place], str(k))
    env.order = (*order, place, k)
    name = ".".join(env.path)
    if name in ctx.modes:
        env.values["training"] = Static(ctx.modes[name], statement.span)
    if name not in ctx.owned.parts:
        ctx.owned.parts[name] = DraftPart(env.path, env.order, None, env.namespace, {}, statement.span)


def instance(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Instance:
    """The instance that a layer is at the place where it is written."""
    assert callee.definition is not None
    if env.path is None:
        raise FormulaSyntaxError(
            "NL0256", f"`{callee.name}` is a layer, and a `def` has none of its own", Label(call.function.span),
            *also(head(env.definition), "this definition"),
            hint="make this a `layer`, or take the layer as an option: `f` in `def twice(X; f) = f(f(X))`",
        )  # fmt: skip
    place = call.function.span.start
    name = _place_name(ctx, callee, place, env)
    found = Instance(callee, call, env, (*env.path, name), (*env.order, place), call.span)
    path = ".".join(found.path)
    if path not in ctx.owned.parts:
        ctx.owned.parts[path] = DraftPart(
            found.path, found.order, callee.definition, callee.namespace, _options(ctx, found), call.span
        )
    return found


def given_sizes(ctx: Context, one: Instance) -> dict[str, SizeExpr]:
    """Sizes that an instance's brackets give to axes of its parameters: `MultiHead[layer; heads = 8]`."""
    definition = one.callee.definition
    assert definition is not None
    sizable = {node.name for statement in declarations(definition) for node in nodes_of(statement)}
    sizable -= {parameter.name for parameter in (*definition.data, *definition.parameters)}
    return {
        arg.name: ctx.size(arg.value, one.env)
        for arg in one.call.settings
        if arg.name is not None and arg.name in sizable
    }


def note_part(ctx: Context, one: Instance, inner: Environment) -> None:
    """The sizes of the axes that an instance's definition names, now that it is applied."""
    assert one.callee.definition is not None
    part = ctx.owned.parts[".".join(one.path)]
    part.sizes = {
        name: inner.sizes[axis]
        for name in sized_names(one.callee.definition)
        if isinstance(axis := inner.axes.get(name), str) and axis in inner.sizes
    }


def declarations(definition: tree.Definition) -> Iterator[tree.Declare]:
    """What a layer declares, wherever in its body, in order."""
    waiting: list[tree.Statement] = list(reversed(definition.body))
    while waiting:
        one = waiting.pop()
        if isinstance(one, tree.Declare):
            yield one
        elif isinstance(one, tree.If):
            waiting += reversed((*one.body, *one.otherwise))
        elif isinstance(one, (tree.Repeat, tree.Scan)):
            waiting += reversed(one.body)


def sized_names(definition: tree.Definition) -> list[str]:
    """The axes of a layer that have one size in all of it, by name, stars aside: of its signature, and declared."""
    nodes = list(axis_parameters(definition))
    nodes += [node for parameter in inputs_of(definition) for node in declared_axes(parameter)]
    nodes += [node for result in definition.results or () for node in result.axes]
    nodes += [node for statement in declarations(definition) for node in nodes_of(statement)]
    return list(dict.fromkeys(node.name for node in nodes if not node.star))


def nodes_of(statement: tree.Declare) -> list[tree.Axis]:
    """The axes of a declaration, those in groups one by one."""
    return [n for item in statement.axes for n in (item.items if isinstance(item, tree.Group) else (item,))]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _place_name(ctx: Context, callee: Callee, place: int, env: Environment) -> str:
    """The name of an instance: what the text says, or, for a layer that came in as an option, its type's."""
    assert env.path is not None
    names = _places(ctx, env)
    if place in names:
        return names[place]
    found = ctx.owned.names.get((env.path, place))
    if found is None:
        taken = {*names.values(), *(name for (path, _), name in ctx.owned.names.items() if path == env.path)}
        found = ctx.owned.names[env.path, place] = free_name(after_type(callee.name), taken)
    return found


def _places(ctx: Context, env: Environment) -> dict[int, str]:
    """The names of the places of a layer's text."""
    found = ctx.owned.places.get(id(env.definition))
    if found is None:
        found = ctx.owned.places[id(env.definition)] = name_places(env.definition, env.namespace)
    return found


def _options(ctx: Context, one: Instance) -> dict[str, Any]:
    """The static options that an instance's brackets give, with which the part can stand for itself."""
    definition = one.callee.definition
    assert definition is not None
    known = {parameter.name for parameter in options_of(definition)}
    found: dict[str, Any] = {}
    for arg in one.call.settings:
        if arg.name not in known:
            continue
        value = ctx.evaluate(arg.value, one.env)
        if isinstance(value, Static):
            found[arg.name] = value.value
        elif isinstance(value, (Callee, Instance)):
            found[arg.name] = value.name
    return found
