"""Reductions and running reductions by definition.

In: an array and axis numbers. Out: the array without them (running: of the same shape). What always holds: over no
values a reduction gives its neutral element: 0, 1, -inf, inf, -inf, False, True (the least and the greatest integer
where elements are integers, which have no infinity).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from namedlayers.program.kinds import orders, result_kind
from namedlayers.reference.elementwise import logaddexp
from namedlayers.reference.named import Precision, Trouble, kind_of

Array = np.ndarray
Axes = tuple[int, ...]


def reduction(op: str, x: Array, axes: Axes, precision: Precision) -> Array:
    return np.asarray(REDUCE[op](_prepared(op, x, precision), axes))


def cumulative(op: str, x: Array, axis: int, precision: Precision) -> Array:
    """At each coordinate the reduction of the elements up to and including it."""
    return CUMULATIVE[op](_prepared(op, x, precision), axis)


def least(dtype: np.dtype) -> Any:
    """What `max` of nothing gives."""
    return -np.inf if dtype.kind == "f" else False if dtype.kind == "b" else np.iinfo(dtype).min


def greatest(dtype: np.dtype) -> Any:
    """What `min` of nothing gives."""
    return np.inf if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max


def _prepared(op: str, x: Array, precision: Precision) -> Array:
    if orders(op) and x.dtype.kind == "c":
        raise Trouble("NL0584", f"`{op}` has no meaning for complex numbers")
    kind = kind_of(x)
    wanted = kind if op in ("any", "all") else result_kind(op, (kind,))
    return precision.cast(x, wanted)


def _logsumexp(x: Array, axes: Axes) -> Array:
    top = np.max(x.real, axis=axes, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0).astype(x.real.dtype)
    return np.log(np.sum(np.exp(x - shift), axis=axes)) + np.squeeze(shift, axis=axes)


REDUCE: dict[str, Callable[[Array, Axes], Array]] = {
    "sum": lambda x, axes: np.sum(x, axis=axes),
    "prod": lambda x, axes: np.prod(x, axis=axes),
    "max": lambda x, axes: np.max(x, axis=axes, initial=least(x.dtype)),
    "min": lambda x, axes: np.min(x, axis=axes, initial=greatest(x.dtype)),
    "logsumexp": _logsumexp,
    "any": lambda x, axes: np.any(x, axis=axes),
    "all": lambda x, axes: np.all(x, axis=axes),
}


def _running_logsumexp(x: Array, axis: int) -> Array:
    if x.dtype.kind != "c":
        return np.logaddexp.accumulate(x, axis=axis)
    rows = np.moveaxis(x.copy(), axis, 0)
    for k in range(1, len(rows)):
        rows[k] = logaddexp(rows[k - 1], rows[k])
    return np.moveaxis(rows, 0, axis)


CUMULATIVE: dict[str, Callable[[Array, int], Array]] = {
    "sum": lambda x, axis: np.cumsum(x, axis=axis),
    "prod": lambda x, axis: np.cumprod(x, axis=axis),
    "max": lambda x, axis: np.maximum.accumulate(x, axis=axis),
    "min": lambda x, axis: np.minimum.accumulate(x, axis=axis),
    "logsumexp": _running_logsumexp,
}
