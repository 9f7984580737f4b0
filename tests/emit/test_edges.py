"""What the kernels themselves refuse, and formulas may ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.helpers import check

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("def f(X[c, t]; W[o, c, k]) -> [o, t] = W @[c, k] unroll[t, k](X; padding = 2)", (2, 0), np.zeros((3, 2))),
        ("def f(X[c, t]) -> [c, t] = mean[k](unroll[t, k = 3](X; padding = 2))", (2, 0), np.zeros((2, 2))),
        (
            "def f(X[c, t]) -> [c, t] = max[k](unroll[t, k = 3](X; padding = 2, value = -inf))",
            (2, 0),
            np.full((2, 2), -math.inf),
        ),
        ("def f(X[c, t]) -> [c, t] = mean[k](unroll[t, k = 2](X))", (0, 4), np.zeros((0, 3))),
    ],
    ids=["convolution", "mean pool", "max pool", "no channels"],
)
def test_empty_axes_under_windows(text: str, shape: tuple[int, ...], expected: np.ndarray) -> None:
    weights = {"W": RANDOM.normal(size=(3, 2, 3))} if "W[" in text else {}
    check(text, {"X": np.zeros(shape), **weights}, expected, gradients=False)


@pytest.mark.parametrize("reduced", ["max[n](W)", "mean[n](W)", "sum[n](W)", "W @[n] (1 + index[n])"])
@pytest.mark.parametrize("part", ["a = 0:1", "a = ::2", "a = 1:", "b = 0:3", "b = 1:4", "a = 0:2, b = 1:"])
def test_windows_of_a_slice(reduced: str, part: str) -> None:
    """A slice along another axis reads a part of it; the kernel must not read the whole."""
    text = f"def f(X[a, b]) -> [a, b]:\n    W = unroll[b, n = 2](X[{part}])\n    return {reduced}\n"
    array = RANDOM.normal(size=(3, 4))
    cut = {"a = 0:1": np.s_[:1], "a = ::2": np.s_[::2], "a = 1:": np.s_[1:], "b = 0:3": np.s_[:, :3]}
    cut |= {"b = 1:4": np.s_[:, 1:4], "a = 0:2, b = 1:": np.s_[:2, 1:]}
    first, second = array[cut[part]][:, :-1], array[cut[part]][:, 1:]
    expected = {"max": np.maximum(first, second), "mea": (first + second) / 2, "sum": first + second}
    check(text, {"X": array}, expected.get(reduced[:3], first + 2 * second))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(I[t], J[t]) = logaddexp(I, J)", np.logaddexp([1, 2], [1, 0])),
        ("def f(I[t], J[t]) = softplus(I) + 0 * J", np.logaddexp([1, 2], 0)),
        ("def f(I[t], J[t]) = I * J + softplus(0)", np.array([1, 0]) + math.log(2)),
    ],
    ids=["of integers", "softplus of integers", "of literals"],
)
def test_logaddexp_of_what_is_not_real(text: str, expected: np.ndarray) -> None:
    check(text, {"I": np.array([1, 2]), "J": np.array([1, 0])}, expected, gradients=False, rtol=1e-6, atol=1e-6)


def test_complex_literals_that_are_not_finite() -> None:
    check("def f(X[t]) = X * (1j * nan)", {"X": np.ones(2)}, np.full(2, complex(math.nan, math.nan)), gradients=False)
