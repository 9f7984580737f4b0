"""Primitives of linear algebra: one matrix (rows, columns), lifted over the other axes.

In and out as in `moving`. What always holds: computed in double precision at least where numpy can, and given back in
the precision of the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from namedlayers.program.program import Kind
from namedlayers.reference.named import Named, Precision, Trouble, common_kind

Attrs = Mapping[str, Any]
Sizes = Mapping[str, int]


def inv(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    batch, matrix = _matrix(attrs, operands[0])
    return Named(_solved(np.linalg.inv, matrix), (*batch, attrs["row"], attrs["column"]))


def solve(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    a, b = operands
    row, column = attrs["row"], attrs["column"]
    batch = tuple(dict.fromkeys(axis for axis in (*a.axes, *b.axes) if axis not in (row, column)))
    matrix, right = a.over((*batch, row, column)), b.over((*batch, row))
    return Named(_solved(lambda m, r: np.linalg.solve(m, r[..., None])[..., 0], matrix, right), (*batch, column))


def cholesky(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    batch, matrix = _matrix(attrs, operands[0])
    return Named(_solved(np.linalg.cholesky, matrix), (*batch, attrs["row"], attrs["column"]))


def eigenvalues(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    batch, matrix = _matrix(attrs, operands[0])
    return Named(_solved(np.linalg.eigvalsh, matrix), (*batch, attrs["into"]))


def eigenvectors(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    batch, matrix = _matrix(attrs, operands[0])
    return Named(_solved(lambda m: np.linalg.eigh(m)[1], matrix), (*batch, attrs["row"], attrs["into"]))


def det(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    batch, matrix = _matrix(attrs, operands[0])
    return Named(_solved(np.linalg.det, matrix), batch)


def finfo(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    return Named(np.asarray(getattr(np.finfo(precision.real), attrs["which"]), precision.real), ())


def _matrix(attrs: Attrs, a: Named) -> tuple[tuple[str, ...], np.ndarray]:
    batch = tuple(axis for axis in a.axes if axis not in (attrs["row"], attrs["column"]))
    return batch, a.over((*batch, attrs["row"], attrs["column"]))


def _solved(function: Callable[..., np.ndarray], *operands: np.ndarray) -> np.ndarray:
    """The result; numpy's linear algebra knows single and double precision only, and the first would be too little."""
    kind = np.complex128 if common_kind(*operands) is Kind.COMPLEX else np.float64
    try:
        return np.asarray(function(*(x.astype(kind) for x in operands)))
    except np.linalg.LinAlgError as error:
        raise Trouble("NL0586", f"the linear algebra has no result: {error}") from None
