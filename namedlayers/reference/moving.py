"""Primitives that move elements: indexing, joining, reshaping, windows.

In: attributes as `PRIMITIVES` describes them, sizes as integers; operands under local names; the result's axes and
their sizes. Out: an array over some of these axes. What always holds: an index is never taken modulo a size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from namedlayers.program.program import Kind
from namedlayers.reference.named import Named, Precision, Trouble, aligned, common_kind, kind_of, union

Attrs = Mapping[str, Any]
Sizes = Mapping[str, int]


def where(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    axes, (c, a, b) = aligned(*operands)
    kind = common_kind(a, b)
    return Named(np.where(c != 0, precision.cast(a, kind), precision.cast(b, kind)), axes)


def expand(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    (a,) = operands
    new = tuple(axis for axis, _ in attrs["axes"])
    shape = tuple(size for _, size in attrs["axes"])
    return Named(np.broadcast_to(a.array.reshape((1,) * len(new) + a.array.shape), shape + a.array.shape), new + a.axes)


def index(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    (a,) = operands
    computed = {axis: _affine(coefficients, offset, sizes) for axis, coefficients, offset in attrs["entries"]}
    return _take(a, computed, tuple(sizes))


def gather(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    a, *rest = operands
    indices = dict(zip(attrs["axes"], rest, strict=False))
    axes = tuple(sizes)
    if not attrs["fill"]:
        return _take(a, {axis: _integers(i, precision) for axis, i in indices.items()}, axes)
    outside = Named(np.zeros((), bool), ())
    clipped = {}
    for axis, i in indices.items():
        i, size = _integers(i, precision), a.size(axis)
        both, (so_far, out) = aligned(outside, i.with_array((i.array < 0) | (i.array >= size)))
        outside = Named(so_far | out, both)
        clipped[axis] = i.with_array(np.clip(i.array, 0, max(size - 1, 0)))
    value = rest[-1]
    kind = common_kind(a.array, value.array)
    if a.array.size == 0 and all(sizes[axis] for axis in axes if axis in a.axes and axis not in indices):
        # Nothing can be read, so that every index is out of range.
        found = Named(np.zeros((), precision.dtype(kind)), ())
        outside = Named(np.ones((), bool), ())
    else:
        found = _take(a, clipped, axes)
    chosen = (precision.cast(x.over(axes), kind) for x in (value, found))
    return Named(np.where(outside.over(axes), *chosen), axes)


def merge(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    (a,) = operands
    merged = tuple(attrs["axes"])
    kept = tuple(axis for axis in a.axes if axis not in merged)
    shape = tuple(a.size(axis) for axis in kept)
    return Named(a.over(kept + merged).reshape(*shape, sizes[attrs["into"]]), (*kept, attrs["into"]))


def split(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    (a,) = operands
    kept = tuple(axis for axis in a.axes if axis != attrs["axis"])
    names, parts = zip(*attrs["into"], strict=True)
    shape = tuple(a.size(axis) for axis in kept)
    return Named(a.over((*kept, attrs["axis"])).reshape(shape + parts), kept + names)


def pad(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    a, value = operands
    axis, size = attrs["axis"], a.size(attrs["axis"])
    wanted = np.arange(-attrs["before"], size + attrs["after"])
    if attrs["mode"] == "constant":
        kind = common_kind(a.array, value.array)
        inside = (wanted >= 0) & (wanted < size)
        axes, (elements, other) = aligned(Named(_rows(a, axis, np.clip(wanted, 0, max(size - 1, 0))), a.axes), value)
        taken = Named(inside, (axis,)).over(axes)
        return Named(np.where(taken, precision.cast(elements, kind), precision.cast(other, kind)), axes)
    if size == 0 and wanted.size:
        raise Trouble("NL0486", f"the empty axis `{axis}` has no elements to pad with")
    return Named(_rows(a, axis, _source(attrs["mode"], wanted, size)), a.axes)


def fold(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    (a,) = operands
    axis, kernel = attrs["axis"], attrs["kernel"]
    kept = tuple(name for name in a.axes if name not in (axis, kernel))
    kind = Kind.INT if kind_of(a.array) is Kind.BOOL else kind_of(a.array)
    windows = precision.cast(a.over((axis, kernel, *kept)), kind)
    result = np.zeros((attrs["size"], *windows.shape[2:]), windows.dtype)
    for s in range(windows.shape[0]):
        for k in range(windows.shape[1]):
            t = attrs["stride"] * s + attrs["dilation"] * k - attrs["padding"]
            if 0 <= t < attrs["size"]:
                result[t] += windows[s, k]
    return Named(result, (axis, *kept))


def concat(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    axis = attrs["axis"]
    axes = (axis, *(name for name in union(*operands) if name != axis))
    return Named(np.concatenate(_spread(operands, axes, precision, first=1), axis=0), axes)


def stack(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    axes = union(*operands)
    return Named(np.stack(_spread(operands, axes, precision, first=0), axis=0), (attrs["axis"], *axes))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _affine(coefficients: tuple[tuple[str, int], ...], offset: int, sizes: Sizes) -> Named:
    total = Named(np.asarray(offset, np.int64), ())
    for axis, c in coefficients:
        axes, (so_far, more) = aligned(total, Named(c * np.arange(sizes[axis]), (axis,)))
        total = Named(so_far + more, axes)
    return total


def _take(a: Named, computed: Mapping[str, Named], axes: tuple[str, ...]) -> Named:
    """`a` over `axes`: the axes in `computed` at these coordinates, the others at their own."""
    coordinates = []
    for axis, size in zip(a.axes, a.array.shape, strict=True):
        at = computed.get(axis)
        if at is not None:
            _check(axis, size, at.array)
        coordinates.append((Named(np.arange(size), (axis,)) if at is None else at).over(axes))
    # Without an axis there is nothing to index with.
    taken = a.array[tuple(np.broadcast_arrays(*coordinates))] if coordinates else a.array.reshape((1,) * len(axes))
    return Named(taken, axes)


def _check(axis: str, size: int, at: np.ndarray) -> None:
    wrong = at[(at < 0) | (at >= size)]
    if wrong.size:
        raise Trouble("NL0582", f"index {wrong.flat[0]} is out of range: axis `{axis}` has size {size}")


def _integers(i: Named, precision: Precision) -> Named:
    return i.with_array(precision.cast(i.array, Kind.INT))


def _rows(a: Named, axis: str, at: np.ndarray) -> np.ndarray:
    """The elements `at` along an axis; of an empty axis zeros, which no one looks at."""
    position = a.axes.index(axis)
    if a.size(axis) == 0:
        shape = list(a.array.shape)
        shape[position] = len(at)
        return np.zeros(shape, a.array.dtype)
    return np.take(a.array, at, axis=position)


def _source(mode: str, wanted: np.ndarray, size: int) -> np.ndarray:
    if mode == "circular":
        return wanted % size
    if mode == "replicate":
        return np.clip(wanted, 0, size - 1)
    period = max(2 * (size - 1), 1)
    folded = wanted % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros_like(wanted)


def _spread(operands: list[Named], axes: tuple[str, ...], precision: Precision, first: int) -> list[np.ndarray]:
    """The operands of one kind, over `axes`, broadcast against each other in all but the `first` axes."""
    kind = common_kind(*(o.array for o in operands))
    arrays = [precision.cast(o.over(axes), kind) for o in operands]
    shape = np.broadcast_shapes(*(x.shape[first:] for x in arrays))
    return [np.broadcast_to(x, x.shape[:first] + shape) for x in arrays]
