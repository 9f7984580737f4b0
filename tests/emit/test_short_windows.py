"""A softmax or a reduction of short windows: each of their places lies in one piece for all windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from tests.helpers import check_calls

X = np.random.default_rng(5).normal(size=(2, 3, 7, 6))
BELOW = np.where(X > 0.8, -np.inf, X)

FORMULAS: dict[str, tuple[str, np.ndarray]] = {
    "windows that tile": (
        "def f(X[b, c, h, w]) -> [b, c, h, w] = logsumexp[i, j](unroll[h, w, i = 2, j = 2](X; stride = 2))", X,
    ),
    "windows that overlap": (
        "def f(X[b, c, h, w]) -> [w, b, c, h]:\n    |i| = 3\n    |j| = 2\n"
        "    return logsumexp[j, i](X[h = h + i, w = 2 * w + j])", X,
    ),
    "one axis": ("def f(X[b, c, h, w]) -> [b, c, h, w] = logsumexp[k](unroll[w, k = 3](X))", X),
    "softmax pool": (
        "def f(X[b, c, h, w]) -> [b, c, h, w]:\n    Y = unroll[h, w, i = 2, j = 3](X)\n"
        "    return sum[i, j](softmax[i, j](Y) * Y)", X,
    ),
    "what is never there": (
        "def f(X[b, c, h, w]) -> [b, c, h, w] = logsumexp[i, j](unroll[h, w, i = 2, j = 2](X; stride = 2))", BELOW,
    ),
    "a dilation": (
        "def f(X[b, c, h, w]) -> [b, c, h, w]:\n    W = sin(index[c] + 2.0 * index[u = 2] + index[v = 3] ^ 2)\n"
        "    return max[u, v](X[h = h + u, w = w + v] + W)", X,
    ),
    "an erosion, with steps": (
        "def f(X[b, c, h, w]) -> [b, c, w, h]:\n    |u| = 3\n    return min[u](X[h = 2 * h + u] - 0.1 * u ^ 2)", X,
    ),
    "differences from the middle": (
        "def f(X[b, c, h, w]) -> [b, c, h, w]:\n    Y = unroll[h, w, u = 3, v = 2](X)\n"
        "    return sum[u, v](abs(Y - Y[u = 1, v = 0]) ^ 1.5)", X,
    ),
    "what is least of what is never there": (
        "def f(X[b, c, h, w]) -> [b, c, h, w]:\n    |u| = 3\n    return min[u](X[h = h + u] + u)", BELOW,
    ),
    "no windows": ("def f(X[b, c, h, w]) -> [b, c, h, w] = logsumexp[k](unroll[w, k = 6](X))", X[:0]),
}  # fmt: skip

APART = {
    "long windows": "softmax[k](unroll[w, k = 65](X))",
    "along the windows": "softmax[w](unroll[w, k = 3](X))",
    "along both": "softmax[w, k](unroll[w, k = 3](X))",
    "windows that stay": "tanh(unroll[w, k = 3](X))",
    "changed, along the windows": "unroll[w, k = 3](X) - max[w](tanh(unroll[w, k = 3](X)))",
}


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    text, given = FORMULAS[name]
    check_calls("in_one_piece", text, {"X": given}, None)


@pytest.mark.parametrize("sizes", [(2, 3), (1, 1), (7, 6), (3, 1)])
def test_how_long_windows_are_a_call_may_tell(sizes: tuple[int, int]) -> None:
    text = "def f(X[b, c, h, w], W[c, u, v]):\n    return max[u, v](X[h = h + u, w = w + v] + W)"
    check_calls("in_one_piece", text, {"X": X, "W": np.random.default_rng(1).normal(size=(3, *sizes))}, None)


@pytest.mark.parametrize("name", APART)
def test_what_stays_as_it_is(name: str) -> None:
    assert "in_one_piece" not in nl.compile(f"def f(X[b, w]) -> [b, w, k] = {APART[name]}").code


def test_a_compiler_decides_for_itself() -> None:
    function = nl.compile(FORMULAS["softmax pool"][0])
    given = torch.tensor(X, requires_grad=True)
    found, wanted = torch.compile(function, backend="aot_eager", fullgraph=True)(given), function(given)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(one.square().sum(), given) for one in (found, wanted)))
