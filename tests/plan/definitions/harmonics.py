"""Waves: transforms written as sums, and cosines of distances between places; what decays with the distance."""

from __future__ import annotations

from tests.plan.definitions.table import Case

CASES = (
    Case(
        "discrete Fourier transform",
        "X[b, t], Y[f]",
        "Y * sum[t](X * exp(-2j * pi * index[f] * index[t] / (|t| + |f|)))",
        ("harmonics", "mul"),
    ),
    Case(
        "discrete cosine transform",
        "X[b, t], Y[f]",
        "Y * sum[t](X * cos(pi / (|t| + |f|) * (index[t] + 0.5) * index[f]))",
        ("harmonics", "mul"),
    ),
    Case(
        "linear attention weighed by a cosine",
        "Q[t, key], K[s, key], V[s, val]",
        "((Q @[key] K) * cos(pi / 2 * (t - s) / |t|)) @[s] V",
        ("contract", "wave", "wave"),
    ),
    Case(
        "linear attention that decays to either side",
        "Q[t, key], K[s, key], V[s, val], g[]",
        "((Q @[key] K) * g^abs(t - s)) @[s] V",
        ("add", *["index"] * 4, "mul", "prefix_product", "prefix_product"),
    ),
)
