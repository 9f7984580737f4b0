"""What a layer declares: parameters and states, as its text sees them, and what states become.

In: declarations, and assignments to states. Out: values. What always holds: a path is declared once, and an instance
that is applied again sees the same tensors; a state is written where its layer stands for itself, not lifted and not
inside a scan.
"""

from __future__ import annotations

from dataclasses import replace

from namedlayers.errors import ArgumentError, AxisError, FormulaSyntaxError, Label, Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.bodies import cast
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.initial import initial
from namedlayers.program.elaboration.owned import DraftDeclared, Group
from namedlayers.program.elaboration.places import also, head
from namedlayers.program.elaboration.state import Source
from namedlayers.program.elaboration.values import Environment, Value
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.syntax import tree


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
    if known is None:
        found = _declared(ctx, statement, env, path, groups, places)
    else:
        _check_again(ctx, known, groups, statement)
        found = _seen_again(known, groups)
    if statement.kind == "state":
        env.states[statement.name] = found
    written = ctx.owned.written.get(".".join(path))
    value = _value(ctx, found, statement) if written is None else v.renamed(written, found.axes)
    env.values[statement.name] = ctx.at_step(value)


def write(ctx: Context, name: str, value: Value, env: Environment) -> Value:
    """The new value of a state, which later lines see, and which is stored after the call."""
    known = env.states[name]
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
    axes = known.axes
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
    ctx.owned.written[".".join(known.path)] = value
    return value


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
    ctx.sources[name] = Source(stored, kind, "parameter")
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
    # Axes of the layer itself are made anew at each application: they are the same if they are called the same.
    old, shown = (", ".join(ctx.display.get(a, a) for group in one for a, _ in group) for one in (known.groups, groups))
    if old != shown:
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


def _seen_again(known: DraftDeclared, groups: tuple[Group, ...]) -> DraftDeclared:
    """What was declared before, with the axes that it has in this application."""
    stored = {
        axis if len(group) != 1 else group[0][0]: size
        for (axis, size), group in zip(known.stored.items(), groups, strict=True)
    }
    return replace(known, groups=groups, stored=stored)


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
