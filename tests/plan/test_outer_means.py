"""Means by the softmax of an outer sum are products of matrices, with the values, slopes and promises of a softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.log_products.outer_mean import outer_mean
from namedlayers.emit.log_products.traced_outer_mean import outer_mean as compiled_outer_mean
from tests.helpers import check_calls

R = np.random.default_rng(4)
K, V, W = R.normal(size=(9, 8)), R.normal(size=(9, 8)), R.normal(size=(70, 9))
"""More weights than are held anyway."""


def _mean(logits: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Over the middle axis of three."""
    top = logits.max(1, keepdims=True)
    powers = np.exp(logits - np.where(np.isfinite(top), top, 0))
    total = powers.sum(1, keepdims=True)
    return (powers / np.where(total == 0, 1, total) * values).sum(1)


OUTER = W[:, :, None] + K
MASK = R.random((70, 9)) < 0.7
MASK[3] = False
FORMULAS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "softmax": (
        "def f(K[s, f], V[s, f]; w[t, s]) -> [t, f] = softmax[s](K + w) @[s] V",
        {"K": K, "V": V, "w": W}, _mean(OUTER, V),
    ),
    "quotient": (
        "def f(K[s, f], V[s, f]; w[t, s]) -> [f, t] = sum[s](exp(w + K) * V) / sum[s](exp(w + K))",
        {"K": K, "V": V, "w": W}, _mean(OUTER, V).T,
    ),
    "quotient with a gate and a divisor": (
        "def f(K[s, f], V[s, f], g[t], u[f]; w[t, s]) -> [f, t] = g * (exp(w + K) @[s] V) / (u * sum[s](exp(w + K)))",
        {"K": K, "V": V, "w": W, "g": W[:, 0], "u": 2 + K[0] ** 2}, (W[:, :1] * _mean(OUTER, V) / (2 + K[0] ** 2)).T,
    ),
    "quotient with more factors": (
        "def f(K[s, f], V[s, f], u[s]; w[t, s]) -> [t, f] = sum[s](exp(w + K) * V * u) * (1 / sum[s](exp(w + K)))",
        {"K": K, "V": V, "w": W, "u": K[:, 0]}, _mean(OUTER, V * K[:, :1]),
    ),
    "scaled, and a term that drops out": (
        "def f(K[s, f], V[s, f], c[t]; w[t, s]) -> [t, f] = softmax[s]((K - c - w) / 2) @[s] V",
        {"K": K, "V": V, "c": W[:, 0], "w": W}, _mean((K - W[:, :, None]) / 2, V),
    ),
    "masked": (
        "def f(K[s, f], V[s, f], m[t, s]; w[t, s]) -> [t, f] = softmax[s](where(m, K + w, -inf)) @[s] V",
        {"K": K, "V": V, "m": MASK, "w": W}, _mean(np.where(MASK[:, :, None], OUTER, -np.inf), V),
    ),
    "three terms": (
        "def f(K[s, f], U[s, g], V[s, f]; w[t, s]) -> [t, f, g] = softmax[s](K + w + U) @[s] V",
        {"K": K, "U": K[:, :3], "V": V, "w": W},
        _mean((OUTER[:, :, :, None] + K[:, None, :3]).reshape(70, 9, 24), V.repeat(3, 1)).reshape(70, 8, 3),
    ),
    "batches and heads": (
        "def f(K[b, h, s, f], V[b, s, h, f]; w[h, t, s]) -> [b, t, h, f] = softmax[s](K + w) @[s] V",
        {"K": K.reshape(2, 2, 9, 2)[:, :, :8], "V": V.reshape(2, 9, 2, 2)[:, :8], "w": W[:64, :8].reshape(2, 32, 8)},
        None,
    ),
    "values of their own": (
        "def f(K[s, f], V[s, d]; w[t, s]) -> [t, f, d] = softmax[s](K + w) @[s] V",
        {"K": K, "V": V[:, :3], "w": W}, None,
    ),
    "values along places": (
        "def f(K[s, f], V[t, s]; w[t, s]) -> [t, f] = softmax[s](K + w) @[s] V",
        {"K": K, "V": W[::-1].copy(), "w": W}, _mean(OUTER, W[::-1][:, :, None]),
    ),
    "two summed axes": (
        "def f(K[s, r, f], V[r, s, f]; w[t, s, r]) -> [t, f] = sum[s, r](softmax[s, r](K + w) * V)",
        {"K": K.reshape(3, 3, 8), "V": V.reshape(3, 3, 8), "w": W.reshape(70, 3, 3)},
        _mean(OUTER, V.reshape(3, 3, 8).swapaxes(0, 1).reshape(9, 8)),
    ),
    "a product afterwards": (
        "def f(K[s, f], V[s, f]; w[t, s], U[f, o]) -> [t, o] = sum[s, f](softmax[s](K + w) * V * U)",
        {"K": K, "V": V, "w": W, "U": K[:8, :3]}, _mean(OUTER, V) @ K[:8, :3],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    check_calls("outer_mean", *FORMULAS[name])


NOT = {
    "scores of all axes": "def f(K[s, h], V[s, h], Q[t, s, h]) -> [t, h] = softmax[s](K + Q) @[s] V",
    "one side": "def f(K[s], V[s, h], w[t]) -> [t, h] = softmax[s](K + w) @[s] V",
    "weights that are needed": ("def f(K[s, h], V[s, h], w[t, s]):\n    a = softmax[s](K + w)\n    return a @[s] V, a"),
    "a quotient by more than the powers": (
        "def f(K[s, h], V[s, h], w[t, s]) -> [t, h] = sum[s](exp(K + w) * V) / (sum[s](exp(K + w)) + 1)"
    ),
    "a quotient of other powers": (
        "def f(K[s, h], V[s, h], w[t, s]) -> [t, h] = w @[s] V * sum[s](exp(K + w) * V) / sum[s](exp(K - w))"
    ),
    "a quotient by a sum over other axes": (
        "def f(K[s, h], V[s, h], w[t, s]) -> [t, h] = V[s = 0] * sum[s](exp(K + w) * V) / sum[s, h](exp(K + w))"
    ),
    "values along both sides": "def f(K[s, h], V[t, s, h], w[t, s]) -> [t, h] = softmax[s](K + w) @[s] V",
    "a condition along both sides": (
        "def f(K[s, h], V[s, h], w[t, s], U[t, h]) -> [t, h] = softmax[s](where(U > 0, K + w, -inf)) @[s] V"
    ),
}


@pytest.mark.parametrize("name", NOT)
def test_what_is_none(name: str) -> None:
    assert "outer_mean" not in nl.compile(NOT[name]).code


def test_attention_with_a_bias_is_attention() -> None:
    text = "def f(Q[t, e], K[s, e], V[s, d], B[t, s]) -> [t, d] = softmax[s](Q @[e] K + B) @[s] V"
    assert "scaled_dot_product_attention" in nl.compile(text).code or "attend" in nl.compile(text).code


@pytest.mark.parametrize("spread", [1.0, 30.0, 300.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_too_small_for_a_product(spread: float, dtype: torch.dtype) -> None:
    """Some rows, or all, have weights whose product underflows; some are nothing at all."""
    torch.manual_seed(0)
    given = [spread * torch.randn(90, 13), spread * torch.randn(13, 7), torch.randn(13, 7)]
    given = [x.to(dtype).requires_grad_() for x in given]
    with torch.no_grad():
        given[0][5] = -torch.inf
        given[0][6, 1:] = -torch.inf
    slope = torch.randn(90, 7, dtype=dtype)
    found = outer_mean(*given)
    wide = [x.detach().double().requires_grad_() for x in given]
    weights = torch.ops.aten._safe_softmax.default(wide[0].unsqueeze(-1) + wide[1], 1)
    expected = (weights * wide[2]).sum(1)
    close = {"rtol": 3e-2, "atol": 3e-2} if dtype is torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(found.double(), expected, **close)
    slopes = torch.autograd.grad(found, given, slope)
    for one, other in zip(slopes, torch.autograd.grad(expected, wide, slope.double()), strict=True):
        torch.testing.assert_close(one.double(), other, **close)
    torch.testing.assert_close(outer_mean(*[x.detach() for x in given]).double(), expected, **close)


def test_second_slopes_and_transforms() -> None:
    torch.manual_seed(1)
    given = [
        x.double().requires_grad_() for x in (torch.randn(2, 40, 12), torch.randn(1, 12, 12), torch.randn(2, 12, 12))
    ]
    assert torch.autograd.gradcheck(outer_mean, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(outer_mean, given, fast_mode=True)
    a, b, values = (x.detach() for x in given)
    each = torch.func.vmap(outer_mean, (0, None, 0))(a, b[0], values)
    torch.testing.assert_close(each, outer_mean(a, b, values))


def test_nothing_to_sum() -> None:
    assert outer_mean(torch.ones(3, 0), torch.ones(0, 2), torch.ones(0, 2)).equal(torch.zeros(3, 2))
    assert outer_mean(torch.ones(0, 3), torch.ones(3, 2), torch.ones(3, 2)).shape == (0, 2)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_compiled_it_is_the_same(spread: float, backend: str) -> None:
    """Of several batches, one of which the values lack, and with logits of -inf."""
    a, b = spread * torch.randn(2, 9, 40), spread * torch.randn(2, 40, 12)
    b[0, :, 3] = -torch.inf
    given = [one.double().requires_grad_() for one in (a, b, torch.randn(1, 40, 12))]
    torch._dynamo.reset()
    wanted = compiled_outer_mean(*given)
    found = torch.compile(compiled_outer_mean, backend=backend, fullgraph=True)(*given)
    torch.testing.assert_close(found, wanted)
    slope = torch.randn_like(wanted)
    for one, other in zip(
        torch.autograd.grad(found, given, slope), torch.autograd.grad(wanted, given, slope), strict=True
    ):
        torch.testing.assert_close(one, other)
