"""Numbers: constants, sizes and options, computed as Python numbers until they meet a tensor.

In: operands that are numbers. Out: a number, or None where Python has no function for it (then a tensor computes it).
What always holds: literals are folded now, as IEEE arithmetic has it; what a call has to compute works for the
symbolic integers of `torch.compile` and `torch.export` too.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import torch

from namedlayers.emit.attributes import size_of
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.sizes import never_negative
from namedlayers.emit.value import Number, Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.terms import Const


def quotient(dividend: float, divisor: float) -> float:
    """`dividend / divisor`, infinite or NaN where the divisor is 0, as tensors divide.

    >>> quotient(1.0, 4), quotient(1.0, 0), quotient(0, 0)
    (0.25, inf, nan)
    """
    if divisor == 0:
        return dividend * math.inf if dividend else math.nan
    return dividend / divisor


def towards_zero(number: float) -> int:
    """`number` towards zero; the least 64-bit integer where none holds it.

    >>> towards_zero(2.9), towards_zero(-2.9), towards_zero(math.nan)
    (2, -2, -9223372036854775808)
    """
    if isinstance(number, float) and not -(2.0**63) <= number < 2.0**63:
        return -(2**63)
    return torch.sym_int(number)


@emits("const")
def emit_const(lo: Lowering, node: Node) -> Value:
    return Value(_constant(node), (), node.kind, True, True)


@emits("size")
def emit_size(lo: Lowering, node: Node) -> Value:
    return Value(lo.size(size_of(node, "expr")), (), Kind.INT, True, True)


@emits("coord")
def emit_coord(lo: Lowering, node: Node) -> Value:
    return arange(lo, 0)


def arange(lo: Lowering, axis: int) -> Value:
    """The coordinates of an axis of the index space."""
    return lo.call(torch.arange, (lo.size(lo.space(axis)),), (axis,), lo.device(), kind=Kind.INT, weak=True, wish="at")


def number_unary(lo: Lowering, op: str, x: Value, kind: Kind) -> Value | None:
    if x.literal:
        return _folded(op, (x.held,), kind)
    if op == "neg":
        return lo.number(operator.neg, x, kind=kind)
    if op in ("sqrt", "rsqrt") and never_below_zero(lo.node.args[0].node):
        root = lo.number(operator.pow, x, 0.5, kind=kind)
        return root if op == "sqrt" else lo.number(quotient, 1.0, root, kind=kind)
    if op in ("detach", "real", "conj"):
        return x
    if op == "abs" and kind is not Kind.COMPLEX:
        return lo.number(torch.sym_max, x, lo.number(operator.neg, x, kind=kind), kind=kind)
    return None


_BINARY: dict[str, Callable] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv, "mod": operator.mod,
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne,
    "maximum": torch.sym_max, "minimum": torch.sym_min,
}  # fmt: skip


def number_binary(lo: Lowering, op: str, x: Value, y: Value, kind: Kind) -> Value | None:
    if x.literal and y.literal:
        return _folded(op, (x.held, y.held), kind)
    if op == "div":
        safe = y.literal and y.held != 0
        return lo.number(operator.truediv if safe else quotient, x, y, kind=kind)
    if op == "pow":
        return _number_power(lo, x, y, kind)
    if op in ("floordiv", "mod") and not (y.literal and y.held != 0):
        return None
    return lo.number(_BINARY[op], x, y, kind=kind) if op in _BINARY else None


def never_below_zero(node: Node) -> bool:
    """Whether a number is provably >= 0, so that its root is no complex number."""
    if node.op == "size":
        return never_negative(size_of(node, "expr"))
    if node.op == "const":
        found = _constant(node)
        return not isinstance(found, complex) and found >= 0
    return node.op in ("abs", "sqrt", "exp") or (
        node.op in ("add", "mul", "div", "maximum") and all(never_below_zero(arg.node) for arg in node.args)
    )


def _number_power(lo: Lowering, x: Value, y: Value, kind: Kind) -> Value | None:
    """A power that Python has as IEEE arithmetic has it: a small one, whole unless the base is never negative."""
    if not y.literal or isinstance(y.held, complex) or kind is Kind.COMPLEX:
        return None
    exponent = abs(y.held)  # type: ignore[arg-type]
    if exponent > 4 or not (float(exponent).is_integer() or never_below_zero(lo.node.args[0].node)):
        return None
    power = x if exponent == 1 else lo.number(operator.pow, x, exponent, kind=kind)
    return power if y.held >= 0 else lo.number(quotient, 1.0, power, kind=kind)  # type: ignore[operator]


def _folded(op: str, operands: tuple, kind: Kind) -> Value | None:
    """The literal that an operation of literals is: exact for integers, else as float64 arithmetic has it."""
    if all(isinstance(x, (bool, int)) for x in operands) and kind in (Kind.BOOL, Kind.INT) and op in _EXACT:
        try:
            return Value(_PYTHON[kind](_EXACT[op](*operands)), (), kind, True, True)
        except (ZeroDivisionError, OverflowError):
            return None
    target = _FLOATING.get(op)
    if target is None:
        return None
    dtype = torch.complex128 if kind is Kind.COMPLEX or any(isinstance(x, complex) for x in operands) else torch.float64
    try:
        found = target(*(torch.tensor(x, dtype=dtype, device="cpu") for x in operands)).item()
    except (RuntimeError, OverflowError):  # a function that torch does not have for complex numbers; a huge integer
        return None
    return Value(_PYTHON[kind](found) if not isinstance(found, complex) or kind is Kind.COMPLEX else found,
                 (), kind, True, True)  # fmt: skip


_EXACT: dict[str, Callable] = {
    "neg": operator.neg, "abs": operator.abs, "detach": operator.pos, "real": operator.pos, "conj": operator.pos,
    "round": operator.pos, "floor": operator.pos, "ceil": operator.pos,
    **{op: _BINARY[op] for op in ("add", "sub", "mul", "floordiv", "mod", "lt", "le", "gt", "ge", "eq", "ne")},
    "maximum": max, "minimum": min, "pow": lambda x, y: _power(x, y),
}  # fmt: skip

_FLOATING: dict[str, Callable] = {
    name: getattr(torch, name)
    for name in (
        "neg exp expm1 log log1p log2 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf "
        "lgamma abs floor ceil round real conj angle isnan isinf isfinite sigmoid relu sub mul div pow lt le gt ge "
        "eq ne add maximum minimum logaddexp atan2"
    ).split()
} | {
    "detach": torch.clone, "mod": torch.remainder, "floordiv": torch.floor_divide,
    "silu": torch.nn.functional.silu, "softplus": torch.nn.functional.softplus,
}  # fmt: skip

_PYTHON: dict[Kind, Callable] = {Kind.BOOL: bool, Kind.INT: int, Kind.REAL: float, Kind.COMPLEX: complex}


def _power(base: int, exponent: int) -> int:
    if exponent < 0 or exponent > 64 or abs(base).bit_length() * exponent > 128:
        raise OverflowError
    return int(base**exponent)


def _constant(node: Node) -> Number:
    return Const(str(node.attr("kind")), str(node.attr("digits"))).value
