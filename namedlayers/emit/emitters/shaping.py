"""Merging, splitting, padding, joining, expanding.

In: operands in any layouts. Out: tensors in layouts that follow from theirs, so that views stay views.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.attributes import listed, position, positions, size_of
from namedlayers.emit.emitters.elementwise import cast_kind
from namedlayers.emit.kernels.arranging import around, each, held
from namedlayers.emit.kernels.behind import behind
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, size_expr


@emits("input")
def emit_input(lo: Lowering, node: Node) -> Value:
    name = node.attr("name")
    number = next(k for k, given in enumerate(lo.program.inputs) if given.name == name)
    option = lo.program.inputs[number].role == "option"
    held = lo.inputs[number]
    axes = lo.prologue.given(number, node.rank)
    held.meta |= {"axes": tuple(node.names[axis] for axis in axes), "spans": node.spans}
    return Value(held, axes, node.kind, node.weak, number=option)


@emits("expand")
def emit_expand(lo: Lowering, node: Node) -> Value:
    """Nothing yet: a value is the same along the axes that it lacks."""
    return lo.operand(node.args[0])


@emits("merge")
def emit_merge(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    group = positions(node, "axes")
    return lo.merged(lo.filled(x, group), group, position(node, "into"))


@emits("split")
def emit_split(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    axis, into = position(node, "axis"), positions(node, "into")
    if axis not in x.axes:
        return x
    return lo.unmerged(x, axis, into, inline=False)


@emits("pad")
def emit_pad(lo: Lowering, node: Node) -> Value:
    x, value = lo.operands(node)
    result = position(node, "axis")
    source = own(node.args[0].axes.index(-1))
    x = lo.filled(x, (source,))
    before, after = size_of(node, "before"), size_of(node, "after")
    if node.attr("mode") != "constant":
        return _reread(lo, x, source, result, before, str(node.attr("mode")))
    if value.number and value.kind is not Kind.COMPLEX and value.kind.value <= x.kind.value:
        pads = (0, 0) * (len(x.axes) - 1 - x.dim(source)) + (lo.size(before), lo.size(after))
        axes = tuple(result if a == source else a for a in x.axes)
        options = {} if value.literal and value.held == 0 else {"value": value}
        return lo.call(F.pad, (x, pads), axes, options)
    x, value = lo.alike([x, value])
    x = lo.filled(x, value.axes)
    sizes = [lo.size(before) if a == source else lo.size(lo.space(a)) for a in x.axes]
    ends = []
    for amount in (before, after):
        sizes[x.dim(source)] = lo.size(amount)
        layout = tuple(a for a in x.axes)
        ends.append(lo.call("expand", (lo.aligned(value, layout), *sizes), layout, inline=True))
    axes = tuple(result if a == source else a for a in x.axes)
    return lo.call(torch.cat, ([ends[0], x, ends[1]], x.dim(source)), axes)


def _reread(lo: Lowering, x: Value, source: int, result: int, before: SizeExpr, mode: str) -> Value:
    """Padding that repeats the tensor's own elements: read again by computed coordinates."""
    n, reach = lo.size(lo.space(source)), lo.size(lo.space(result))
    at = lo.call(torch.arange, (reach,), (result,), lo.device(), kind=Kind.INT, weak=True, wish="at")
    at = _shifted(lo, at, -before)
    if mode == "circular":
        at = lo.call("remainder", (at, n), (result,), kind=Kind.INT)
    elif mode == "replicate":
        bounds = {"min": 0, "max": lo.size(lo.space(source) - 1)}
        at = lo.call(torch.clamp, (at,), (result,), bounds, kind=Kind.INT)
    else:  # reflect: a triangle wave with period 2 n - 2, as many times as it takes
        final = lo.space(source) - 1
        period = lo.inline(torch.sym_max, lo.size(final * 2), 1)
        at = _shifted(lo, lo.call("remainder", (at, period), (result,), kind=Kind.INT), -final)
        at = lo.call(torch.abs, (at,), (result,), kind=Kind.INT, inline=True)
        at = lo.call(operator.sub, (lo.size(final), at), (result,), kind=Kind.INT)
    axes = tuple(result if a == source else a for a in x.axes)
    return lo.call(torch.index_select, (x, x.dim(source), at), axes, kind=x.kind)


def _shifted(lo: Lowering, at: Value, amount: SizeExpr) -> Value:
    return at if amount == 0 else lo.call(torch.add, (at, lo.size(amount)), at.axes, kind=Kind.INT)


@emits("concat")
def emit_concat(lo: Lowering, node: Node) -> Value:
    result = position(node, "axis")
    values = []
    for arg, value in zip(node.args, _promoted(lo, node), strict=True):
        k = arg.axes.index(-1)
        value = lo.renamed(value, {own(k): result})
        if result not in value.axes:
            value = lo.tensor(value)
            value = lo.call("expand", (value, lo.size(arg.node.sizes[k]), *(-1 for _ in value.axes)),
                            (result, *value.axes), kind=value.kind, weak=value.weak, inline=True)  # fmt: skip
        values.append(value)
    values, layout = _same_layout(lo, values)
    return lo.call(torch.cat, (values, layout.index(result)), layout)


@emits("roll")
def emit_roll(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    space = [one for one in listed(node, "space") if own(one[0]) in x.axes]
    if not space:  # it is the same at all coordinates
        return x
    dims = [x.dim(own(number)) for number, _, _ in space]
    shifts = [lo.size(-size_expr(offset)) for _, _, offset in space]
    how = (shifts[0], dims[0]) if len(space) == 1 else (tuple(shifts), tuple(dims))
    return lo.renamed(lo.call(torch.roll, (x, *how), x.axes), {own(number): p for number, p, _ in space})


_KERNELS: dict[str, Callable[..., Tensor]] = {"held": held, "each": each, "around": around}


@emits("arrange")
def emit_arrange(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    for number, result, how, first, times in listed(node, "space"):
        x = lo.filled(lo.tensor(x), (own(number),))
        more = (lo.size(times),) if how == "each" else ()
        args = (x, x.dim(own(number)), lo.size(first), lo.size(lo.space(result)), *more)
        x = lo.call(_KERNELS[how], args, x.axes, kind=x.kind, wish="arranged")
        x = lo.renamed(x, {own(number): result})
    return x


@emits("behind")
def emit_behind(lo: Lowering, node: Node) -> Value:
    axis = position(node, "axis")
    first, every = lo.alike([lo.tensor(one) for one in lo.operands(node)])
    every = lo.filled(every, tuple(range(node.rank)))
    rest = tuple(one for one in every.axes if one != axis)
    first = lo.permuted(lo.filled(first, rest), rest)
    return lo.call(behind, (first, every, every.axes.index(axis), bool(node.attr("reverse"))), every.axes)


@emits("stack")
def emit_stack(lo: Lowering, node: Node) -> Value:
    result = position(node, "axis")
    values, layout = _same_layout(lo, [lo.tensor(v) for v in _promoted(lo, node)])
    wanted = lo.wanted()
    place = sum(a in layout for a in wanted[: wanted.index(result)])
    return lo.call(torch.stack, (values, place), (*layout[:place], result, *layout[place:]))


def _promoted(lo: Lowering, node: Node) -> list[Value]:
    """The operands of one kind and one precision."""
    return [cast_kind(lo, v, node.kind) for v in lo.alike(lo.operands(node))]


def _same_layout(lo: Lowering, values: Sequence[Value]) -> tuple[list[Value], tuple[int, ...]]:
    every = dict.fromkeys(a for value in sorted(values, key=lambda v: -len(v.axes)) for a in value.axes)
    layout = tuple(every)
    return [lo.permuted(lo.filled(value, layout), layout) for value in values], layout
