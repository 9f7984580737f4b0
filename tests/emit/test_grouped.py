"""Rows, each times a matrix that is read by number: as if it were read, in the time of a product."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

import namedlayers as nl
from namedlayers.emit.kernels import grouped
from namedlayers.emit.kernels.grouped import filled_grouped_product, grouped_product
from tests.helpers import check_calls

R = np.random.default_rng(0)
X, W = R.normal(size=(40, 96)), R.normal(size=(5, 96, 120))
E, K = R.integers(0, 5, 40), R.integers(0, 5, (40, 2))
READ = np.einsum("td,tdo->to", X, W[E])

FORMULAS: dict[str, tuple[str, dict[str, np.ndarray], np.ndarray | None]] = {
    "one matrix each": ("def f(X[t, d], W[x, d, o], I[t]) -> [t, o] = X @[d] W[x = I]", {"X": X, "W": W, "I": E}, READ),
    "the other way round": (
        "def f(W[x, o, d], I[t]; X[t, d]) -> [o, t] = sum[d](W[x = I] * X)",
        {"W": W.transpose(0, 2, 1), "I": E, "X": X}, READ.T,
    ),
    "numbers along the last axis": (
        "def f(X[t, d], W[d, o, x], I[t]) -> [t, o] = X @[d] W[x = I]",
        {"X": X, "W": W.transpose(1, 2, 0), "I": E}, READ,
    ),
    "several matrices each, weighed": (
        "def f(X[t, d], W[x, d, o], K[t, k], p[t, k]) -> [t, o] = sum[k](p * (X @[d] W[x = K]))",
        {"X": X, "W": W, "K": K, "p": R.normal(size=(40, 2))}, None,
    ),
    "axes of several": (
        "def f(X[a, t, c, d], W[x, c, d, o, p], I[t]) -> [o, t, a, p] = X @[c, d] W[x = I]",
        {"X": R.normal(size=(2, 40, 8, 12)), "W": W.reshape(5, 8, 12, 10, 12), "I": E}, None,
    ),
    "numbers of rows and of what rows lack": (
        "def f(X[t, d], W[x, d, o], J[s, t]) -> [s, t, o] = X @[d] W[x = J]",
        {"X": X[:9], "W": W, "J": R.integers(0, 5, (7, 9))}, None,
    ),
    "experts of two layers": (
        "def f(X[t, d], W[x, d, h], b[x, h], V[x, h, d], I[t]) -> [t, d] = "
        "relu(X @[d] W[x = I] + b[x = I]) @[h] V[x = I]",
        {"X": X, "W": W, "b": R.normal(size=(5, 120)), "V": R.normal(size=(5, 120, 96)), "I": E}, None,
    ),
    "by one-hot vectors": (
        "def f(X[t, d], W[x, d, o], I[t]) -> [t, o] = X @[d] (one_hot[x](I) @[x] W)", {"X": X, "W": W, "I": E}, READ,
    ),
    "by one-hot vectors, of which some are nothing": (
        "def f(X[t, d], W[x, d, o], b[x, o], I[t]) -> [t, o] = X @[d] (one_hot[x](I) @[x] W) + one_hot[x](I) @[x] b",
        {"X": X, "W": W, "b": W[:, 0], "I": np.where(E == 2, -1, np.where(E == 4, 7, E))}, None,
    ),
    "of no matrices": (
        "def f(X[t, d], W[x, d, o], I[t]) -> [t, o] = X @[d] (one_hot[x](I) @[x] W)",
        {"X": X, "W": W[:0], "I": E}, np.zeros((40, 120)),
    ),
    "few": ("def f(X[t, d], W[x, d, o], I[t]) -> [t, o] = X @[d] W[x = I]", {"X": X[:3], "W": W, "I": E[:3]}, READ[:3]),
    "no rows": (
        "def f(X[t, d], W[x, d, o], I[t]) -> [t, o] = X @[d] W[x = I]", {"X": X[:0], "W": W, "I": E[:0]}, READ[:0],
    ),
    "nothing to sum": (
        "def f(X[t, d], W[x, d, o], I[t]) -> [t, o] = X @[d] W[x = I]",
        {"X": X[:, :0], "W": W[:, :0], "I": E}, np.zeros((40, 120)),
    ),
}  # fmt: skip

APART = {
    "a vector each": "X @[d] V[x = I]",
    "rows that all matrices multiply": "Y @[d] W[x = I]",
    "axes that rows, numbers and matrices share": "sum[d](X * U[x = I])",
}
"""What is read as it is written, or otherwise made."""


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    check_calls("grouped_product", *FORMULAS[name])


@pytest.mark.parametrize("name", APART)
def test_what_is_none(name: str) -> None:
    text = f"def f(X[t, d], Y[s, d], W[x, d, o], V[x, d], U[x, d, t, o], I[t]) = {APART[name]}"
    assert "grouped_product" not in nl.compile(text).code


def _given(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    rows, matrices = (torch.tensor(one, dtype=dtype, requires_grad=True) for one in (X, W))
    return rows, matrices, torch.tensor(E)


def _read(rows: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    return torch.einsum("td,tdo->to", rows, matrices[index.long()])


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few they are."""
    monkeypatch.setattr(grouped, "FEW", -(1 << 40))


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8])
def test_slopes_of_slopes(always: None, kind: torch.dtype) -> None:
    rows, matrices, index = (one[..., :3].detach() for one in _given())
    rows, matrices, index = rows[:3].requires_grad_(), matrices[:, :3].clone().requires_grad_(), index.to(kind)
    cubes = lambda x, w: grouped_product(x, w, index) ** 3  # noqa: E731
    assert torch.autograd.gradcheck(cubes, (rows, matrices), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(cubes, (rows, matrices), fast_mode=True)


def test_numbers_out_of_range_have_no_slopes(always: None) -> None:
    rows, matrices, index = _given()
    found = filled_grouped_product(rows, matrices, index - 2)
    assert not found[index < 2].any() and found[index >= 2].all()
    slopes = torch.autograd.grad(found.sum(), (rows, matrices))
    assert not slopes[0][index < 2].any() and not slopes[1][3:].any()
    plain = vmap(lambda x: filled_grouped_product(x, matrices, index - 2))(torch.stack([rows, 2 * rows]))
    torch.testing.assert_close(plain, torch.stack([found, 2 * found]))


def test_numbers_that_none_has_get_no_slope(always: None) -> None:
    rows, matrices, index = _given()
    index = torch.where(index == 2, 3, index)
    slope = torch.autograd.grad(grouped_product(rows, matrices, index).sum(), matrices)[0]
    assert not slope[2].any() and slope[3].any()


@pytest.mark.parametrize("wanted", ["rows", "matrices"])
def test_slopes_of_one_side(wanted: str) -> None:
    rows, matrices, index = _given()
    given = rows if wanted == "rows" else matrices
    (matrices if wanted == "rows" else rows).requires_grad_(False)
    slope = torch.randn(40, 120, dtype=torch.float64)
    sides = [torch.autograd.grad(one(rows, matrices, index), given, slope)[0] for one in (grouped_product, _read)]
    torch.testing.assert_close(*sides)


def test_transforms() -> None:
    rows, matrices, index = (one.detach() for one in _given())
    several = torch.stack([rows, 2 * rows])
    sums = lambda x: grouped_product(x, matrices, index).sin().sum()  # noqa: E731
    plain = lambda x: _read(x, matrices, index).sin().sum()  # noqa: E731
    torch.testing.assert_close(vmap(grad(sums))(several), vmap(grad(plain))(several))
    torch.testing.assert_close(jvp(sums, (rows,), (rows,)), jvp(plain, (rows,), (rows,)))


@pytest.mark.parametrize("dynamic", [False, True])
def test_traced(dynamic: bool) -> None:
    function = nl.compile(FORMULAS["one matrix each"][0])
    quick = torch.compile(function, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    rows, matrices, index = _given()
    found, wanted = quick(rows, matrices, index), function(rows, matrices, index)
    torch.testing.assert_close(found, wanted)
    slope = torch.randn_like(wanted)
    torch.testing.assert_close(*(torch.autograd.grad(one, (rows, matrices), slope) for one in (found, wanted)))
    with pytest.raises(IndexError, match="out of range"):
        quick(rows, matrices, index + 1)


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("wrong", [-1, 5])
def test_numbers_out_of_range_are_refused(few: bool, wrong: int) -> None:
    rows, matrices, index = _given()
    index[1] = wrong
    count = 3 if few else 40
    with pytest.raises(IndexError, match="out of range"):
        grouped_product(rows[:count], matrices, index[:count])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.complex64])
def test_precisions(dtype: torch.dtype) -> None:
    rows, matrices, index = _given(dtype)
    found = grouped_product(rows, matrices, index)
    assert found.dtype is dtype
    exact = _read(rows.to(torch.complex128), matrices.to(torch.complex128), index)
    torch.testing.assert_close(found.to(torch.complex128), exact, rtol=2e-2, atol=2e-1)


def test_under_autocast() -> None:
    rows, matrices, index = _given(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = grouped_product(rows, matrices, index)
    assert found.dtype is torch.bfloat16
    slopes = torch.autograd.grad(found.sum(), (rows, matrices))
    exact = torch.autograd.grad(_read(rows, matrices, index).sum(), (rows, matrices))
    for ours, theirs in zip(slopes, exact, strict=True):
        assert ours.dtype is torch.float32
        torch.testing.assert_close(ours, theirs, rtol=5e-2, atol=0.3)


def test_what_is_not_finite_stays_in_its_row() -> None:
    rows, matrices, index = (one.detach() for one in _given())
    rows[3], matrices[4, 0, 0] = torch.nan, torch.inf
    found = grouped_product(rows, matrices, index)
    torch.testing.assert_close(found, _read(rows, matrices, index), equal_nan=True)
    assert found[(index != 4) & (torch.arange(40) != 3)].isfinite().all()


def test_no_matrix_is_copied() -> None:
    rows, matrices, index = (torch.randn(512, 128), torch.randn(4, 128, 128), torch.randint(4, (512,)))
    with torch.profiler.profile(profile_memory=True) as profile:
        grouped_product(rows, matrices, index)
    assert max(event.self_cpu_memory_usage for event in profile.events()) < 512 * 128 * 128
