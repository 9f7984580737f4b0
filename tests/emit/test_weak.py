"""What is made of counts, indices and conditions has no precision of its own, whatever these were made of."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl

BALANCE = """
def balance(X[n, d]; G[e, d]) -> []:
    g = softmax[e](G @[d] X)
    return |e| * sum[e](mean[n](one_hot[e](argmax[e](g))) * mean[n](g))
"""
FORMULAS = {
    "a condition": "def f(X[n]) -> [n] = (X > 0) * 0.5",
    "a share": "def f(X[n]) -> [n] = mean[m](X > X[n -> m])",
    "a share beside it": "def f(X[n]) -> [n] = mean[m](X > X[n -> m]) * X",
    "a share in a product": "def f(X[n]) -> [] = mean[m](X > X[n -> m]) @[n] X",
    "a share along a weight": "def f(X[n]) -> [n] = standardize[n](X) * mean[m](X > X[n -> m])",
    "a coordinate": "def f(X[n]) -> [] = argmax[n](X) / 3",
    "ranks": "def f(X[n]) -> [] = X @[n] exp(-argsort[n](X))",
    "counts": (
        "def f(X[n]) -> [k]:\n    |k| = 4\n    M = int(3 * X) == k\n    return sum[n](M * X) / maximum(sum[n](M), 1)"
    ),
    "joined": "def f(X[n]) -> [n] = concat[n](X, argsort[n](X) / 2)",
    "in a loop": "def f(X[n]) -> [n]:\n    scan n with h = 0:\n        h = tanh(h * (X > 0) / 2 + X)\n    return h",
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", FORMULAS)
def test_it_takes_the_precision_that_it_meets(name: str, dtype: torch.dtype) -> None:
    function = nl.compile(FORMULAS[name])
    assert isinstance(function, nl.Function)
    x = torch.rand(6, generator=torch.Generator().manual_seed(3)).to(dtype).requires_grad_()
    found = function(x)
    assert found.dtype == dtype
    rough = {torch.bfloat16: 2e-2, torch.float16: 4e-3}.get(dtype, 1e-5)
    torch.testing.assert_close(found.detach().double(), function.reference(x.detach()), rtol=rough, atol=rough)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_balance_of_experts(dtype: torch.dtype) -> None:
    """Shares of a maximum, by the mean of what it was taken of."""
    function = nl.compile(BALANCE)
    assert isinstance(function, nl.Function)
    x, g = torch.randn(20, 3).to(dtype), torch.randn(4, 3).to(dtype).requires_grad_()
    found = function(x, g)
    (slope,) = torch.autograd.grad(found, g)
    assert found.dtype == slope.dtype == dtype
    torch.testing.assert_close(found.detach().double(), function.reference(x, g.detach()), rtol=3e-2, atol=3e-2)


def test_precisions_that_are_asked_for_stay() -> None:
    """A weight in float32 next to data in half precision is promoted as torch does it."""
    function = nl.compile("def f(X[n], w[n]) -> [n] = (X > 0) * w")
    assert function(torch.ones(3).half(), torch.ones(3)).dtype == torch.float32
