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
    Case(
        "retention",
        "Q[t, key], K[s, key], V[s, val], g[]",
        "where(s <= t, g^(t - s) * (Q @[key] K), 0) @[s] V",
        ("prefix_product",),
        ("Q K V g",),
    ),
    Case(
        "linear attention with a gate",
        "Q[t, key], K[s, key], V[s, val], A[t], B[s]",
        "where(s <= t, exp(A - B) * (Q @[key] K), 0) @[s] V",
        ("prefix_product",),
        ("Q K V A B",),
    ),
    Case("upper triangle", "X[i, j]", "where(j > i + 1, X, 0)", ("triangle",), ("X",)),
)
