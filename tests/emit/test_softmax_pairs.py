"""A softmax is made of its logarithm where that is there, and what both promise holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import grad, jvp, vmap

import namedlayers as nl
from tests.helpers import check

R = np.random.default_rng(5)
A, B = R.normal(size=(3, 4, 5)), R.normal(size=(3, 4, 5))
DIVERGENCE = """
def f(A[n, b, c], B[n, b, c]) -> [n, b]:
    p = softmax[c](A)
    q = exp(B - logsumexp[c](B))
    m = log((p + q) / 2)
    return sum[c](p * (log_softmax[c](A) - m) + q * (B - logsumexp[c](B) - m)) / 2
"""

PAIRED: dict[str, tuple[str, dict[str, Any]]] = {
    "the softmax first": ("def f(A[n, b, c]):\n    p = softmax[c](A)\n    return p, log_softmax[c](A)", {"A": A}),
    "the logarithm first": ("def f(A[n, b, c]):\n    p = log_softmax[b](A)\n    return p, softmax[b](A)", {"A": A}),
    "an entropy": ("def f(A[n, b, c]) -> [n, b] = -sum[c](softmax[c](A) * log_softmax[c](A))", {"A": A}),
    "a divergence": (DIVERGENCE, {"A": A, "B": B}),
    "teacher and student": (
        "def f(A[n, b, c], B[n, b, c]; t = 2.0) -> [n, b] = "
        "sum[c](softmax[c](A / t) * (log_softmax[c](A / t) - log_softmax[c](B / t)))", {"A": A, "B": B},
    ),
}  # fmt: skip
APART = {
    "along other axes": "def f(A[n, b, c]):\n    return softmax[c](A), log_softmax[b](A)",
    "of something else": "def f(A[n, b, c]):\n    return softmax[c](A), log_softmax[c](2 * A)",
    "the softmax alone": "def f(A[n, b, c]) -> [n, b, c] = softmax[c](A)",
}


@pytest.mark.parametrize("name", PAIRED)
def test_pairs(name: str) -> None:
    text, inputs = PAIRED[name]
    function = nl.compile(text)
    given = {key: torch.tensor(value) for key, value in inputs.items()}
    wanted = function.reference(**given)
    function(**given)
    assert "powers(" in function.code and "softmax(" in function.code
    results = wanted if isinstance(wanted, tuple) else (wanted,)
    check(text, inputs, tuple(one.numpy() for one in results) if len(results) > 1 else results[0].numpy())


@pytest.mark.parametrize("name", APART)
def test_no_pairs(name: str) -> None:
    function = nl.compile(APART[name])
    function(torch.tensor(A))
    assert "powers(" not in function.code


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [3, 3000])
def test_digits_and_rows_of_infinities(dtype: torch.dtype, rows: int) -> None:
    function = nl.compile(PAIRED["the softmax first"][0])
    x = (4 * torch.randn(rows, 2, 5, dtype=torch.float64)).to(dtype)
    x[1, 1], x[2, 0, 3] = -math.inf, -math.inf
    x.requires_grad_()
    found, _ = function(x)
    wanted = torch.softmax(x.double(), -1)
    wanted = torch.where(wanted.isnan(), 0, wanted)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), wanted, rtol=64 * eps if eps < 1e-5 else 2 * eps, atol=eps / 8)
    (slope,) = torch.autograd.grad((found * torch.randn_like(found)).sum(), x)
    assert torch.isfinite(slope).all() and not slope[1, 1].any()


def test_what_is_transformed_or_traced() -> None:
    function = nl.compile(PAIRED["an entropy"][0])
    x = torch.tensor(A)
    wanted = -(torch.softmax(x, -1) * torch.log_softmax(x, -1)).sum(-1)
    torch.testing.assert_close(vmap(function)(x.unsqueeze(1)).squeeze(1), wanted)
    y = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(-(torch.softmax(y, -1) * torch.log_softmax(y, -1)).sum(), y)
    torch.testing.assert_close(grad(lambda x: function(x).sum())(x), slope)
    torch.testing.assert_close(jvp(lambda x: function(x).sum(), (x,), (x,))[1], (slope * x).sum())
    assert torch.autograd.gradcheck(function, (y,)) and torch.autograd.gradgradcheck(function, (y,))
    torch.testing.assert_close(torch.compile(function, fullgraph=True, backend="aot_eager")(x), wanted)
