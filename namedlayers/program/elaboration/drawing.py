"""Random functions: which axes a draw is over, and that every draw is one of its own.

In: calls of `uniform`, `normal`, `bernoulli`, `categorical` and `dropout`. Out: values. What always holds: a draw is
let-bound, so that its name means that draw wherever it is used; a definition that is lifted draws anew for every
coordinate of the axes that it is lifted over.
"""

from __future__ import annotations

from collections.abc import Mapping

from namedlayers.errors import ArgumentError, AxisError, Label
from namedlayers.program.elaboration.arguments import REQUIRED, along, missing_brackets, take
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.joining import sized_axes
from namedlayers.program.elaboration.values import AxisSizes, Callee, Environment, Evaluated, Static, Value
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr
from namedlayers.syntax import tree


def draw(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`uniform[i, j]`: between 0 and 1; `normal[i]`: mean 0, deviation 1; over the axes in brackets."""
    take(ctx, callee, call, env, 0)
    if call.entries is None:
        raise missing_brackets(ctx, callee, call, None)
    axes = _lifted(ctx, sized_axes(ctx, call, env))
    return _random(ctx, callee.name, (), axes, call, Kind.REAL)


def bernoulli(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`bernoulli[i](p)`: true with probability p, over the axes in brackets, or without brackets over those of p."""
    (p,), _ = take(ctx, callee, call, env, 1)
    _check_probability(p)
    axes: dict[str, SizeExpr] = dict(p.axes)
    if call.entries is not None:
        axes = sized_axes(ctx, call, env)
        strange = [axis for axis in p.axes if axis not in axes and axis not in ctx.lifted]
        if strange:
            raise AxisError(
                "NL0322", f"`bernoulli` draws over {ctx.shown(axes) or 'no axes'}, but p has {ctx.shown(strange)} too",
                Label(p.span, f"this {ctx.axes_of(p)}"), hint="name all of its axes in the brackets",
            )  # fmt: skip
    p = ctx.materialise(p, p.virtual)
    return _random(ctx, "bernoulli", (p,), _lifted(ctx, {**axes, **p.axes}), call, Kind.BOOL)


def categorical(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`categorical[i](logits)`: a coordinate of `i`, with the probabilities `softmax[i](logits)`."""
    (logits,), _ = take(ctx, callee, call, env, 1)
    (axis,) = along(ctx, callee, call, env, logits, 1)
    logits = ctx.materialise(logits, logits.virtual)
    axes = _lifted(ctx, {a: s for a, s in logits.axes.items() if a != axis})
    attrs = {"axes": tuple(axes.items()), "axis": axis, "site": _site(ctx)}
    return ctx.primitive("categorical", (logits,), axes, call.span, attrs, kind=Kind.INT)


def dropout(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`dropout(X; p)`: while training, each element is 0 with probability p, else divided by 1 - p."""
    (value,), options = take(ctx, callee, call, env, 1, {"p": REQUIRED})
    given = options["p"]
    p = ctx.value(given, given.span)
    if p.axes:
        raise ArgumentError("NL0220", "`p` is a number", Label(p.span, f"this {ctx.axes_of(p)}"))
    _check_probability(p)
    training = env.values.get("training")
    if not (isinstance(training, Static) and training.value) or p.draft.parts == (0,):
        return value.at(call.span)
    axes = _lifted(ctx, dict(value.axes))
    missing = {axis: size for axis, size in axes.items() if axis not in value.axes}
    if missing:
        value = Value(value.draft, axes, value.kind, value.span, value.virtual | frozenset(missing))
    value = ctx.materialise(value, value.virtual)
    kind = max(value.kind, Kind.REAL, key=lambda one: one.value)
    return ctx.primitive("dropout", (value, p), axes, call.span, {"site": _site(ctx)}, kind=kind)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _random(
    ctx: Context, distribution: str, operands: tuple[Value, ...], axes: AxisSizes, call: tree.Call, kind: Kind
) -> Value:
    attrs = {"axes": tuple(axes.items()), "distribution": distribution, "site": _site(ctx)}
    return ctx.primitive("random", operands, axes, call.span, attrs, kind=kind)


def _site(ctx: Context) -> int:
    ctx.sites += 1
    return ctx.sites


def _lifted(ctx: Context, axes: Mapping[str, SizeExpr]) -> dict[str, SizeExpr]:
    """With the axes over which the definitions around are lifted: each of their coordinates draws anew."""
    return {**{axis: size for axis, size in ctx.lifted.items() if axis not in axes}, **axes}


def _check_probability(p: Value) -> None:
    number = p.draft.parts[0] if p.draft.form == "const" else 0
    if not (isinstance(number, (int, float)) and 0 <= number <= 1):
        message = f"a probability lies between 0 and 1, and this is {number}"
        raise ArgumentError("NL0252", message, Label(p.span))
