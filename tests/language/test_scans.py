"""`scan`: a block for each coordinate of an axis, one after the other. `expected` is a plain loop in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.helpers import check

R = np.random.default_rng(11)


def _steps(x: np.ndarray, start: Any, step: Callable[..., Any], *more: Any, back: bool = False) -> np.ndarray:
    """All values of `h = step(h, x[t], …)` along the first axis."""
    h, found = start, {}
    for t in reversed(range(len(x))) if back else range(len(x)):
        h = found[t] = step(h, x[t], *more)
    return np.stack([found[t] for t in range(len(x))])


X, A, H = R.normal(size=(6, 3)), R.normal(size=(6, 3)), R.normal(size=3)
WH, WI, B = R.normal(size=(3, 3)) / 2, R.normal(size=(3, 3)), R.normal(size=3)


@dataclass(frozen=True)
class Case:
    text: str
    inputs: dict[str, Any]
    expected: Any
    options: dict[str, Any] = field(default_factory=dict)


def _cumulated() -> tuple[np.ndarray, np.ndarray]:
    total = np.cumsum(X, 0)
    return total, np.cumsum(total, 0)


def _nested() -> np.ndarray:
    rows, s = [], 0.0
    for row in X:
        for value in row:
            s = np.tanh(s + value)
        rows.append(s)
    return np.array(rows)


def _euler() -> np.ndarray:
    found, y = [], H
    for _ in range(4):
        y = y + 0.1 * np.cos(y)
        found.append(y)
    return np.stack(found)


CASES = {
    "one carried value": Case(
        "def f(X[t, i]; W[i, j]) -> [t, i]:\n    scan t with h = zeros[i]:\n"
        "        h = tanh(W @[i] h + X[i -> j])[j -> i]\n"
        "    return h",
        {"X": X, "W": WH},
        _steps(X, np.zeros(3), lambda h, x: np.tanh(h @ WH + x)),
    ),
    "from the end": Case(
        "def f(X[t, i], h0[i]) -> [t, i]:\n    scan t reversed with h = h0:\n        h = sin(h) + X\n    return h",
        {"X": X, "h0": H},
        _steps(X, H, lambda h, x: np.sin(h) + x, back=True),
    ),
    "the last step": Case(
        "def f(X[t, i], h0[i]) -> [i]:\n    scan t with h = h0:\n        h = sin(h) * X\n    return h[t = -1]",
        {"X": X, "h0": H},
        _steps(X, H, lambda h, x: np.sin(h) * x)[-1],
    ),
    "several carried values, later lines see new ones": Case(
        "def f(X[t, i]) -> [t, i], [t, i]:\n    scan t with a = 0, b = 0:\n        a = a + X\n        b = b + a\n"
        "    return a, b",
        {"X": X},
        _cumulated(),
    ),
    "what is not carried gets the axis, too": Case(
        "def f(X[t, i]) -> [t]:\n    scan t with a = 0:\n        a = a + X\n        s = sum[i](a * X)\n    return s",
        {"X": X},
        (np.cumsum(X, 0) * X).sum(1),
    ),
    "without carried values": Case(
        "def f(X[t, i]) -> [t]:\n    scan t:\n        s = max[i](X)\n    return s", {"X": X}, X.max(1)
    ),
    "a start value broadcasts to the axes that steps give it": Case(
        "def f(X[t, i]; h0[] = 0.5) -> [t, i]:\n    scan t with h = h0:\n        h = h * X\n    return h",
        {"X": X},
        _steps(X, np.full(3, 0.5), lambda h, x: h * x),
    ),
    "the current coordinate": Case(
        "def f(X[t, i]) -> [t, i]:\n    scan t with h = 0:\n        h = h / 2 + t * X\n    return h",
        {"X": X},
        _steps(np.arange(6)[:, None] * X, np.zeros(3), lambda h, x: h / 2 + x),
    ),
    "another tensor at the current coordinate": Case(
        "def f(X[t, i], E[pos, i]) -> [t, i]:\n    scan t with h = 0:\n        h = h / 2 + X * E[pos = t]\n"
        "    return h",
        {"X": X, "E": A},
        _steps(A * X, np.zeros(3), lambda h, x: h / 2 + x),
    ),
    "a count": Case(
        "def f(y0[i]) -> [step, i]:\n    scan step = 4 with y = y0:\n        y = y + 0.1 * cos(y)\n    return y",
        {"y0": H},
        _euler(),
    ),
    "a scan inside a scan": Case(
        "def f(X[t, i]) -> [t]:\n    scan t with s = 0:\n        scan i with r = s:\n            r = tanh(r + X)\n"
        "        s = r[i = -1]\n    return s",
        {"X": X},
        _nested(),
    ),
    "an integer grows to a real": Case(
        "def f(X[t]) -> [t]:\n    scan t with s = 1:\n        s = s * X\n    return s",
        {"X": X[:, 0]},
        np.cumprod(X[:, 0]),
    ),
    "integers stay integers": Case(
        "def f(I[t]) -> [t]:\n    scan t with n = 0:\n        n = n + where(I > 0, 1, 0)\n    return n",
        {"I": np.array([1, 0, 2, -1])},
        np.array([1, 1, 2, 2]),
    ),
    "a definition inside": Case(
        "def cell(x[i], h[i]; W[i, j]) -> [i] = tanh(W @[i] h + x[i -> j])[j -> i]\n"
        "def f(X[t, i]; W[i, j]) -> [t, i]:\n    scan t with h = zeros[i]:\n        h = cell(X, h; W = W)\n"
        "    return h",
        {"X": X, "W": WH},
        _steps(X, np.zeros(3), lambda h, x: np.tanh(h @ WH + x)),
    ),
    "a condition inside": Case(
        "def f(X[t, i]; double = True) -> [t, i]:\n    scan t with h = 0:\n        if double:\n"
        "            h = sin(h + 2 * X)"
        "\n        else:\n            h = sin(h + X)\n    return h",
        {"X": X},
        _steps(2 * X, np.zeros(3), lambda h, x: np.sin(h + x)),
    ),
    "windows of the scanned axis, taken before": Case(
        "def f(X[t, i]) -> [t, i]:\n    P = X[t = t - 1; fill = 0]\n    scan t with h = 0:\n"
        "        h = sin(h) + P\n    return h",
        {"X": X},
        _steps(np.vstack([np.zeros((1, 3)), X[:-1]]), np.zeros(3), lambda h, x: np.sin(h) + x),
    ),
    "a repeat inside": Case(
        "def f(X[t, i]) -> [t, i]:\n    scan t with h = 0:\n        repeat 3:\n            h = sin(h + X)\n"
        "    return h",
        {"X": X},
        _steps(X, np.zeros(3), lambda h, x: np.sin(np.sin(np.sin(h + x) + x) + x)),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_scan(case: Case) -> None:
    real = all(np.asarray(one).dtype.kind == "f" for one in case.inputs.values())
    check(case.text, case.inputs, case.expected, gradients=real, **case.options)


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
@pytest.mark.parametrize("name", ["one carried value", "several carried values, later lines see new ones"])
def test_any_number_of_steps(name: str, steps: int) -> None:
    x = R.normal(size=(steps, 3))
    total = np.cumsum(x, 0)
    expected = (
        _steps(x, np.zeros(3), lambda h, one: np.tanh(h @ WH + one)) if steps else np.zeros((0, 3)),
        (total, np.cumsum(total, 0)),
    )
    inputs = {"X": x, "W": WH} if "W" in CASES[name].inputs else {"X": x}
    check(CASES[name].text, inputs, expected[0] if "W" in inputs else expected[1], gradients=steps > 0)


def test_a_scan_lifts() -> None:
    x = R.normal(size=(2, 6, 3))
    expected = np.stack([_steps(one, np.zeros(3), lambda h, row: np.tanh(h @ WH + row)) for one in x])
    check(CASES["one carried value"].text, {"X": x, "W": WH}, expected)
