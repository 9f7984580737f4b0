"""A convolution written as a sum over where values come from is one: `sum[s](X[s] * W[t - s])`."""

from __future__ import annotations

import numpy as np
import pytest

import namedlayers as nl
from tests.helpers import check_calls

R = np.random.default_rng(4)
X, W = R.normal(size=(2, 3, 8)), R.normal(size=(4, 3, 5))
PICTURE, BLUR = R.normal(size=(3, 6, 7)), R.normal(size=(3, 2))

FORMULAS: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    "true convolution": (
        "def f(X[b, c, t], W[o, c, k]) -> [b, o, t] = sum[c, s](X[t -> s] * W[k = t - s; fill = 0])", {"X": X, "W": W},
    ),
    "cross-correlation, padded": (
        "def f(X[b, c, t]; W[o, c, k]) -> [o, b, t] = sum[s, c](X[t -> s] * W[k = s - t + 2; fill = 0])",
        {"X": X, "W": W},
    ),
    "a kernel for each channel": (
        "def f(X[b, c, t]; W[c, k]) -> [b, c, t] = sum[s](X[t -> s] * W[k = s - t + 1; fill = 0])",
        {"X": X, "W": W[0]},
    ),
    "strided": (
        "def f(X[b, c, s], W[o, c, k]) -> [b, o, t]:\n    |t| = |s| // 2\n"
        "    return sum[c, s](X * W[k = s - 2 * t + 1; fill = 0])", {"X": X, "W": W},
    ),
    "two axes": (
        "def f(X[c, h, w], W[k, l]) -> [c, h, w] = "
        "sum[i, j](X[h -> i, w -> j] * W[k = h - i + 1, l = w - j; fill = 0])", {"X": PICTURE, "W": BLUR},
    ),
    "more factors": (
        "def f(X[b, c, t], W[o, c, k], a[c], d[o]) -> [b, o, t] = "
        "sum[c, s](d * X[t -> s] * a * W[k = s - t; fill = 0])",
        {"X": X, "W": W, "a": X[0, :, 0], "d": W[:, 0, 0]},
    ),
    "a kernel of one place": (
        "def f(X[b, c, t]; W[o, c, k]) -> [b, o, t] = sum[c, s](X[t -> s] * W[k = s - t; fill = 0])",
        {"X": X, "W": W[:, :, :1]},
    ),
    "longer than the sources": (
        "def f(X[b, c, t]; W[o, c, k]) -> [b, o, t] = sum[c, s](X[t -> s] * W[k = t - s; fill = 0])",
        {"X": X[:, :, :3], "W": W},
    ),
}  # fmt: skip

APART = {
    "another fill": "sum[s](X[t -> s] * W[k = s - t; fill = 1])",
    "weights of the source": "sum[s](X[t -> s] * V[k = s - t; fill = 0])",
    "every other source": "sum[s](X[t -> s] * W[k = 2 * s - t; fill = 0])",
    "to the same side": "sum[s](X[t -> s] * W[k = s + t; fill = 0])",
}


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    check_calls("torch.conv", *FORMULAS[name], None)
    text, _ = FORMULAS[name]
    assert "sum over sources" in nl.compile(text).explain()


@pytest.mark.parametrize("name", APART)
def test_what_is_none(name: str) -> None:
    assert "sum over sources" not in nl.compile(f"def f(X[t], W[k], V[k, s]) = {APART[name]}").explain()
