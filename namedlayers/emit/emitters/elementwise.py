"""Elementwise operations.

In: operands in any layouts, numbers among them. Out: one tensor in the layout of the operand with the most axes, or a
number where all operands are numbers. What always holds: operands are aligned by views only; what is known while
compiling is computed then.
"""

from __future__ import annotations

import cmath
import math
import operator
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from namedlayers.emit.attributes import position, size_of
from namedlayers.emit.emitters.numbers import number_binary, number_unary, towards_zero
from namedlayers.emit.kernels.arithmetic import clamped, floor_quotient, lerp
from namedlayers.emit.kernels.complex_sums import complex_difference, complex_sum
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

REAL_ONLY = frozenset(
    "exp expm1 log log1p log2 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf lgamma "
    "angle sigmoid silu gelu softplus".split()
)
"""Unary operations that make reals of integers."""

UNARY: dict[str, Callable | str] = {
    "neg": operator.neg, "exp": torch.exp, "expm1": torch.expm1, "log": torch.log, "log1p": torch.log1p,
    "log2": torch.log2, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan,
    "asin": torch.asin, "acos": torch.acos, "atan": torch.atan, "sinh": torch.sinh, "cosh": torch.cosh,
    "tanh": torch.tanh, "asinh": torch.asinh, "acosh": torch.acosh, "atanh": torch.atanh, "erf": torch.erf,
    "lgamma": torch.lgamma, "abs": torch.abs, "floor": torch.floor, "ceil": torch.ceil, "round": torch.round,
    "real": torch.real, "conj": torch.conj_physical, "angle": torch.angle, "isnan": torch.isnan, "isinf": torch.isinf,
    "isfinite": torch.isfinite, "detach": "detach", "relu": torch.relu, "sigmoid": torch.sigmoid, "silu": F.silu,
    "softplus": F.softplus,
}  # fmt: skip

OPTIONS: dict[str, dict[str, float]] = {"softplus": {"threshold": 40}}
"""torch's softplus(x) is x from 20 on, which is too early for doubles."""

BINARY: dict[str, Callable] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "floordiv": operator.floordiv, "mod": operator.mod, "pow": operator.pow, "lt": operator.lt, "le": operator.le,
    "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne, "atan2": torch.atan2,
    "maximum": torch.maximum, "minimum": torch.minimum,
}  # fmt: skip

BY_PARTS: dict[str, Callable] = {"add": complex_sum, "sub": complex_difference}
"""What torch does not do part by part, and must where numbers are complex."""

ARITHMETIC = frozenset("add sub mul floordiv mod pow".split())
"""Where booleans count as 0 and 1, and torch would keep them booleans or refuse them."""

COMPARISONS = frozenset("lt le gt ge eq ne".split())

TENSORS_ONLY = frozenset("atan2 maximum minimum".split())
"""Binary functions of torch that take no Python numbers."""


@emits(*UNARY)
def emit_unary(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    if x.number:
        found = number_unary(lo, node.op, x, node.kind)
        if found is not None:
            return found
        x = lo.tensor(x)
    if node.op in REAL_ONLY:
        x = lo.working(x)
    elif x.kind is Kind.BOOL and node.op not in ("detach", "isnan", "isinf", "isfinite", "real"):
        x = lo.integer(x)
    if node.op in ("real", "conj") and x.kind is not Kind.COMPLEX:
        return x
    found = lo.call(UNARY[node.op], (x,), x.axes, OPTIONS.get(node.op))
    return lo.out_of_complex(found) if x.kind is Kind.COMPLEX and node.kind is Kind.REAL else found


@emits("gelu")
def emit_gelu(lo: Lowering, node: Node) -> Value:
    x = lo.working(lo.tensor(lo.operands(node)[0]))
    approximate = str(node.attr("approximate"))
    options = {} if approximate == "none" else {"approximate": approximate}
    return lo.call(F.gelu, (x,), x.axes, options)


@emits("sign")
def emit_sign(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    x = lo.integer(lo.tensor(x))
    return lo.call(torch.sgn if x.kind is Kind.COMPLEX else torch.sign, (x,), x.axes)


@emits("int")
def emit_int(lo: Lowering, node: Node) -> Value:
    """Numbers in double precision, as Python has them; tensors in their own."""
    (x,) = lo.operands(node)
    if x.kind is not Kind.REAL:
        return lo.integer(x)
    if x.literal:
        return Value(towards_zero(x.held), (), Kind.INT, True, True)  # type: ignore[arg-type]
    return lo.number(towards_zero, x, kind=Kind.INT) if x.number else lo.cast(x, torch.int64, Kind.INT)


@emits("imag")
def emit_imag(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    x = lo.working(lo.tensor(x))
    if x.kind is not Kind.COMPLEX:
        return lo.call(torch.zeros_like, (x,), x.axes)
    return lo.out_of_complex(lo.call(torch.imag, (x,), x.axes))


@emits("not")
def emit_not(lo: Lowering, node: Node) -> Value:
    x = lo.truth(lo.operands(node)[0])
    if x.number:
        return Value(not x.held, (), Kind.BOOL, True, True) if x.literal else \
            lo.number(operator.not_, x, kind=Kind.BOOL)  # fmt: skip
    return lo.call(operator.invert, (x,), x.axes)


@emits("and", "or")
def emit_logical(lo: Lowering, node: Node) -> Value:
    values = [lo.truth(v) for v in lo.operands(node)]
    target = operator.and_ if node.op == "and" else operator.or_
    if all(v.literal for v in values):
        return Value(target(*(bool(v.held) for v in values)), (), Kind.BOOL, True, True)
    if all(v.number for v in values):
        return lo.number(target, *values, kind=Kind.BOOL)
    return elementwise(lo, target, values)


@emits(*BINARY)
def emit_binary(lo: Lowering, node: Node) -> Value:
    values = lo.operands(node)
    if all(v.number for v in values):
        found = number_binary(lo, node.op, values[0], values[1], node.kind)
        if found is not None:
            return found
        values[0] = lo.tensor(values[0])
    if node.op in ("maximum", "minimum"):
        clamped = _clamped(lo, node, values)
        if clamped is not None:
            return clamped
    if node.op in ARITHMETIC:
        values = _counted(lo, values)
    if node.kind is Kind.COMPLEX and all(v.number or v.kind is not Kind.COMPLEX for v in values):
        values = [v if v.number else cast_kind(lo, v, Kind.COMPLEX) for v in values]  # there is no half precision
    if node.op in COMPARISONS:
        top = max((v.kind for v in values), key=lambda kind: kind.value)
        values = lo.meet(values, top)
    else:
        values = lo.meet(values)
    if node.op in TENSORS_ONLY:
        values = [lo.tensor(v, like=_other(values, k)) for k, v in enumerate(values)]
    if node.op == "floordiv" and node.kind is Kind.REAL:
        return elementwise(lo, floor_quotient, [lo.tensor(values[0], like=values[1]), values[1]])
    if node.op == "div" and values[0].literal and values[0].held == 1 and not values[1].number:
        return lo.call(torch.reciprocal, (values[1],), values[1].axes)  # torch makes two passes of 1 / x
    if node.op in BY_PARTS and node.kind is Kind.COMPLEX and not _second_is_finite(node.op, values):
        values = [lo.tensor(v, like=_other(values, k)) for k, v in enumerate(values)]
        return elementwise(lo, BY_PARTS[node.op], values)
    return elementwise(lo, BINARY[node.op], values)


@emits("logaddexp")
def emit_logaddexp(lo: Lowering, node: Node) -> Value:
    """Where both are -inf the result is -inf, with gradient 0 and not NaN."""
    values = lo.meet(lo.operands(node))
    values = [lo.working(lo.tensor(v, like=_other(values, k))) for k, v in enumerate(values)]
    if node.kind is Kind.COMPLEX:
        top = elementwise(lo, torch.maximum, [_real_part(lo, v) for v in values], kind=Kind.REAL)
        top = lo.call(torch.nan_to_num, (top,), top.axes, {"posinf": 0.0, "neginf": 0.0}, kind=Kind.REAL)
        parts = [elementwise(lo, operator.sub, [v, top]) for v in values]
        total = elementwise(lo, operator.add, [lo.call(torch.exp, (p,), p.axes) for p in parts])
        return elementwise(lo, operator.add, [lo.call(torch.log, (total,), total.axes), top])
    layout = layout_of(lo, values)
    left, right = (lo.aligned(v, layout) for v in values)
    top = lo.call(torch.maximum, (left, right), layout)
    dead = lo.call(operator.eq, (top, -math.inf), layout, kind=Kind.BOOL, wish="dead")
    safe = [lo.call("masked_fill", (_broadcast(lo, v, layout), dead, 0.0), layout) for v in (left, right)]
    total = lo.call(torch.logaddexp, tuple(safe), layout)
    return lo.call("masked_fill", (total, dead, -math.inf), layout)


@emits("lerp")
def emit_lerp(lo: Lowering, node: Node) -> Value:
    start, end, weight = lo.operands(node)
    if weight.number:
        return elementwise(lo, lerp, [*lo.alike([start, end]), weight])
    return elementwise(lo, lerp, lo.alike([start, end, weight]))


@emits("where")
def emit_where(lo: Lowering, node: Node) -> Value:
    condition, left, right = lo.operands(node)
    condition = lo.truth(condition)
    if condition.literal:
        chosen = left if condition.held else right
        return cast_kind(lo, chosen, node.kind)
    if condition.number and left.number and right.number:
        return lo.number(torch.sym_ite, condition, *(_held_as(lo, v, node.kind) for v in (left, right)), kind=node.kind)
    left, right = lo.meet(_widened(lo, [left, right], node.kind))
    if left.number and right.number:
        left = lo.tensor(cast_kind(lo, left, node.kind))
    elif Kind.COMPLEX is node.kind:
        left, right = lo.alike([left, right])
    # A condition has no precision: a table of numbers stays one, whatever tensors it was chosen by.
    return elementwise(lo, torch.where, [lo.tensor(condition), left, right], weak=left.weak and right.weak)


@emits("triangle")
def emit_triangle(lo: Lowering, node: Node) -> Value:
    row, column, diagonal = position(node, "row"), position(node, "column"), size_of(node, "diagonal")
    x = lo.filled(lo.tensor(lo.operands(node)[0]), tuple(range(node.rank)))
    rest = [axis for axis in x.axes if axis not in (row, column)]
    if x.dim(row) < x.dim(column):
        x, target = lo.permuted(x, (*rest, row, column)), torch.tril
    else:
        x, target, diagonal = lo.permuted(x, (*rest, column, row)), torch.triu, -diagonal
    return lo.call(target, (x, lo.size(diagonal)) if diagonal != 0 else (x,), x.axes)


def elementwise(
    lo: Lowering, target: Callable | str, values: Sequence[Value], *, kind: Kind | None = None, weak: bool | None = None
) -> Value:
    """`target` of values that meet: aligned to one layout."""
    layout = layout_of(lo, values)
    weak = all(v.weak for v in values) if weak is None else weak
    return lo.call(target, [_beside(lo, v, layout) for v in values], layout, kind=kind, weak=weak)


def _beside(lo: Lowering, value: Value, layout: tuple[int, ...]) -> Value:
    """Aligned. A smaller tensor whose axes lie in another order is copied: it is read often, and what is computed would
    else lie in its order."""
    if 1 < len(value.axes) < len(layout) and not value.number and not _in_order(value.axes, layout):
        value = lo.permuted(value, [axis for axis in layout if axis in value.axes])
        value = lo.call("contiguous", (value,), value.axes, kind=value.kind, weak=value.weak, inline=True)
    return lo.aligned(value, layout)


def layout_of(lo: Lowering, values: Sequence[Value]) -> tuple[int, ...]:
    """The order of axes in which values meet: that of the one with the most axes, if it can be what users want most."""
    wanted = lo.wanted()
    every = {axis for value in values for axis in value.axes}
    liked = tuple(a for a in wanted if a in every) + tuple(sorted(every - set(wanted)))
    most = max(len(value.axes) for value in values)
    if most < len(every):  # what is computed is larger than all of them
        return liked
    fullest = [value.axes for value in values if len(value.axes) == most]
    return liked if any(_in_order(axes, liked) for axes in fullest) else fullest[0]


def cast_kind(lo: Lowering, value: Value, kind: Kind) -> Value:
    """The value as another kind."""
    if value.kind is kind:
        return value
    if value.literal:
        return Value(_PYTHON[kind](value.held), (), kind, True, True)
    if value.number:
        return lo.number(_MAKE[kind], value, kind=kind) if kind in _MAKE else lo.truth(value)
    if kind is Kind.BOOL:
        return lo.truth(value)
    if kind is Kind.INT:
        return lo.cast(value, torch.int64, kind)
    if kind is Kind.REAL:
        return lo.cast(value, lo.dtype(), kind) if value.kind is not Kind.COMPLEX else \
            lo.call(torch.real, (value,), value.axes, kind=kind)  # fmt: skip
    value = lo.working(value)
    dtype = lo.inline(torch.promote_types, lo.dtype_of(value), torch.complex64)
    return lo.cast(value, dtype, kind)


@emits("cast")
def emit_cast(lo: Lowering, node: Node) -> Value:
    return cast_kind(lo, lo.operands(node)[0], node.kind)


_PYTHON: dict[Kind, Callable] = {Kind.BOOL: bool, Kind.INT: int, Kind.REAL: float, Kind.COMPLEX: complex}
_MAKE: dict[Kind, Callable] = {Kind.INT: torch.sym_int, Kind.REAL: torch.sym_float}


def _clamped(lo: Lowering, node: Node, values: list[Value]) -> Value | None:
    """The larger (smaller) of a tensor and a number: `clamp`, which needs no tensor of the number."""
    if node.kind is Kind.COMPLEX or sum(v.number for v in values) != 1:
        return None
    number, tensor = sorted(values, key=lambda v: not v.number)
    if number.kind is Kind.BOOL or tensor.kind is Kind.BOOL:
        return None
    tensor = lo.working(tensor) if node.kind is Kind.REAL else tensor
    bound = "min" if node.op == "maximum" else "max"
    held = node.kind is Kind.REAL or (number.literal and number.held in _EVERYWHERE)
    return lo.call(torch.clamp if held else clamped, (tensor,), tensor.axes, {bound: number}, weak=tensor.weak)


_EVERYWHERE = range(128)
"""The integers that all types of integers hold."""


def _counted(lo: Lowering, values: list[Value]) -> list[Value]:
    """Booleans as 0 and 1, where torch does not see to it."""
    if lo.node.op == "sub" or all(v.kind is Kind.BOOL for v in values):
        return [lo.integer(v) for v in values]
    return values


def _widened(lo: Lowering, values: list[Value], kind: Kind) -> list[Value]:
    return [lo.integer(v) if kind is Kind.INT else v for v in values]


def _held_as(lo: Lowering, value: Value, kind: Kind) -> Value:
    return cast_kind(lo, value, kind) if value.literal else value


def _second_is_finite(op: str, values: Sequence[Value]) -> bool:
    """Whether that is known of what torch takes second: a number, where the order is free."""
    return any(v.literal and cmath.isfinite(v.held) for v in (values[1:] if op == "sub" else values))  # type: ignore[arg-type]


def _other(values: Sequence[Value], k: int) -> Value | None:
    return next((v for j, v in enumerate(values) if j != k and not v.number), None)


def _broadcast(lo: Lowering, value: Value, layout: tuple[int, ...]) -> Value:
    return value if len(value.axes) == len(layout) else lo.permuted(lo.filled(value, layout), layout)


def _real_part(lo: Lowering, value: Value) -> Value:
    if value.kind is not Kind.COMPLEX:
        return value
    return lo.call(torch.real, (value,), value.axes, kind=Kind.REAL, inline=True)


def _in_order(axes: tuple[int, ...], liked: tuple[int, ...]) -> bool:
    return tuple(a for a in liked if a in axes) == axes
