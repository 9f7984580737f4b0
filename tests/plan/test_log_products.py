"""`logsumexp` of an outer sum is a matrix product of the log semiring, however it is written."""

from __future__ import annotations

import numpy as np
import pytest

import namedlayers as nl
from tests.helpers import check

R = np.random.default_rng(2)
X, Y, W, C = R.normal(size=(4, 3)), R.normal(size=(2, 3, 5)), R.random((3, 2)), R.normal(size=3)


def _lse(x: np.ndarray, axis: int) -> np.ndarray:
    return np.log(np.exp(x).sum(axis))


FORMULAS = {
    "two logarithms": (
        "def f(X[b, i], Y[a, i, o]) -> [a, b, o] = logsumexp[i](X + Y)", {"X": X, "Y": Y},
        _lse(X[None, :, :, None] + Y[:, None], 2),
    ),
    "weights": (
        "def f(X[b, i]; W[i, o]) -> [b, o] = logsumexp[i](X + log(W))", {"X": X, "W": W},
        np.log(np.exp(X) @ W),
    ),
    "written out": (
        "def f(X[b, i]; W[i, o]) -> [b, o] = log(sum[i](exp(X + log(W))))", {"X": X, "W": W},
        np.log(np.exp(X) @ W),
    ),
    "subtracted": (
        "def f(X[b, i]; W[i, o]) -> [b, o] = logsumexp[i](X - W)", {"X": X, "W": W}, _lse(X[:, :, None] - W, 1)
    ),
    "further terms and a number": (
        "def f(X[b, i], B[b]; W[i, o], c[i]) -> [b, o] = logsumexp[i](W + B + (X + c) + 2)",
        {"X": X, "B": C[[0, 1, 2, 0]], "W": W, "c": C},
        _lse(X[:, :, None] + W + (C[:, None] + 2) + C[[0, 1, 2, 0]][:, None, None], 1),
    ),
    "a batch on both sides": (
        "def f(X[b, n, i], Y[b, i, o]) -> [b, n, o] = logsumexp[i](X + Y)",
        {"X": R.normal(size=(2, 4, 3)), "Y": Y}, None,
    ),
    "two summed axes": (
        "def f(X[b, i, j], Y[i, j, o]) -> [b, o] = logsumexp[i, j](X + Y)",
        {"X": R.normal(size=(4, 2, 3)), "Y": Y}, None,
    ),
    "an axis that one side alone has": (
        "def f(X[b, i, j], Y[i, o]) -> [b, o] = logsumexp[i, j](X + Y)",
        {"X": R.normal(size=(4, 3, 2)), "Y": R.normal(size=(3, 5))}, None,
    ),
    "the logarithm of a contraction": (
        "def f(X[b, i]; L[i, o]) -> [b, o] = log(exp(X) @[i] softmax[i](L))", {"X": X, "L": W},
        np.log(np.exp(X) @ (np.exp(W) / np.exp(W).sum(0))),
    ),
    "the logarithm of a contraction of exponentials": (
        "def f(X[b, i]; L[i, o]) -> [b, o] = log(exp(X) @[i] exp(L))", {"X": X, "L": W},
        np.log(np.exp(X) @ np.exp(W)),
    ),
    "three factors": (
        "def f(X[a, i], Y[b, i], Z[c, i]) -> [a, b, c] = logsumexp[i](X + Y + Z)",
        {"X": X, "Y": 2 * X, "Z": -X}, None,
    ),
    "a Kronecker sum": (
        "def f(X[b, i], Y[b, j]; W[i, j, o]) -> [b, o] = logsumexp[i, j](X + W + Y - 1)",
        {"X": X, "Y": 2 * X, "W": np.random.default_rng(2).normal(size=(*X.shape[1:] * 2, 3)) * 90}, None,
    ),
    "a Kronecker sum of three": (
        "def f(X[b, i], Y[b, j], Z[b, k]; W[i, j, k, o]) -> [o, b] = logsumexp[i, j, k](X + W + Y + Z)",
        {"X": X, "Y": 2 * X, "Z": -X, "W": np.random.default_rng(2).normal(size=(*X.shape[1:] * 3, 2)) * 90}, None,
    ),
    "a Kronecker sum of which one part lacks the batch": (
        "def f(X[f, b, i], Y[f, j]; W[f, i, j, o]) -> [o, b, f] = logsumexp[i, j](W - X + Y)",
        {"X": R.normal(size=(2, 4, 3)), "Y": R.normal(size=(2, 5)), "W": R.normal(size=(2, 3, 5, 6)) * 90}, None,
    ),
    "a Kronecker sum with axes of one part alone, and of two": (
        "def f(X[b, i, k, l], Y[b, j, l]; W[i, j, o]) -> [b, o] = logsumexp[i, j, k, l](X + Y + W)",
        {"X": R.normal(size=(4, 3, 2, 6)), "Y": R.normal(size=(4, 5, 6)), "W": R.normal(size=(3, 5, 7))}, None,
    ),
    "a Kronecker sum with an axis of one part alone": (
        "def f(X[b, i, k], Y[b, j]; W[i, j, o]) -> [b, o] = logsumexp[i, j, k](X + Y + log(W))",
        {"X": R.normal(size=(4, 3, 2)), "Y": R.normal(size=(4, 5)), "W": R.random(size=(3, 5, 7))}, None,
    ),
    "parts on either side": (
        "def f(X[b, i], Y[b, j], V[i, o], W[j, o]) -> [o, b] = logsumexp[i, j](X + V + (Y + W))",
        {"X": X, "Y": X, "V": X.T, "W": 3 * X.T}, None,
    ),
    "cut by lets": (
        "def f(X[b, i]; W[i, o]) -> [b, o]:\n    L = log(W)\n    S = L + X\n    return logsumexp[i](S)",
        {"X": X, "W": W},
        np.log(np.exp(X) @ W),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_recognised(name: str) -> None:
    text, inputs, _ = FORMULAS[name]
    function = nl.compile(text)
    function(**inputs)
    assert "log_product" in function.code


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    text, inputs, expected = FORMULAS[name]
    if expected is None:
        expected = nl.compile(text).reference(**inputs).numpy()
    check(text, inputs, expected)


NOT = {
    "a term has all axes": "def f(X[b, i], Y[b, i, o]) -> [b, o] = logsumexp[i](X + Y)",
    "nothing is shared": "def f(X[b, i], Y[o, j]) -> [b, o] = logsumexp[i, j](X + Y)",
    "a maximum": "def f(X[b, i], Y[i, o]) -> [b, o] = max[i](X + Y)",
    "a product": "def f(X[b, i], Y[i, o]) -> [b, o] = logsumexp[i](X * Y)",
    "weights that may be negative": "def f(X[b, i]; W[i, o]) -> [b, o] = log(exp(X) @[i] W)",
    "three factors, two alone": "def f(X[a, i], Y[b, j], Z[i, j]) -> [i] = logsumexp[j, a, b](X + Y + Z)",
}


@pytest.mark.parametrize("name", NOT)
def test_what_is_none(name: str) -> None:
    assert "log_product" not in nl.compile(NOT[name]).code


ALONE = {
    "an axis that one term alone has, and no product": (
        "def f(X[b, i], Y[i, o], C[o]) -> [o] = logsumexp[b, i](X - Y + C)", {"X": X, "Y": W, "C": C[:2]},
        _lse(_lse(X, 0)[:, None] - W, 0) + C[:2],
    ),
    "terms with no axis in common": (
        "def f(X[b, i], C[o]) -> [] = logsumexp[b, i, o](X + C + 1)", {"X": X, "C": C},
        np.log(np.exp(X).sum() * np.exp(C).sum()) + 1,
    ),
    "a chain": (
        "def f(X[b, i], Y[i, o], Z[o, c]) -> [c] = logsumexp[b, i, o](X + Y + Z)", {"X": X, "Y": W, "Z": C[None, :2].T},
        _lse((_lse(_lse(X, 0)[:, None] + W, 0) + C[:2])[:, None], 0),
    ),
    "what is nowhere": (
        "def f(X[b, i], Y[i, o]) -> [o] = logsumexp[b, i](X + Y)",
        {"X": np.where(np.arange(3) == 1, -np.inf, X), "Y": W}, _lse(_lse(X[:, ::2], 0)[:, None] + W[::2], 0),
    ),
    "nothing at all": (
        "def f(X[b, i], Y[i, o]) -> [o] = logsumexp[b, i](X + Y)", {"X": X[:0], "Y": W}, np.full(2, -np.inf),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_what_one_term_alone_has_is_summed_there(name: str) -> None:
    text, inputs, expected = ALONE[name]
    check(text, inputs, expected)
    assert "summed alone" in nl.compile(text).explain()
