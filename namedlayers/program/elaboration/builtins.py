"""The operations that are not defined in the language itself: what a call of each makes.

In: calls. Out: values. `BUILTINS` is the table from names to what takes the call; everything else that is written
`name[…](…)` is a definition, in the text or in the prelude.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from namedlayers.errors import ArgumentError, AxisError, Label
from namedlayers.program.elaboration.arguments import (
    along,
    existing_axes,
    flat,
    free,
    static_option,
    take,
)
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.drawing import bernoulli, categorical, draw, dropout
from namedlayers.program.elaboration.joining import constant, expand, fold, join, pad, sized_axes
from namedlayers.program.elaboration.matrices import eigh, matrix, solve
from namedlayers.program.elaboration.places import brackets
from namedlayers.program.elaboration.values import Callee, Environment, Evaluated, Static
from namedlayers.program.elaboration.wording import missing_axis
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.program.terms import UNARY_NAMES
from namedlayers.syntax import tree

Builtin = Callable[[Context, Callee, tree.Call, Environment], Evaluated]

REDUCTIONS = ("sum", "prod", "max", "min", "logsumexp", "any", "all")


BINARIES = ("minimum", "maximum", "logaddexp", "atan2")


CUMULATIVES = {"cumsum": "sum", "cumprod": "prod", "cummax": "max", "cummin": "min", "logcumsumexp": "logsumexp"}


# --- elementwise ------------------------------------------------------------------------------------------------------


def _no_axes(callee: Callee, call: tree.Call) -> None:
    if call.entries:
        raise AxisError(
            "NL0316", f"`{callee.name}` takes no axes", Label(brackets(call)),
            hint=f"it is applied at each coordinate: `{callee.name}(…)`",
        )  # fmt: skip


def _unary(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    _no_axes(callee, call)
    (value,), _ = take(ctx, callee, call, env, 1)
    return ctx.unary(callee.name, value, call.span)


def _int(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """An integer, towards zero; of what is known while compiling, one that is known, too."""
    _no_axes(callee, call)
    alone = len(call.args) == 1 and call.args[0].name is None and not call.options
    found = ctx.evaluate(call.args[0].value, env) if alone else None
    if isinstance(found, Static) and isinstance(found.value, SizeExpr):
        return found
    if isinstance(found, Static) and isinstance(found.value, (int, float)) and math.isfinite(found.value):
        return Static(int(found.value), call.span)
    return _unary(ctx, callee, call, env)


def _binary(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    _no_axes(callee, call)
    (left, right), _ = take(ctx, callee, call, env, 2)
    return ctx.binary(callee.name, left, right, call.span)


def _where(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    _no_axes(callee, call)
    (condition, yes, no), _ = take(ctx, callee, call, env, 3)
    axes = ctx.meet((condition, yes, no))
    kind = max(yes.kind, no.kind, key=lambda kind: kind.value)
    return ctx.primitive("where", (condition, yes, no), axes, call.span, kind=kind)


# --- along axes -------------------------------------------------------------------------------------------------------


def _reduce(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    return ctx.reduce(callee.name, value, along(ctx, callee, call, env, value), call.span)


def _argreduce(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    (axis,) = along(ctx, callee, call, env, value, 1)
    value = ctx.materialise(value, [axis])
    ctx.solver.require(
        Check(
            value.axes[axis], ">=", const(1), "NL0414",
            f"`{callee.name}` is over {ctx.shown([axis])}, which is empty: it has no coordinates", (Label(call.span),),
        )
    )  # fmt: skip
    axes = {a: s for a, s in value.axes.items() if a != axis}
    attrs = {"axis": axis, "op": callee.name.removeprefix("arg")}
    return ctx.primitive("argreduce", (value,), axes, call.span, attrs)


def _sort(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), options = take(ctx, callee, call, env, 1, {"descending": False})
    (axis,) = along(ctx, callee, call, env, value, 1)
    value = ctx.materialise(value, [axis])
    attrs = {"axis": axis, "descending": bool(static_option(ctx, options["descending"], "descending"))}
    return ctx.primitive(callee.name, (value,), value.axes, call.span, attrs)


def _cumulative(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    (axis,) = along(ctx, callee, call, env, value, 1)
    value = ctx.materialise(value, [axis])
    attrs = {"axis": axis, "op": CUMULATIVES[callee.name]}
    least = {"max": Kind.BOOL, "min": Kind.BOOL, "logsumexp": Kind.REAL}.get(attrs["op"], Kind.INT)
    kind = max(value.kind, least, key=lambda kind: kind.value)
    if kind is Kind.COMPLEX and attrs["op"] in ("max", "min"):
        raise ArgumentError("NL0211", "complex numbers have no order", Label(call.span))
    return ctx.primitive("cumulative", (value,), value.axes, call.span, attrs, kind=kind)


def _fft(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    nodes = flat(call)
    if len(nodes) != 2:
        raise AxisError(
            "NL0316",
            f"`{callee.name}` goes from one axis to another",
            Label(brackets(call)),
            hint=f"`{callee.name}[time -> freq](X)`",
        )
    (axis,) = ctx.axis(nodes[0], env)
    if axis not in value.axes:
        raise missing_axis(ctx, f"`{callee.name}` is over", axis, value, nodes[0].span)
    value = ctx.materialise(value, [axis])
    size = value.axes[axis]
    into = ctx.introduce(nodes[1], env)
    free(ctx, into, value, nodes[1], but=axis)
    ctx.record(into, size, env)
    axes = {(into if a == axis else a): s for a, s in value.axes.items()}
    attrs = {"axis": axis, "into": into, "inverse": callee.name == "ifft"}
    return ctx.primitive("fft", (value,), axes, call.span, attrs, kind=Kind.COMPLEX)


# --- constants and coordinates ----------------------------------------------------------------------------------------


def _index(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`index[seq]`: the coordinates of an axis; of `index[band = 4]`, one that may be new."""
    take(ctx, callee, call, env, 0)
    nodes = flat(call)
    if len(nodes) == 1 and nodes[0].size is not None and not nodes[0].star:
        ((axis, size),) = sized_axes(ctx, call, env).items()
        return ctx.coordinates(axis, size, call.span)
    if len(nodes) == 1:
        (axis,) = ctx.axis(nodes[0], env, f"a new one needs a size: `index[{nodes[0].name} = 4]`")
    else:
        (axis,) = existing_axes(ctx, callee, call, env, 1)
    return ctx.coordinates(axis, ctx.size_of(nodes[0], env), call.span)


def _size(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    product = const(1)
    for axis in along(ctx, callee, call, env, value):
        product = product * value.axes[axis]
    return Static(ctx.solver.normal(product), call.span)


def _finfo(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    return ctx.primitive("finfo", (value,), {}, call.span, {"which": "eps"}, kind=Kind.REAL)


# --- static helpers ---------------------------------------------------------------------------------------------------


def _window_padding(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`window_before(padding, span)`, `window_after(padding, span)`: what a `padding` option means at either end.

    An integer pads both ends by it, a pair the ends apart, `"same"` by span in all (the larger half behind).
    """
    if len(call.args) != 2 or call.options or call.entries:
        raise ArgumentError("NL0223", f"`{callee.name}` takes a padding and a span", Label(call.span))
    given = ctx.evaluate(call.args[0].value, env)
    padding = ctx.known(given, call.args[0].value.span, "`padding`")
    span = ctx.size(call.args[1].value, env)
    after = callee.name == "window_after"
    if padding == "same":
        half = span // 2
        return Static(span - half if after else half, call.span)
    if padding == "valid":
        return Static(0, call.span)
    if isinstance(padding, tuple) and len(padding) == 2:
        padding = padding[int(after)]
    if isinstance(padding, (str, tuple)):
        raise ArgumentError(
            "NL0227", "this padding is not understood", Label(given.span),
            hint='an integer, a pair (before, after), "same", "valid", or a tuple of these along the axes',
        )  # fmt: skip
    return Static(ctx.size_value(padding, given.span, "`padding`"), call.span)


BUILTINS: dict[str, Builtin] = {
    **dict.fromkeys((name for name in UNARY_NAMES if name not in ("neg", "not")), _unary),
    **dict.fromkeys(BINARIES, _binary),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(CUMULATIVES, _cumulative),
    **dict.fromkeys(("argmax", "argmin"), _argreduce),
    **dict.fromkeys(("sort", "argsort"), _sort),
    **dict.fromkeys(("zeros", "ones"), constant),
    **dict.fromkeys(("inv", "cholesky", "det"), matrix),
    **dict.fromkeys(("concat", "stack"), join),
    **dict.fromkeys(("fft", "ifft"), _fft),
    **dict.fromkeys(("window_before", "window_after"), _window_padding),
    **dict.fromkeys(("uniform", "normal"), draw),
    "bernoulli": bernoulli,
    "categorical": categorical,
    "dropout": dropout,
    "int": _int,
    "where": _where,
    "expand": expand,
    "pad": pad,
    "fold": fold,
    "index": _index,
    "size": _size,
    "finfo_eps": _finfo,
    "solve": solve,
    "eigh": eigh,
}
