"""Cumulative operations by masks, and triangles of matrices."""

from __future__ import annotations

from tests.plan.definitions.table import Case

CASES = (
    Case("lower triangle", "X[i, j]", "where(j <= i, X, 0)", ("triangle",), ("X",)),
    Case(
        "causal linear attention",
        "Q[t, key], K[s, key], V[s, val]",
        "where(s <= t, Q @[key] K, 0) @[s] V",
        ("prefix_product",),
        ("Q K V",),
    ),
    Case("upper triangle", "X[i, j]", "where(j > i + 1, X, 0)", ("triangle",), ("X",)),
)
