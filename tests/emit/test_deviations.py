"""Variances and deviations by blocks: values, slopes, equal values, and where torch's are called."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl
from namedlayers.emit.kernels import deviations

SIZES = {"rows": ((64, 50), (1,)), "columns": ((64, 50), (0,)), "planes": ((4, 8, 12, 10), (2, 3)),
         "channels": ((4, 8, 12, 10), (0, 2, 3)), "everything": ((50, 60), (0, 1)),
         "few": ((3, 4), (1,)), "single values": ((3000, 1), (1,)),
         "none": ((0, 4), (1,)), "nothing to see": ((4, 0), (1,)), "blocks": ((300, 1000), (1,))}  # fmt: skip


@pytest.mark.parametrize("name", ["var", "std"])
@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize(("shape", "dims"), SIZES.values(), ids=SIZES)
def test_values_and_slopes(name: str, correction: int, shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = getattr(deviations, name)(x, dims, correction=correction)
    expected = getattr(torch, name)(x, dims, correction=correction)
    slope = torch.randn_like(expected)
    got, want = (torch.autograd.grad(one, x, slope)[0] for one in (found, expected))
    torch.testing.assert_close((found, got), (expected, want), equal_nan=True)
    torch.testing.assert_close(getattr(deviations, name)(x.detach(), dims, correction), found.detach(), equal_nan=True)


@pytest.mark.parametrize("name", ["var", "std"])
def test_derivatives_of_derivatives(name: str) -> None:
    x = torch.randn(60, 40, dtype=torch.float64, requires_grad=True)
    function = getattr(deviations, name)
    (slope,) = torch.autograd.grad(function(x, 1).sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad(getattr(torch, name)(x, 1, correction=0).sum(), x, create_graph=True)
    got, want = (torch.autograd.grad((one**2).sum(), x)[0] for one in (slope, expected))
    torch.testing.assert_close(got, want)


def test_several_slopes_at_once() -> None:
    x = torch.randn(60, 40, requires_grad=True)
    slopes = torch.randn(3, 60)
    found = torch.autograd.grad(deviations.std(x, 1), x, slopes, is_grads_batched=True)[0]
    expected = torch.autograd.grad(torch.std(x, 1, correction=0), x, slopes, is_grads_batched=True)[0]
    torch.testing.assert_close(found, expected)


def test_equal_values_have_no_deviation_and_no_slope() -> None:
    """0.1 less the mean of many of it, as it is rounded, is not 0."""
    x = torch.full((4, 1000), 0.1, requires_grad=True)
    found = deviations.std(x, 1)
    assert found.tolist() == [0.0] * 4
    assert not torch.autograd.grad(found.sum(), x)[0].any()


def test_values_far_from_zero_keep_their_digits() -> None:
    x = torch.randn(8, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 1e4
    torch.testing.assert_close(
        deviations.var(x.float(), 1).double(), x.float().double().var(1, correction=0), rtol=1e-5, atol=0
    )


def test_what_is_transformed_or_coarse_is_torchs() -> None:
    x = torch.randn(5, 50, 60)
    torch.testing.assert_close(torch.func.vmap(lambda x: deviations.var(x, 1))(x), torch.var(x, 2, correction=0))
    assert deviations.std(x.bfloat16(), 1).dtype is torch.bfloat16


def test_a_formula_has_them() -> None:
    function = nl.compile("def f(X[n, d]) -> [n] = sum[d]((X - mean[d](X)) ^ 2) / (|d| - 1)")
    x = torch.randn(64, 100)
    torch.testing.assert_close(function(x).double(), function.reference(x), atol=1e-5, rtol=1e-5)
    assert "var(X, 1, correction=1)" in function.code


def test_squares_that_are_there_are_summed() -> None:
    function = nl.compile("""
        def f(X[n, d]) -> [n, d]:
            S = (X - mean[d](X)) ^ 2
            return S / (sum[d](S) / (|d| - 1) + 1)
    """)
    x = torch.randn(64, 100)
    torch.testing.assert_close(function(x).double(), function.reference(x), atol=1e-5, rtol=1e-5)
    assert "var(" not in function.code
    assert "needed elsewhere" in function.specialize(x).explain()
