"""`scan`: a block that runs once for each coordinate of an axis, one after the other.

In: a scan and its environment. Out: a `scan` primitive over a body, and a `part` for each name that the block assigned,
along the scanned axis. What always holds: the block sees everything at the current step; a carried name has the same
axes, sizes and kind at every step.
"""

from __future__ import annotations

from dataclasses import replace

from namedlayers.errors import AxisError, FormulaSyntaxError, Label
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.bodies import (
    Carried,
    assigned,
    block,
    carried_value,
    carry,
    cast,
    close,
    output,
    without_return,
)
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.state import Stepping
from namedlayers.program.elaboration.values import Draft, Environment, Evaluated, Value
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr
from namedlayers.syntax import tree

MOST_TRIES = 12
"""How often a block is elaborated until its carried names keep their axes and kinds; each time some of them grow."""


def scan(ctx: Context, statement: tree.Scan, env: Environment) -> None:
    """Run a scan: afterwards every name that its block assigned has the scanned axis."""
    found = without_return(statement.body)
    if found is not None:
        raise FormulaSyntaxError(
            "NL0250", "a scan runs through all of its axis; nothing is returned from inside", Label(found.span),
            hint="return after the block: every name assigned inside has the axis then",
        )  # fmt: skip
    for k, one in enumerate(statement.carries):
        earlier = next((other for other in statement.carries[:k] if other.name == one.name), None)
        if earlier is not None:
            labels = Label(one.span), Label(earlier.span, "first here")
            raise FormulaSyntaxError("NL0224", f"`{one.name}` is carried twice", *labels)
    axis, size = _axis(ctx, statement, env)
    starts = {one.name: _start(ctx, one, axis, env) for one in statement.carries}
    before, owned = dict(env.values), ctx.owned.snapshot()
    for _ in range(MOST_TRIES):
        starts = {name: ctx.let(_filled(ctx, value, value.axes), name) for name, value in starts.items()}
        names, statements = set(ctx.names), frozenset(ctx.statements)
        grown = _try(ctx, statement, env, axis, size, starts)
        if grown is None:
            return
        starts = grown
        env.values = dict(before)
        ctx.owned.restore(owned)
        if not ctx.scans:  # a scan around has taken note of names: what it sees is called by them
            ctx.names = set(names)
        for name in [name for name in ctx.statements if name not in statements]:
            del ctx.statements[name]  # of the try that failed
    raise AssertionError("carried names grow without end")


# --- helpers ----------------------------------------------------------------------------------------------------------


def _axis(ctx: Context, statement: tree.Scan, env: Environment) -> tuple[str, SizeExpr]:
    """The scanned axis, which some tensor has, or which gets its size here."""
    node = statement.axis
    if node.name in env.axes or node.size is None:
        hint = f"with a number of steps it is a new one: `scan {node.name} = 10`"
        (axis,) = ctx.axis(replace(node, size=None), env, hint)
    if node.size is not None:
        axis = ctx.introduce(node, env)
    if any(one.axis == axis for one in ctx.scans):
        raise AxisError(
            "NL0318", f"`{node.name}` is scanned already: inside, there is only the current step", Label(node.span)
        )
    return axis, ctx.size_of(node, env)


def _start(ctx: Context, one: tree.Carry, axis: str, env: Environment) -> Value:
    value = ctx.value(ctx.evaluate(one.start, env), one.start.span)
    if axis in value.axes:
        raise AxisError(
            "NL0319", f"`{one.name}` begins with a value that has {ctx.shown([axis])}, the axis that is scanned",
            Label(one.start.span, f"this {ctx.axes_of(value)}"),
            hint=f"one step of it: `{one.start.span.text}[{ctx.display.get(axis, axis)} = 0]`",
        )  # fmt: skip
    return value


def _try(
    ctx: Context, statement: tree.Scan, env: Environment, axis: str, size: SizeExpr, starts: dict[str, Value]
) -> dict[str, Value] | None:
    """Elaborates the block with these start values; gives wider ones where the block makes them grow, else None."""
    carries = [carry(ctx, name, start) for name, start in starts.items()]
    spans = {one.name: one.span for one in statement.carries}
    before = dict(env.values)
    stepping = Stepping(axis, size, statement.axis.span, ctx.statements, {})
    with block(ctx) as inside:
        outer, ctx.scans = ctx.scans, (*ctx.scans, stepping)
        try:
            for one in carries:
                env.values[one.name] = carried_value(one, spans[one.name])
                env.undefined.pop(one.name, None)
            entered = dict(env.values)
            ctx.run_block(statement.body, env)
            changed = assigned(entered, env)
            grown = {one.name: _grown(ctx, one, _updated(ctx, statement, one, env, changed, axis)) for one in carries}
            if any(grown[one.name] is not one.start for one in carries):
                return grown
            results = [(one.name, _kept(ctx, one, env)) for one in carries]
            results += [
                (name, value) for name in changed if name not in starts and isinstance(value := env.values[name], Value)
            ]
            for name, value in results:
                _check_result(ctx, name, value, axis)
            outputs = [output(ctx, value, name) for name, value in results]
        finally:
            ctx.scans = outer
    represented = {name: leaf for leaf, name in stepping.seen.items()}
    body, operands = close(ctx, "step", inside, carries, outputs, statement.span, represented.get, axis)
    attrs = {"axis": axis, "size": size, "body": body, "carries": len(carries), "reverse": statement.backwards}
    bundle = ctx.let(Value(v.primitive("scan", attrs, operands, {}), {}, Kind.REAL, statement.span), "scan")
    static = {name: found for name, found in env.values.items() if not isinstance(found, Value)}
    env.values = {**before, **static}
    for number, ((name, value), given) in enumerate(zip(results, outputs, strict=True)):
        sizes = {axis: size} | {a: value.axes[a] for a in given.axes}
        part = Value(v.primitive("part", {"number": number}, (bundle.draft,), sizes), sizes, value.kind, value.span)
        env.values[name] = ctx.let(part, name)
        env.undefined.pop(name, None)
    return None


def _updated(
    ctx: Context, statement: tree.Scan, one: Carried, env: Environment, changed: list[str], axis: str
) -> Value:
    """What becomes of a carried name at a step."""
    found: Evaluated = env.values[one.name]
    if one.name not in changed:
        span = next(c.span for c in statement.carries if c.name == one.name)
        raise FormulaSyntaxError(
            "NL0251", f"`{one.name}` is carried, but the block never assigns it", Label(span),
            hint="what stays the same needs no carrying",
        )  # fmt: skip
    value = _over_lifted(ctx, one, ctx.value(found, found.span))
    missing = [a for a in one.axes if a not in value.axes]
    if missing:
        extra = [a for a in value.axes if a not in one.axes]
        start = next(c for c in statement.carries if c.name == one.name)
        hint = ""
        if len(missing) == len(extra) == 1:
            old, new = (ctx.display.get(a, a) for a in (missing[0], extra[0]))
            hint = f"rename it at the end of the step: `[{new} -> {old}]`"
        raise AxisError(
            "NL0320", f"`{one.name}` is carried from step to step, but loses {ctx.shown(missing)} on the way",
            Label(value.span, f"this {ctx.axes_of(value)}"),
            Label(start.span, f"`{one.name}` begins with {ctx.shown(one.axes)}"), hint=hint,
        )  # fmt: skip
    return value


def _grown(ctx: Context, one: Carried, value: Value) -> Value:
    """The start value with the axes and the kind of the update; the very same where it has them."""
    for a, size in one.axes.items():
        shown = ctx.display.get(a, a)
        ctx.solver.require(
            Check(
                size, "==", value.axes[a], "NL0427",
                f"`{one.name}` is carried with size {{left}} along `{shown}`, but a step makes it {{right}}",
                (Label(value.span, f"`{shown}` here is {{right}}"), Label(one.start.span, "it begins here")),
            )
        )  # fmt: skip
    extra = {a: s for a, s in value.axes.items() if a not in one.axes}
    wider = value.kind if one.kind < value.kind else one.kind
    if not extra and wider is one.kind:
        return one.start
    ctx_start = one.start
    axes = {**ctx_start.axes, **extra}
    grown = replace(ctx_start, axes=axes, virtual=ctx_start.virtual | frozenset(extra))
    return _wider(ctx, grown, wider)


def _wider(ctx: Context, value: Value, kind: Kind) -> Value:
    """A literal is written as another one; anything else is converted, in the block around the scan."""
    if value.draft.form == "const" and kind is not Kind.COMPLEX:
        number = float(value.draft.parts[0]) if kind is Kind.REAL else int(value.draft.parts[0])
        return replace(value, draft=Draft("const", (number,)), kind=kind)
    around = ctx.outer[-1]
    inside, ctx.statements = ctx.statements, around
    try:
        return cast(ctx, value, kind)
    finally:
        ctx.statements = inside


def _kept(ctx: Context, one: Carried, env: Environment) -> Value:
    """The update with exactly the axes, in their order, and the kind that are carried."""
    value = _over_lifted(ctx, one, ctx.value(env.values[one.name], one.start.span))
    value = cast(ctx, ctx.materialise(value, value.virtual), one.kind)
    return replace(value, axes={a: value.axes[a] for a in one.axes})


def _over_lifted(ctx: Context, one: Carried, value: Value) -> Value:
    """The update along carried axes that the definitions around are lifted over: what does not have them is the same
    there."""
    missing = {a: size for a, size in one.axes.items() if a not in value.axes and a in ctx.lifted}
    if not missing:
        return value
    return replace(value, axes={**value.axes, **missing}, virtual=value.virtual | frozenset(missing))


def _filled(ctx: Context, value: Value, axes: v.AxisSizes) -> Value:
    return ctx.materialise(value, axes)


def _check_result(ctx: Context, name: str, value: Value, axis: str) -> None:
    if axis in value.axes:
        shown = ctx.display.get(axis, axis)
        raise AxisError(
            "NL0321", f"`{name}` has {ctx.shown([axis])} inside the scan over it: there is only the current step there",
            Label(value.span, f"this {ctx.axes_of(value)}"), hint=f"use another axis than `{shown}`",
        )  # fmt: skip
