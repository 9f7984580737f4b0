"""Elementwise operations by definition: one numpy expression for each name in `terms.UNARY` and `terms.BINARY`.

In: arrays that broadcast, of any kinds. Out: an array of the kind that `result_kind` says. What always holds: operands
are first brought to the kind in which they meet, so no precision is lost or made up on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from namedlayers.program.kinds import orders, result_kind
from namedlayers.reference.named import Precision, Trouble, common_kind, kind_of

Array = np.ndarray


def unary(op: str, x: Array, precision: Precision) -> Array:
    _refuse_complex(op, x)
    kind = result_kind(op, (kind_of(x),))
    if kind_of(x) < kind:
        x = precision.cast(x, kind)
    return precision.cast(np.asarray(UNARY[op](x)), kind)


def binary(op: str, x: Array, y: Array, precision: Precision) -> Array:
    _refuse_complex(op, x, y)
    met = common_kind(x, y)
    kind = result_kind(op, (met,))
    meeting = kind if met < kind else met
    x, y = precision.cast(x, meeting), precision.cast(y, meeting)
    return precision.cast(np.asarray(BINARY[op](x, y)), kind)


def logaddexp(x: Array, y: Array) -> Array:
    """log(exp(x) + exp(y)), for complex numbers too."""
    if x.dtype.kind != "c" and y.dtype.kind != "c":
        return np.logaddexp(x, y)
    top = np.maximum(x.real, y.real)
    shift = np.where(np.isfinite(top), top, 0)
    return np.log(np.exp(x - shift) + np.exp(y - shift)) + shift


# --- the tables -------------------------------------------------------------------------------------------------------


def _by_element(function: Callable[[float], float]) -> Callable[[Array], Array]:
    """A function of Python floats, so in double precision at most, for arrays."""
    return lambda x: np.asarray(np.frompyfunc(lambda v: function(float(v)), 1, 1)(x)).astype(x.dtype)


def _lgamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


def _angle(x: Array) -> Array:
    """Of a real: 0 or pi, and 0 for -0.0, which is no negative number."""
    return np.angle(x) if x.dtype.kind == "c" else np.where(np.isnan(x), x, np.where(x < 0, np.pi, 0))


def _or_itself(function: Callable[[Array], Array], kinds: str) -> Callable[[Array], Array]:
    """`function` for element kinds (numpy's letters) in `kinds`; other elements are as they are."""
    return lambda x: function(x) if x.dtype.kind in kinds else x


def _whole(x: Array) -> Array:
    """Towards zero; of NaN, and of what no 64-bit integer holds, the least one."""
    held = (x >= -(2.0**63)) & (x < 2.0**63)
    return np.where(held, np.where(held, x, 0).astype(np.int64), np.iinfo(np.int64).min)


UNARY: dict[str, Callable[[Array], Array]] = {
    "neg": np.negative,
    "not": np.logical_not,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": _by_element(math.erf),
    "lgamma": _by_element(_lgamma),
    "abs": np.abs,
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)),  # as in torch
    "floor": _or_itself(np.floor, "f"),
    "ceil": _or_itself(np.ceil, "f"),
    "round": _or_itself(np.rint, "f"),
    "int": lambda x: _whole(x) if x.dtype.kind == "f" else x,
    "real": np.real,
    "imag": np.imag,
    "conj": _or_itself(np.conj, "c"),
    "angle": _angle,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "detach": lambda x: x,
}


def _whole_division(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    def divide(x: Array, y: Array) -> Array:
        if y.dtype.kind == "i" and x.size and not y.all():
            raise Trouble("NL0585", "an integer is divided by 0")
        return function(x, y)

    return divide


def _power(x: Array, y: Array) -> Array:
    """Integers to a negative power are the integer part of the true value (0 but for bases 1 and -1), as in torch."""
    if x.dtype.kind != "i" or not (y < 0).any():
        return np.power(x, y)
    inverse = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y % 2), 0))
    return np.where(y < 0, inverse, np.power(x, np.maximum(y, 0)))


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "floordiv": _whole_division(np.floor_divide),
    "mod": _whole_division(np.mod),
    "pow": _power,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "logaddexp": logaddexp,
    "atan2": np.arctan2,
}


def _refuse_complex(op: str, *operands: Array) -> None:
    if orders(op) and any(x.dtype.kind == "c" for x in operands):
        raise Trouble("NL0584", f"`{op}` has no meaning for complex numbers")
