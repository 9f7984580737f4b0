"""Element kinds: boolean, integer, real and complex, decided by the inputs and by use, in every kind of operation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from tests.helpers import Case, case

COMPLEX = np.array([1 + 1j, 2, 3j])


def attended(Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> np.ndarray:
    scores = np.exp(Q @ K.T)
    return scores / scores.sum(1, keepdims=True) @ V


KINDS = {
    "where of an integer and a real": case(
        "def f(A[i], B[i]) = where(A > 1, A, B)", lambda A, B: np.where(A > 1, A, B), A=[1, 2, 3], B=(3,)
    ),
    "a stack of an integer and a real": case(
        "def f(A[i], B[i]) -> [k, i] = stack[k](A, B)", lambda A, B: np.stack([A, B]), A=[1, 2, 3], B=(3,)
    ),
    "a concat of an integer and a boolean": case(
        "def f(A[i], B[i]) = concat[i](A, B)", lambda A, B: np.concatenate([A, B * 1]), A=[1, 2], B=[True, False]
    ),
    "an integer padded with a real": case(
        "def f(A[i]) = pad[i](A; after = 1, value = 0.5)", lambda A: np.array([1, 2, 0.5]), A=[1, 2]
    ),
    "a boolean padded with a boolean": case(
        "def f(A[i]) = pad[i](A; after = 1, value = True)", lambda A: np.array([True, False, True]), A=[True, False]
    ),
    "booleans gathered": case(
        "def f(A[i], I[k]) -> [k] = A[i = I]", lambda A, ids: A[ids], A=[True, False], I=[1, 0, 0]
    ),
    "integers added up by one-hot vectors, which are real": case(
        "def f(X[s], I[s]) -> [v] = X @[s] one_hot[v = 3](I)",
        lambda X, ids: np.array([3.0, 0, 2]),
        X=[1, 2, 2],
        I=[0, 2, 0],
    ),
    "booleans added up by one-hot vectors": case(
        "def f(X[s], I[s]) -> [v] = X @[s] one_hot[v = 2](I)",
        lambda X, ids: np.array([1.0, 0]),
        X=[True, False],
        I=[0, 1],
    ),
    "the imaginary part of booleans": case("def f(A[i]) = real(A) - 2 * imag(A)", lambda A: A * 1.0, A=[True, False]),
    "the least of no integers": case(
        "def f(A[i, j]) = min[i](A)", lambda A: np.full(2, np.iinfo(np.int64).max), A=np.zeros((0, 2), np.int64)
    ),
    "the largest of no integers": case(
        "def f(A[i, j]) = max[i](A)", lambda A: np.full(2, np.iinfo(np.int64).min), A=np.zeros((0, 2), np.int64)
    ),
    "a root of booleans": case("def f(A[i]) = sqrt(A)", lambda A: A * 1.0, A=[True, False]),
    "a product of integers": case(
        "def f(A[i, j], B[j, k]) = A @[j] B", lambda A, B: A @ B, A=[[1, 2], [3, 4]], B=[[5, 6], [7, 8]]
    ),
    "a convolution of integers": case(
        "def f(X[t]; W[k]) -> [t] = unroll[t, k](X) @[k] W", lambda X, W: np.correlate(X, W), X=[1, 2, 3, 4], W=[1, 2]
    ),
    "a max pool of integers": case(
        "def f(X[t]) = max[k](pool[t, k = 2](X))", lambda X: X.reshape(-1, 2).max(1), X=[1, 5, 3, 4]
    ),
    "a mean pool of integers": case(
        "def f(X[t]) = mean[k](pool[t, k = 2](X))", lambda X: X.reshape(-1, 2).mean(1), X=[1, 5, 3, 4]
    ),
    "integers standardized": case(
        "def f(X[t]) = standardize[t](X)", lambda X: (X - X.mean()) / np.sqrt(X.var() + 1e-5), X=[1, 5, 3, 4]
    ),
    "attention of integers": case(
        "def f(Q[q, d], K[k, d], V[k, v]) -> [q, v] = softmax[k](Q @[d] K) @[k] V",
        attended,
        Q=[[1, 0]],
        K=[[1, 2], [0, 1]],
        V=(2, 3),
    ),
    "a convolution of complex numbers": case(
        "def f(X[t]; W[k]) -> [t] = unroll[t, k](X) @[k] W",
        lambda X, W: np.array([X[i : i + 2] @ W for i in range(2)]),
        X=COMPLEX,
        W=[1j, 2.0],
    ),
    "a quotient of complex exponentials": case(
        "def f(X[t]) = exp(X) / sum[t](exp(X))", lambda X: np.exp(X) / np.exp(X).sum(), X=COMPLEX
    ),
    "a variance of complex numbers": case(
        "def f(X[t]) = mean[t](abs(X - mean[t](X)) ^ 2)", lambda X: X.var(), X=COMPLEX
    ),
    "a complex system of equations": case(
        "def f(A[i, j], b[i]) -> [j] = solve[i, j](A, b)", np.linalg.solve, A=[[1 + 1j, 2], [0.5, 3j]], b=[1.0, 2.0]
    ),
    "real and imaginary parts put together": case("def f(X[t]) = real(X) + 1j * imag(X)", lambda X: X, X=COMPLEX),
}


@pytest.mark.parametrize("row", KINDS.values(), ids=KINDS)
def test_kinds(row: Case) -> None:
    row.check()


KEEPING = {
    "arithmetic with literals": "def f(X[i, j]) = 2 * X / 3 + 0.1",
    "coordinates": "def f(X[i, j]) = X * j / |j| + sqrt(|i|)",
    "functions": "def f(X[i, j]) = gelu(X) + silu(X) + exp(X) - softplus(X)",
    "statistics": "def f(X[i, j]) = standardize[j](X) + std[i](X) + norm[j](X)",
    "softmax": "def f(X[i, j]) = softmax[j](X) + log_softmax[i](X)",
    "a contraction": "def f(X[i, j]) -> [i, i'] = X @[j] X[i -> i']",
    "a convolution": "def f(X[i, j]) = sum[k](unroll[j, k = 2](X; padding = 1) * (k + 1))",
    "constants": "def f(X[i, j]) -> [i, j] = X + eye[i, j] + ones[i] - zeros[j]",
    "a mask": "def f(X[i, j]) = softmax[j](where(i >= j, X, -inf))",
}
"""Literals, coordinates and constants take the precision that they meet."""


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("text", KEEPING.values(), ids=KEEPING)
def test_a_result_has_the_precision_of_the_input(text: str, dtype: torch.dtype) -> None:
    X = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)
    function = nl.compile(text)
    found = function(X.to(dtype))
    assert found.dtype is dtype
    rough = 40 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), function.reference(X), rtol=rough, atol=rough)
