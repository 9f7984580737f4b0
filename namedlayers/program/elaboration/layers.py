"""Layers: what they declare, the layers inside them, and what becomes of their states.

In: declarations, places where a layer is written, assignments to states. Out: values, `Instance`s. What always holds: a
layer that is written at a place is one instance, with a path of its own; a state is written where its layer stands for
itself, not lifted and not inside a scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from namedlayers.errors import ArgumentError, AxisError, FormulaSyntaxError, Label, Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.bodies import cast
from namedlayers.program.elaboration.context import Context, Source
from namedlayers.program.elaboration.definitions import axis_parameters, declared_axes, inputs_of, options_of
from namedlayers.program.elaboration.initial import initial
from namedlayers.program.elaboration.naming import after_type, free_name, name_places
from namedlayers.program.elaboration.owned import DraftDeclared, DraftPart, Group
from namedlayers.program.elaboration.places import also, head
from namedlayers.program.elaboration.values import Callee, Environment, Instance, Static, Value
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr, const
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


def declare(ctx: Context, statement: tree.Declare, env: Environment) -> None:
    """`param W[…] ~ …`, `state mean[…] ~ …`."""
    if env.path is None:
        raise FormulaSyntaxError(
            "NL0253", f"`{env.definition.name}` is a `def`, which has no {_WORDS[statement.kind]} of its own",
            Label(statement.span), *also(head(env.definition), "its definition"),
            hint="make it a `layer`, or take the tensor after the `;`",
        )  # fmt: skip
    path = (*env.path, statement.name)
    known = ctx.owned.declared.get(".".join(path))
    taken = env.values.get(statement.name)
    first = env.declares.get(statement.name) or (None if taken is None else taken.span)
    if first is not None and first != statement.span:
        raise ArgumentError(
            "NL0254", f"`{statement.name}` is there already", Label(statement.span), *also(first, "here"),
            hint="one name is one thing in the whole layer",
        )  # fmt: skip
    env.declares[statement.name] = statement.span
    groups, places = _groups(ctx, statement, env)
    found = _declared(ctx, statement, env, path, groups, places) if known is None else known
    if known is not None:
        _check_again(ctx, known, groups, statement)
    if statement.kind == "state":
        env.states[statement.name] = ".".join(path)
    value = ctx.owned.written.get(".".join(path)) or _value(ctx, found, statement)
    env.values[statement.name] = ctx.at_step(value)


def write(ctx: Context, name: str, value: Value, env: Environment) -> Value:
    """The new value of a state, which later lines see, and which is stored after the call."""
    path = env.states[name]
    known = ctx.owned.declared[path]
    if ctx.scans:
        raise FormulaSyntaxError(
            "NL0255", f"`{name}` is a state, and a state is not written inside a scan", Label(value.span),
            Label(known.span, "declared here"), hint="carry it through the scan, and assign it afterwards",
        )  # fmt: skip
    if ctx.lifted:
        raise AxisError(
            "NL0323", f"`{env.definition.name}` writes its state `{name}`, so it is not lifted over "
            f"{ctx.shown(ctx.lifted)}", Label(value.span), Label(known.span, "declared here"),
            hint="let its signature name the axis, and reduce over it",
        )  # fmt: skip
    axes = {axis: size for group in known.groups for axis, size in group}
    strange = [axis for axis in value.axes if axis not in axes]
    if strange:
        raise AxisError(
            "NL0326", f"the state `{name}` has {ctx.shown(axes) or 'no axes'}, but its new value has "
            f"{ctx.shown(strange)} too", Label(value.span, f"this {ctx.axes_of(value)}"),
            Label(known.span, "declared here"),
        )  # fmt: skip
    if known.element < value.kind:
        raise ArgumentError(
            "NL0260", f"the state `{name}` holds {_KINDS[known.element]}, and its new value is {_KINDS[value.kind]}",
            Label(value.span), Label(known.span, "declared here"), hint="let it begin with a real: `~ 0.0`",
        )  # fmt: skip
    for axis, size in value.axes.items():
        ctx.same_size(axis, axes[axis], size, known.span, value.span)
    missing = frozenset(axes) - frozenset(value.axes)
    value = replace(value, axes={**value.axes, **{a: axes[a] for a in missing}}, virtual=value.virtual | missing)
    value = ctx.materialise(cast(ctx, value, known.element), value.virtual)
    value = ctx.let(replace(value, axes={a: value.axes[a] for a in axes}), name)
    ctx.owned.written[path] = value
    return value


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

_WORDS = {"param": "parameters", "state": "state"}
_KINDS = {Kind.BOOL: "truth values", Kind.INT: "integers", Kind.REAL: "reals", Kind.COMPLEX: "complex numbers"}


def _groups(ctx: Context, statement: tree.Declare, env: Environment) -> tuple[tuple[Group, ...], tuple[Span, ...]]:
    """The dimensions of a declared tensor, each with its axes and their sizes, and where the text names them."""
    groups: list[Group] = []
    places: list[Span] = []
    seen: dict[str, Span] = {}
    for item in statement.axes:
        nodes = item.items if isinstance(item, tree.Group) else (item,)
        listed = [(axis, node) for node in nodes for axis in ctx.axis(node, env)]
        for axis, node in listed:
            if axis in seen:
                raise AxisError(
                    "NL0303", f"`{statement.name}` has axis {ctx.shown([axis])} twice", Label(node.span),
                    hint=f"give one another name: `{ctx.display.get(axis, axis)}'`",
                )  # fmt: skip
            seen[axis] = node.span
        sized = [(axis, _size(ctx, axis, node, env)) for axis, node in listed]
        parts = [tuple(sized)] if isinstance(item, tree.Group) else [(one,) for one in sized]
        groups += parts
        places += [item.span] * len(parts)
    return tuple(groups), tuple(places)


def _size(ctx: Context, axis: str, node: tree.Axis, env: Environment) -> SizeExpr:
    """The one size of an axis of something declared; one that stands there is a default."""
    if node.size is not None and node.name not in env.given:
        ctx.introduce(node, env)
    if axis not in env.sizes or axis in env.clashing:
        shown = ctx.display.get(axis, axis)
        env.sizes[axis] = ctx.solver.fresh(shown, Label(node.span, "its size is needed"))
        env.clashing.discard(axis)
    env.declared.add(axis)
    return env.sizes[axis]


def _declared(
    ctx: Context, statement: tree.Declare, env: Environment, path: tuple[str, ...], groups: tuple[Group, ...],
    places: tuple[Span, ...],
) -> DraftDeclared:  # fmt: skip
    stored: dict[str, SizeExpr] = {}
    for group in groups:
        if len(group) == 1:
            stored[group[0][0]] = group[0][1]
            continue
        product = const(1)
        for _, size in group:
            product = product * size
        stored[ctx.new_axis("_".join(ctx.display.get(axis, axis) for axis, _ in group))] = product
    merged = any(len(group) != 1 for group in groups)
    around = len(ctx.round) if path[: len(ctx.round)] == ctx.round else 0
    name = ctx.new_name("_".join(path[around:]))
    begins, kind = initial(ctx, statement, stored, merged, env)
    if statement.kind == "param":
        kind = max(kind, Kind.REAL, key=lambda one: one.value)
    ctx.sources[name] = Source(stored, kind, "data")
    order = (*env.order, statement.span.start)
    found = DraftDeclared(
        path,
        order,
        statement.kind,  # type: ignore[arg-type]
        name,
        groups,
        stored,
        kind,
        begins,
        statement.span,
        places,
    )
    ctx.owned.declared[".".join(path)] = found
    return found


def _check_again(ctx: Context, known: DraftDeclared, groups: tuple[Group, ...], statement: tree.Declare) -> None:
    """An instance that is applied again has the parameters that it had before."""
    use = ctx.uses[-1] if ctx.uses else statement.span
    before = [[axis for axis, _ in group] for group in known.groups]
    if before != [[axis for axis, _ in group] for group in groups]:
        shown = ", ".join(ctx.display.get(axis, axis) for group in groups for axis, _ in group)
        old = ", ".join(ctx.display.get(axis, axis) for group in before for axis in group)
        raise AxisError(
            "NL0324", f"this instance is applied over other axes than before: its `{known.path[-1]}` has [{old}], and "
            f"would have [{shown}]", Label(use),
            *also(known.span, "declared here"), hint="rename the argument's axes, or write a second instance",
        )  # fmt: skip
    for old_group, group in zip(known.groups, groups, strict=True):
        for (axis, old_size), (_, size) in zip(old_group, group, strict=True):
            shown = ctx.display.get(axis, axis)
            ctx.solver.require(
                Check(
                    old_size, "==", size, "NL0428",
                    f"axis `{shown}` of `{'.'.join(known.path)}` has size {{left}} in one use of its instance, and "
                    f"{{right}} in another", (Label(use), *also(statement.span, "declared here")),
                )
            )  # fmt: skip


def _value(ctx: Context, found: DraftDeclared, statement: tree.Declare) -> Value:
    """What the text sees: the stored tensor with its merged axes split."""
    value = Value(v.leaf(found.input, found.stored), found.stored, found.element, statement.span)
    for axis, group in zip(found.stored, found.groups, strict=True):
        if len(group) != 1:
            axes: dict[str, SizeExpr] = {}
            for name, size in value.axes.items():
                axes |= dict(group) if name == axis else {name: size}
            attrs = {"axis": axis, "into": group}
            value = ctx.primitive("split", (value,), axes, statement.span, attrs, hint=found.path[-1])
    return value


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
