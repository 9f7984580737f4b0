"""What is added up by number is what it is by definition, with all its derivatives; counts are exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from namedlayers.emit.kernels.adding import LONG, added, counted
from tests.helpers import check_calls

R = np.random.default_rng(5)
X, Y = R.normal(size=(20, 3)), R.normal(size=(4, 20, 3))
AT, EACH = R.integers(-1, 6, size=20), R.integers(-1, 6, size=(4, 20))
HOT = "where(index[s] == I, 1, 0)"

FORMULAS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "rows": ("added", "def f(X[n, d], I[n]; z[s]) -> [s, d] = z + one_hot[s](I) @[n] X", {"X": X, "I": AT}),
    "in batches": ("added", "def f(X[b, n, d], I[n, b]; z[s]) -> [d, s, b] = z + one_hot[s](I) @[n] X",
                   {"X": Y, "I": EACH.T}),
    "the same values in each": ("added", "def f(X[n, d], I[b, n]; z[s]) -> [b, s, d] = z + one_hot[s](I) @[n] X",
                                {"X": X, "I": EACH}),
    "over two axes": ("added", "def f(X[b, n, d], I[b, n]; z[s]) -> [s, d] = z + sum[b, n](X * one_hot[s](I))",
                      {"X": Y, "I": EACH}),
    "over an axis of the values too": ("added", "def f(X[n, d], I[n]; z[s]) -> [s] = z + sum[n, d](X * one_hot[s](I))",
                                       {"X": X, "I": AT}),
    "with weights": ("added", "def f(X[n, d], w[n], I[n]; z[s]) -> [s, d] = z + sum[n](w * one_hot[s](I) * X)",
                     {"X": X, "w": X[:, 0], "I": AT}),
    "as a condition": ("added", "def f(X[n, d], I[n]; z[s]) -> [s, d] = z + sum[n](where(I == index[s], X, 0))",
                       {"X": X, "I": AT}),
    "of what has the axis": ("added", "def f(X[n, s], I[n]; z[s]) -> [s] = z + one_hot[s](I) @[n] X",
                             {"X": R.normal(size=(20, 5)), "I": AT}),
    "counts": ("counted", "def f(I[n]; z[s]) -> [s] = z + sum[n](one_hot[s](I))", {"I": AT}),
    "counts in batches": ("counted", f"def f(I[b, n]; z[s]) -> [s, b] = z + sum[n]({HOT})", {"I": EACH}),
    "means": ("counted", "def f(I[n]; z[s]) -> [s] = z + mean[n](one_hot[s](I))", {"I": AT}),
    "nothing": ("added", "def f(X[n, d], I[n]; z[s]) -> [s, d] = z + one_hot[s](I) @[n] X", {"X": X[:0], "I": AT[:0]}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    operation, text, inputs = FORMULAS[name]
    check_calls(operation, text, {**inputs, "z": R.normal(size=5)}, None)


def plain(x: Tensor, index: Tensor, count: int) -> Tensor:
    hot = (index.unsqueeze(-1) == torch.arange(count)).to(x.dtype)
    rest = x.shape[index.dim() :]
    return (hot.mT @ x.reshape(*index.shape, -1)).view(*index.shape[:-1], count, *rest)


def _given(batches: bool, rows: bool) -> tuple[Tensor, Tensor]:
    x, index = (Y, EACH) if batches else (X, AT)
    return torch.tensor(x if rows else x[..., 0].copy(), requires_grad=True), torch.tensor(index)


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("low", [-9, 0])
def test_derivatives_and_transforms(batches: bool, rows: bool, low: int) -> None:
    x, index = _given(batches, rows)
    index = index.clamp(low, 5 if low else 4)
    cubes: Callable[[Tensor], Tensor] = lambda x: added(x, index, 5) ** 3  # noqa: E731
    torch.testing.assert_close(added(x, index, 5), plain(x, index, 5))
    assert torch.autograd.gradcheck(cubes, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(cubes, x, fast_mode=True)
    several = torch.stack([x, 2 * x]).detach()
    lifted = torch.func.vmap(lambda x: added(x, index, 5))(several)
    torch.testing.assert_close(lifted, torch.stack([added(one, index, 5) for one in several]))
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, index: added(x, index, 5), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, index), plain(x, index, 5))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_any_integers(dtype: torch.dtype) -> None:
    x, index = _given(True, True)
    index = index.clamp(0)
    torch.testing.assert_close(added(x, index.to(dtype), 5), plain(x, index, 5))


def test_many_keep_their_digits() -> None:
    x, index = torch.full((5 * LONG + 3,), 0.1), torch.arange(5 * LONG + 3) % 2
    torch.testing.assert_close(added(x, index, 2), plain(x.double(), index, 2).float(), rtol=1e-5, atol=0)
    counts = counted(torch.zeros(2**24 + 5, dtype=torch.int32), 1, torch.float64)
    assert counts.item() == 2**24 + 5


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("batches", [False, True])
def test_counts_are_of_any_kind(dtype: torch.dtype, kind: torch.dtype, batches: bool) -> None:
    index = torch.tensor([[0, 2, 2, 0, 2], [1, 1, 1, 1, 1]] if batches else [0, 2, 2, 0, 2]).to(dtype)
    expected = torch.tensor([[2, 0, 3, 0], [0, 5, 0, 0]] if batches else [2, 0, 3, 0], dtype=kind)
    torch.testing.assert_close(counted(index, 4, kind), expected, rtol=0, atol=0)
    torch.testing.assert_close(counted(index[..., :0], 4, kind), torch.zeros_like(expected))


@pytest.mark.parametrize("wrong", [-1, 4, -(2**50), 2**50])
@pytest.mark.parametrize("batches", [False, True])
def test_numbers_far_out_of_range_count_nowhere(wrong: int, batches: bool) -> None:
    """And take no memory."""
    index = torch.tensor([[0, wrong, 2]] if batches else [0, wrong, 2])
    expected = torch.tensor([1.0, 0.0, 1.0, 0.0])
    torch.testing.assert_close(counted(index, 4, torch.float32), expected.expand(*index.shape[:-1], 4))


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("rows", [False, True])
def test_no_sums_have_slopes(batches: bool, rows: bool) -> None:
    """Where there are none to count in, nothing counts."""
    x, index = _given(batches, rows)
    x = x.detach().requires_grad_()
    found = added(x, index, 0)
    assert found.shape == plain(x, index, 1).narrow(1 if batches else 0, 0, 0).shape
    (slope,) = torch.autograd.grad(found.sum(), x)
    assert not slope.any()
