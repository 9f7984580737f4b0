"""The operations that are not defined in the language itself: what a call of each makes.

In: calls. Out: values. `BUILTINS` is the table from names to what takes the call; everything else that is written
`name[…](…)` is a definition, in the text or in the prelude.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from namedlayers.errors import ArgumentError, AxisError, Label, Span
from namedlayers.program import values as v
from namedlayers.program.arguments import (
    existing_axes,
    flat,
    per_axis,
    static_option,
    take,
    wrong_count,
)
from namedlayers.program.context import Context, missing_axis
from namedlayers.program.places import brackets
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.program.terms import UNARY_NAMES
from namedlayers.program.values import Callee, Environment, Evaluated, Static, Value
from namedlayers.syntax import tree

Builtin = Callable[[Context, Callee, tree.Call, Environment], Evaluated]

REDUCTIONS = ("sum", "prod", "max", "min", "logsumexp", "any", "all")
BINARIES = ("minimum", "maximum", "logaddexp", "atan2")
CUMULATIVES = {"cumsum": "sum", "cumprod": "prod", "cummax": "max", "cummin": "min", "logcumsumexp": "logsumexp"}
PADDING_MODES = {"zeros": "constant", "constant": "constant", "circular": "circular", "reflect": "reflect",
                 "replicate": "replicate"}  # fmt: skip


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


def _along(
    ctx: Context, callee: Callee, call: tree.Call, env: Environment, value: Value, count: int | None = None
) -> list[str]:
    """The axes in the brackets, all of which the value must have."""
    axes = existing_axes(ctx, callee, call, env, count, value)
    for axis in axes:
        if axis not in value.axes:
            node = next(n for n in flat(call) if axis in ctx.axis(n, env))
            raise missing_axis(ctx, f"`{callee.name}` is over", axis, value, node.span)
    return axes


def _reduce(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    return ctx.reduce(callee.name, value, _along(ctx, callee, call, env, value), call.span)


def _argreduce(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    (axis,) = _along(ctx, callee, call, env, value, 1)
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
    (axis,) = _along(ctx, callee, call, env, value, 1)
    value = ctx.materialise(value, [axis])
    attrs = {"axis": axis, "descending": bool(static_option(ctx, options["descending"], "descending"))}
    return ctx.primitive(callee.name, (value,), value.axes, call.span, attrs)


def _cumulative(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    (axis,) = _along(ctx, callee, call, env, value, 1)
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
            "NL0316", f"`{callee.name}` goes from one axis to another", Label(brackets(call)),
            hint=f"`{callee.name}[time -> freq](X)`",
        )
    (axis,) = ctx.axis(nodes[0], env)
    if axis not in value.axes:
        raise missing_axis(ctx, f"`{callee.name}` is over", axis, value, nodes[0].span)
    value = ctx.materialise(value, [axis])
    size = value.axes[axis]
    into = ctx.introduce(nodes[1], env)
    _free(ctx, into, value, nodes[1], but=axis)
    ctx.record(into, size, env)
    axes = {(into if a == axis else a): s for a, s in value.axes.items()}
    attrs = {"axis": axis, "into": into, "inverse": callee.name == "ifft"}
    return ctx.primitive("fft", (value,), axes, call.span, attrs, kind=Kind.COMPLEX)


def _free(ctx: Context, axis: str, value: Value, node: tree.Axis, but: str | None = None) -> None:
    """A new axis must not be one that the value has already."""
    if axis in value.axes and axis != but:
        raise AxisError(
            "NL0304",
            f"the value has axis `{node.name}` already",
            Label(node.span),
            Label(value.span, f"this {ctx.axes_of(value)}"),
        )


# --- padding, folding, joining ----------------------------------------------------------------------------------------


def _pad(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    defaults = {"before": 0, "after": 0, "value": 0, "mode": "zeros"}
    (value,), options = take(ctx, callee, call, env, 1, defaults)
    axes = _along(ctx, callee, call, env, value)
    count = len(axes)
    modes = [_padding_mode(mode, options["mode"].span) for mode in per_axis(ctx, options["mode"], "mode", count)]
    fills = _fills(ctx, options["value"], count)
    amounts = [per_axis(ctx, options[name], name, count) for name in ("before", "after")]
    for axis, before, after, mode, fill in zip(axes, *amounts, modes, fills, strict=True):
        before_size = ctx.size_value(before, options["before"].span, "`before`")
        after_size = ctx.size_value(after, options["after"].span, "`after`")
        value = _pad_one(ctx, value, axis, before_size, after_size, mode, fill, call)
    return value


def _padding_mode(mode: Any, span: Span) -> str:
    if not isinstance(mode, str) or mode not in PADDING_MODES:
        raise ArgumentError(
            "NL0226", f"there is no padding mode {mode!r}", Label(span),
            hint="modes are " + ", ".join(f'"{m}"' for m in PADDING_MODES),
        )  # fmt: skip
    return PADDING_MODES[mode]


def _fills(ctx: Context, found: Any, count: int) -> list[Value]:
    """What is padded with, along each of `count` axes: numbers, or one that only the call knows."""
    each = [found] * count
    if isinstance(found, Static) and isinstance(found.value, tuple):
        each = [Static(one, found.span) for one in per_axis(ctx, found, "value", count)]
    fills = [ctx.value(one, found.span) for one in each]
    for fill in fills:
        if fill.axes:
            raise ArgumentError("NL0220", "`value` is a number", Label(fill.span, f"this {ctx.axes_of(fill)}"))
    return fills


def _pad_one(
    ctx: Context, value: Value, axis: str, before: SizeExpr, after: SizeExpr, mode: str, fill: Value, call: tree.Call
) -> Value:
    before, after = ctx.solver.normal(before), ctx.solver.normal(after)
    if before == 0 and after == 0:
        return value
    value = ctx.materialise(value, [axis])
    size = value.axes[axis]
    shown = ctx.shown([axis])
    labels = (Label(call.span),)
    for amount, side in ((before, "before"), (after, "after")):
        message = f"{shown} is padded by {{left}} {side} it, which is less than nothing"
        ctx.solver.require(
            Check(amount, ">=", const(0), "NL0415", message, labels, "a slice takes elements away: `X[seq = 1:]`")
        )
        if mode in ("reflect", "circular"):
            most = size - 1 if mode == "reflect" else size
            message = f"{mode} padding of {shown} by {{right}}, but it has elements for {{left}} at most"
            ctx.solver.require(Check(most, ">=", amount, "NL0416", message, labels))
        if mode == "replicate":
            message = f"{shown} is empty, so it has no edge to replicate"
            ctx.solver.require(Check(size, ">=", const(1), "NL0416", message, labels))
    attrs = {"axis": axis, "before": before, "after": after, "mode": mode}
    kind = max(value.kind, fill.kind, key=lambda kind: kind.value) if mode == "constant" else value.kind
    axes = {**value.axes, axis: size + before + after}
    return ctx.primitive("pad", (value, fill), axes, call.span, attrs, kind=kind, hint="padded")


def _fold(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    defaults = {"stride": 1, "dilation": 1, "padding": 0, "output_padding": 0}
    (value,), options = take(ctx, callee, call, env, 1, defaults)
    axes = _along(ctx, callee, call, env, value)
    if len(axes) % 2:
        raise wrong_count(callee, call, len(axes), "an even number of")
    count = len(axes) // 2
    each = {name: per_axis(ctx, one, name, count) for name, one in options.items()}
    for k, (axis, kernel) in enumerate(zip(axes[:count], axes[count:], strict=True)):
        sizes = {name: ctx.size_value(each[name][k], options[name].span, f"`{name}`") for name in each}
        value = _fold_one(ctx, value, axis, kernel, sizes, call)
    return value


def _fold_one(
    ctx: Context, value: Value, axis: str, kernel: str, given: dict[str, SizeExpr], call: tree.Call
) -> Value:
    value = ctx.materialise(value, [axis, kernel])
    windows, width = value.axes[axis], value.axes[kernel]
    stride, dilation, padding = given["stride"], given["dilation"], given["padding"]
    labels = (Label(call.span),)
    for name in ("stride", "dilation"):
        ctx.solver.require(
            Check(given[name], ">=", const(1), "NL0417", f"`{name}` is at least 1, not {{left}}", labels)
        )
    size = (windows - 1) * stride + dilation * (width - 1) + 1 - 2 * padding + given["output_padding"]
    ctx.solver.require(Check(size, ">=", const(0), "NL0417", "the result would have the negative size {left}", labels))
    axes = {a: (size if a == axis else s) for a, s in value.axes.items() if a != kernel}
    attrs = {"axis": axis, "kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding, "size": size}
    return ctx.primitive("fold", (value,), axes, call.span, attrs, hint="folded")


def _join(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    values, _ = take(ctx, callee, call, env, -1)
    nodes = flat(call) if call.entries is not None else []
    if len(nodes) != 1:
        raise wrong_count(callee, call, len(nodes), 1)
    kind = max((value.kind for value in values), key=lambda kind: kind.value)
    if callee.name == "stack":
        axis = ctx.introduce(nodes[0], env)
        for value in values:
            _free(ctx, axis, value, nodes[0])
        total: SizeExpr = const(len(values))
        others = values
    else:
        (axis,) = ctx.axis(nodes[0], env)
        for value in values:
            if axis not in value.axes:
                raise missing_axis(ctx, "`concat` is along", axis, value, nodes[0].span)
        values = [ctx.materialise(value, [axis]) for value in values]
        total = sum((value.axes[axis] for value in values), start=const(0))
        others = [replace(value, axes={a: s for a, s in value.axes.items() if a != axis}) for value in values]
    axes = ctx.meet(others) | {axis: total}
    ctx.record(axis, total, env)
    return ctx.primitive(callee.name, tuple(values), axes, call.span, {"axis": axis}, kind=kind)


# --- constants and coordinates ----------------------------------------------------------------------------------------


def _constant(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`zeros[i, j]`, `ones[i]`: a number over virtual axes, made real only where an operation needs them."""
    take(ctx, callee, call, env, 0)
    if call.entries is None:
        raise AxisError(
            "NL0315", f"`{callee.name}` needs its axes", Label(call.span), hint=f"`{callee.name}[]` is a scalar"
        )
    return v.constant(0.0 if callee.name == "zeros" else 1.0, call.span, _sized_axes(ctx, call, env))


def _expand(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`expand[i = 3, j](A)`: the same value at every coordinate of axes that it lacks."""
    (value,), _ = take(ctx, callee, call, env, 1)
    if call.entries is None:
        raise AxisError("NL0315", "`expand` needs its axes", Label(call.span), hint="`expand[i = 3](A)`")
    axes = _sized_axes(ctx, call, env)
    for node in flat(call):
        for axis in ctx.axis(node, env):
            _free(ctx, axis, value, node)
    return replace(value, axes={**value.axes, **axes}, virtual=value.virtual | frozenset(axes), span=call.span)


def _sized_axes(ctx: Context, call: tree.Call, env: Environment) -> dict[str, SizeExpr]:
    axes: dict[str, SizeExpr] = {}
    for node in flat(call):
        for axis in ctx.axis(node, env) if node.star else (ctx.introduce(node, env),):
            if axis in axes:
                raise AxisError("NL0303", f"`{node.name}` is named twice", Label(node.span))
            if node.star:
                axes[axis] = env.sizes[axis]
            elif node.size is not None and axis not in env.declared:
                axes[axis] = ctx.length(node, env)  # this value's own, whatever others of that name have
            else:
                axes[axis] = ctx.size_of(tree.Axis(node.span, node.name), env)
    return axes


def _index(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    take(ctx, callee, call, env, 0)
    (axis,) = existing_axes(ctx, callee, call, env, 1)
    return v.coordinates(axis, ctx.size_of(flat(call)[0], env), call.span)


def _size(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    product = const(1)
    for axis in _along(ctx, callee, call, env, value):
        product = product * value.axes[axis]
    return Static(ctx.solver.normal(product), call.span)


def _finfo(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    return ctx.primitive("finfo", (value,), {}, call.span, {"which": "eps"}, kind=Kind.REAL)


# --- linear algebra ---------------------------------------------------------------------------------------------------


def _pair(ctx: Context, callee: Callee, call: tree.Call, env: Environment, value: Value) -> tuple[str, str]:
    """Rows and columns, which must be of one size."""
    row, column = _along(ctx, callee, call, env, value, 2)
    ctx.solver.require(
        Check(
            value.axes[row], "==", value.axes[column], "NL0418",
            f"the matrix of {ctx.shown([row, column])} is not square: it is {{left}} by {{right}}",
            (Label(brackets(call)),),
        )
    )  # fmt: skip
    return row, column


def _matrix(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`inv`, `cholesky`, `det`."""
    (value,), _ = take(ctx, callee, call, env, 1)
    row, column = _pair(ctx, callee, call, env, value)
    value = ctx.materialise(value, [row, column])
    axes = {a: s for a, s in value.axes.items() if callee.name != "det" or a not in (row, column)}
    kind = max(value.kind, Kind.REAL, key=lambda kind: kind.value)
    return ctx.primitive(callee.name, (value,), axes, call.span, {"row": row, "column": column}, kind=kind)


def _solve(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (matrix, right), _ = take(ctx, callee, call, env, 2)
    row, column = _pair(ctx, callee, call, env, matrix)
    if row not in right.axes:
        raise missing_axis(ctx, "`solve` needs the rows", row, right, call.span)
    if column in right.axes:
        raise AxisError(
            "NL0304", f"the right-hand side has the columns {ctx.shown([column])}", Label(right.span),
            Label(call.span, "these are the unknown's"),
        )  # fmt: skip
    matrix, right = ctx.materialise(matrix, [row, column]), ctx.materialise(right, [row])
    axes = {a: s for a, s in ctx.meet((matrix, right)).items() if a != row}
    kind = max(matrix.kind, right.kind, Kind.REAL, key=lambda kind: kind.value)
    return ctx.primitive("solve", (matrix, right), axes, call.span, {"row": row, "column": column}, kind=kind)


def _eigh(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    nodes = flat(call) if call.entries is not None else []
    if len(nodes) != 3:
        raise wrong_count(callee, call, len(nodes), 3)
    head = replace(call, entries=call.entries and tuple(tree.Entry(n.span, n) for n in nodes[:2]))
    row, column = _pair(ctx, callee, head, env, value)
    value = ctx.materialise(value, [row, column])
    size = value.axes[row]
    into = ctx.introduce(nodes[2], env)
    _free(ctx, into, value, nodes[2])
    ctx.record(into, size, env)
    rest = {a: s for a, s in value.axes.items() if a not in (row, column)}
    attrs = {"row": row, "column": column, "into": into}
    kind = max(value.kind, Kind.REAL, key=lambda kind: kind.value)
    return v.Several(
        (
            ctx.primitive(
                "eigenvalues", (value,), rest | {into: size}, call.span, attrs, kind=Kind.REAL, hint="eigenvalues"
            ),
            ctx.primitive(
                "eigenvectors",
                (value,),
                rest | {row: size, into: size},
                call.span,
                attrs,
                kind=kind,
                hint="eigenvectors",
            ),
        ),
        call.span,
    )


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
    **dict.fromkeys(("zeros", "ones"), _constant),
    **dict.fromkeys(("inv", "cholesky", "det"), _matrix),
    **dict.fromkeys(("concat", "stack"), _join),
    **dict.fromkeys(("fft", "ifft"), _fft),
    **dict.fromkeys(("window_before", "window_after"), _window_padding),
    "where": _where,
    "expand": _expand,
    "pad": _pad,
    "fold": _fold,
    "index": _index,
    "size": _size,
    "finfo_eps": _finfo,
    "solve": _solve,
    "eigh": _eigh,
}

