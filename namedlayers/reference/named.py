"""Arrays with named axes, and the element types that the reference computes with.

In: numpy arrays and axis names. Out: `Named`, which aligns by name. What always holds: the axes of a `Named` are
distinct and as many as the array has; booleans are `bool`, integers `int64`, reals and complex of the precision chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class Origin:
    """How a value was made: the operation, its operands, and its axes at that time, in the array's order."""

    op: str
    operands: tuple[Named, ...]
    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """An array and the names of its axes. Renaming leaves the array as it lies, so `made.axes` fit by position."""

    array: np.ndarray
    axes: tuple[str, ...]
    made: Origin | None = None

    def over(self, axes: tuple[str, ...]) -> np.ndarray:
        """The array with exactly `axes`, in that order; those that it lacks have size 1."""
        order = [self.axes.index(axis) for axis in axes if axis in self.axes]
        assert len(order) == len(self.axes), f"{self.axes} over {axes}"
        return self.array.transpose(order).reshape([self.size(axis) if axis in self.axes else 1 for axis in axes])

    def size(self, axis: str) -> int:
        return self.array.shape[self.axes.index(axis)]

    def with_array(self, array: np.ndarray) -> Named:
        return Named(array, self.axes)


@dataclass(frozen=True, slots=True)
class Precision:
    """The type of reals."""

    real: np.dtype

    @staticmethod
    def of(dtype: object) -> Precision:
        """The precision of a real or a complex numpy type."""
        return Precision(np.zeros((), np.dtype(dtype)).real.dtype)  # type: ignore[call-overload]

    def cast(self, array: np.ndarray, kind: Kind) -> np.ndarray:
        """`array` as elements of `kind`; nothing is lost: the kind is not below the array's own."""
        return array.astype(self.dtype(kind), copy=False)

    def dtype(self, kind: Kind) -> np.dtype:
        if kind is Kind.REAL:
            return self.real
        if kind is Kind.COMPLEX:
            return np.result_type(self.real, np.complex64)
        return np.dtype(bool if kind is Kind.BOOL else np.int64)


class Trouble(Exception):
    """The value is not defined, or the data is wrong: a code and what to say; whoever knows the place adds it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_KINDS = {"b": Kind.BOOL, "i": Kind.INT, "u": Kind.INT, "f": Kind.REAL, "c": Kind.COMPLEX}


def kind_of(array: np.ndarray) -> Kind:
    return _KINDS[array.dtype.kind]


def union(*operands: Named) -> tuple[str, ...]:
    """All axes of the operands, by first appearance."""
    return tuple(dict.fromkeys(axis for operand in operands for axis in operand.axes))


def aligned(*operands: Named) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """All axes, and the operands over them, ready to broadcast."""
    axes = union(*operands)
    return axes, [operand.over(axes) for operand in operands]


def common_kind(*arrays: np.ndarray) -> Kind:
    return reduce(lambda a, b: b if a < b else a, map(kind_of, arrays))
