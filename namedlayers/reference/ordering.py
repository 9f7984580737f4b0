"""Primitives along one axis: arguments of extremes, sorting, running reductions, Fourier transforms.

In and out as in `moving`. What always holds: ties go to the first, and NaN counts as largest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from namedlayers.program.program import Kind
from namedlayers.reference import reductions
from namedlayers.reference.named import Named, Precision, Trouble

Attrs = Mapping[str, Any]
Sizes = Mapping[str, int]


def cumulative(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    (a,) = operands
    return a.with_array(reductions.cumulative(attrs["op"], a.array, a.axes.index(attrs["axis"]), precision))


def argreduce(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    a, axis = _last(operands, attrs["axis"])
    if a.array.shape[-1] == 0 and np.prod(a.array.shape[:-1]):
        raise Trouble("NL0486", f"the empty axis `{axis}` has no {attrs['op']}imum")
    if a.array.size == 0:
        return Named(np.zeros(a.array.shape[:-1], np.int64), a.axes[:-1])
    find = np.argmax if attrs["op"] == "max" else np.argmin
    return Named(np.asarray(find(a.array, axis=-1)), a.axes[:-1])


def sort(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    a, _ = _last(operands, attrs["axis"])
    return a.with_array(np.take_along_axis(a.array, _order(a.array, attrs["descending"]), axis=-1))


def argsort(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    a, _ = _last(operands, attrs["axis"])
    return a.with_array(_order(a.array, attrs["descending"]))


def fft(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    a, axis = _last(operands, attrs["axis"])
    x = precision.cast(a.array, Kind.COMPLEX)
    axes = (*a.axes[:-1], attrs["into"])
    if x.shape[-1] == 0:
        return Named(x, axes)
    transformed = np.fft.ifft(x, axis=-1) if attrs["inverse"] else np.fft.fft(x, axis=-1)
    return Named(precision.cast(transformed, Kind.COMPLEX), axes)


def _last(operands: list[Named], axis: str) -> tuple[Named, str]:
    """The only operand, with `axis` as its last."""
    (a,) = operands
    axes = (*(name for name in a.axes if name != axis), axis)
    return Named(a.over(axes), axes), axis


def _order(x: np.ndarray, descending: bool) -> np.ndarray:
    if not descending:
        return np.argsort(x, axis=-1, kind="stable")
    # From the end, so that what is read backwards has its ties in the first order again.
    order = np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return x.shape[-1] - 1 - order
