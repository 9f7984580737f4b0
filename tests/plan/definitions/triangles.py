"""Cumulative operations by masks, and triangles of matrices."""

from __future__ import annotations

from tests.plan.definitions.table import Case

CASES = (
    Case("lower triangle", "X[i, j]", "where(j <= i, X, 0)", ("triangle",), ("X",)),
    Case("upper triangle", "X[i, j]", "where(j > i + 1, X, 0)", ("triangle",), ("X",)),
)
