"""Sums of rows under a condition are what they are of the rows; what is left out adds nothing, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels.bags import MANY
from namedlayers.emit.kernels.chosen_row_sums import chosen_row_sums
from tests.helpers import check_calls

R = np.random.default_rng(7)
X, Y = R.normal(size=(9, 40)), R.normal(size=(3, 9, 40))
NEAR, EACH = R.integers(0, 9, size=(50, 5)), R.integers(0, 9, size=(3, 50, 5))
SOME = R.random(size=(50, 5)) < 0.5
LENGTHS = R.integers(0, 6, size=50)
HOLES = np.where(np.arange(9)[:, None] == 4, [np.inf, np.nan] * 20, X)
AROUND = NEAR != 4

FORMULAS: dict[str, tuple[str, dict[str, Any]]] = {
    "a padding index": ("def f(X[n, d], I[m, k]) = sum[k](where(I != 4, X[n = I], 0))", {"X": X, "I": NEAR}),
    "lengths": (
        "def f(X[n, d], I[m, k], L[m]) = sum[k](where(index[k] < L, X[n = I], 0))",
        {"X": X, "I": NEAR, "L": LENGTHS},
    ),
    "the other way round": (
        "def f(X[n, d], I[m, k], B[m, k]) -> [d, m] = sum[k](where(B, 0, X[n = I]))",
        {"X": X, "I": NEAR, "B": SOME},
    ),
    "conditions of some axes": (
        "def f(X[n, d], I[m, k], B[k]) -> [m, d] = sum[k](where(B, X[n = I], 0))", {"X": X, "I": NEAR, "B": SOME[0]},
    ),
    "of each that stays": (
        "def f(X[n, d], I[m, k], B[m]) -> [m, d] = sum[k](where(B, X[n = I], 0))",
        {"X": X, "I": NEAR, "B": SOME[:, 0]},
    ),
    "several axes that stay": (
        "def f(X[n, h, d], I[a, b, k], B[a, k]) -> [a, h, b, d] = sum[k](where(B, X[n = I], 0))",
        {"X": X.reshape(9, 4, 10), "I": NEAR.reshape(10, 5, 5), "B": SOME[:10]},
    ),
    "two axes summed": (
        "def f(X[n, d], I[m, k, l], B[m, l]) -> [m, d] = sum[k, l](where(B, X[n = I], 0))",
        {"X": X, "I": NEAR.reshape(25, 2, 5), "B": SOME[:25]},
    ),
    "batches": (
        "def f(X[b, n, d], I[b, m, k], B[m, k]) -> [b, m, d] = sum[k](where(B, X[n = I], 0))",
        {"X": Y, "I": EACH, "B": SOME},
    ),
    "none": ("def f(X[n, d], I[m, k]) = sum[k](where(I < 0, X[n = I], 0))", {"X": X, "I": NEAR}),
    "all": ("def f(X[n, d], I[m, k]) = sum[k](where(I >= 0, X[n = I], 0))", {"X": X, "I": NEAR}),
    "no rows": ("def f(X[n, d], I[m, k]) = sum[k](where(I != 4, X[n = I], 0))", {"X": X, "I": NEAR[:, :0]}),
    "one": ("def f(X[n, d], I[m, k]) = sum[k](where(I != 4, X[n = I], 0))", {"X": X[:, :1], "I": NEAR[:1, :1]}),
    "left out, not finite": ("def f(X[n, d], I[m, k]) = sum[k](where(I != 4, X[n = I], 0))", {"X": HOLES, "I": NEAR}),
    "not finite": ("def f(X[n, d], I[m, k]) = sum[k](where(I != 3, X[n = I], 0))", {"X": HOLES, "I": NEAR}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    check_calls("chosen_row_sums", *FORMULAS[name], None)


def test_weights_that_are_conditions() -> None:
    """A product with 0 and 1 is no choice: what it leaves out is multiplied by 0."""
    text = "def f(X[n, d], I[m, k]) -> [m, d] = sum[k](X[n = I] * (I != 4))"
    check_calls("row_sums", text, {"X": X, "I": NEAR}, (AROUND[..., None] * X[NEAR]).sum(1))
    found = nl.compile(text)(torch.tensor(HOLES), torch.tensor(NEAR))
    assert torch.equal(found.isnan().any(1), torch.tensor((NEAR == 4).any(1)))


def _plain(x: Tensor, index: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen.unsqueeze(-1), x[index], 0).sum(-2)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8], ids=str)
def test_all_slopes_and_other_integers(dtype: torch.dtype) -> None:
    x, index, chosen = torch.tensor(X, requires_grad=True), torch.tensor(NEAR, dtype=dtype), torch.tensor(SOME)
    run: Callable[[Tensor], Tensor] = lambda x: chosen_row_sums(x, index, chosen).sin()  # noqa: E731
    torch.testing.assert_close(run(x), _plain(x, index.long(), chosen).sin())
    assert torch.autograd.gradcheck(run, x, fast_mode=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(run, x, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_many_and_other_precisions(dtype: torch.dtype) -> None:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(700, 64, generator=source).to(dtype).requires_grad_()
    index = torch.randint(700, (MANY // 64 // 5 + 1, 5), generator=source)
    chosen = torch.rand(index.shape, generator=source) < 0.3
    found, expected = chosen_row_sums(x, index, chosen), _plain(x, index, chosen)
    slope = torch.randn(found.shape, generator=source).to(dtype)
    got, want = (torch.autograd.grad(one, x, slope)[0] for one in (found, expected))
    rounding = 1e-5 if dtype is torch.float32 else 0.1
    torch.testing.assert_close((found, got), (expected, want), rtol=rounding, atol=rounding)


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_slopes_that_are_not_finite_stay_where_they_belong(value: float) -> None:
    x, index, chosen = torch.tensor(X, requires_grad=True), torch.tensor(NEAR), torch.tensor(SOME)
    slope = torch.zeros(50, 40, dtype=torch.float64)
    slope[7] = value
    (got,) = torch.autograd.grad(chosen_row_sums(x, index, chosen), x, slope)
    (want,) = torch.autograd.grad(_plain(x, index, chosen), x, slope)
    torch.testing.assert_close(got, want, equal_nan=True)


@pytest.mark.parametrize("wrong", [-1, 9, 2**62])
def test_what_is_no_row_is_refused_though_it_is_left_out(wrong: int) -> None:
    index, chosen = torch.tensor(NEAR), torch.tensor(SOME)
    index[3, 2], chosen[3, 2] = wrong, False
    with pytest.raises((IndexError, RuntimeError), match="out of (range|bounds)"):
        chosen_row_sums(torch.tensor(X), index, chosen)


def test_traced_and_lifted() -> None:
    index, chosen = torch.tensor(NEAR), torch.tensor(SOME)
    run: Callable[[Tensor], Tensor] = lambda x: chosen_row_sums(x, index, chosen)  # noqa: E731
    x = torch.tensor(X, requires_grad=True)
    several = torch.stack([x, 2 * x]).detach()
    wanted = torch.stack([_plain(one, index, chosen) for one in several])
    torch.testing.assert_close(torch.func.vmap(run)(several), wanted)
    torch.testing.assert_close(torch.func.jvp(run, (x.detach(),), (x.detach(),))[1], wanted[0])
    torch._dynamo.reset()
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), wanted[0])
    torch.testing.assert_close(
        torch.autograd.grad(compiled(x).sum(), x), torch.autograd.grad(_plain(x, index, chosen).sum(), x)
    )
