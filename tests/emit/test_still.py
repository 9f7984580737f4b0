"""Places that are made of sizes alone are made once: what is kept, where, and that values and slopes are the same."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl

LARGER = """
def larger(X[b, i, j]) -> [b, y, x]:
    |y| = 2 * |i|
    |x| = 2 * |j|
    u = clip((index[y] + 0.5) / 2 - 0.5, 0, |i| - 1)
    v = clip((index[x] + 0.5) / 2 - 0.5, 0, |j| - 1)
    return sum[i, j](X * relu(1 - abs(u - index[i])) * relu(1 - abs(v - index[j])))
"""
ALONG_ONE = """
def slower(X[b, t]) -> [b, s]:
    |s| = 3 * |t|
    u = clip((index[s] + 0.5) / 3 - 0.5, 0, |t| - 1)
    return sum[t](X * relu(1 - abs(u - index[t])))
"""
AS_DATA = """
def read(X[b, t], u[s]) -> [b, s] = sum[t](X * relu(1 - abs(clip(2 * u + 0.5, 0, |t| - 1) - index[t])))
"""


@pytest.mark.parametrize("text", [LARGER, ALONG_ONE])
@pytest.mark.parametrize("size", [5, 1, 64])
def test_values_and_slopes_are_the_same_at_every_call(text: str, size: int) -> None:
    function = nl.compile(text)
    x = torch.randn(2, *(size,) * (len(function.inputs[0].axes) - 1))
    expected = function.reference(x)
    assert "@kept" in function.code
    with torch.inference_mode():
        torch.testing.assert_close(function(x).double(), expected, rtol=1e-5, atol=1e-5)
    given = x.clone().requires_grad_()
    slopes = []
    for dtype in (torch.float32, torch.float64, torch.float32):
        found = function(given.to(dtype))
        assert found.dtype is dtype
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
        slopes.append(torch.autograd.grad(found.sum(), given)[0])
        found.detach().zero_()  # a result is nobody else's
    torch.testing.assert_close(slopes[0], slopes[2])
    torch.testing.assert_close(slopes[0], slopes[1])
    by_row = torch.func.vmap(function)(x.unsqueeze(1))
    torch.testing.assert_close(by_row.squeeze(1).double(), expected, rtol=1e-5, atol=1e-5)


def test_each_size_has_its_own() -> None:
    function = nl.compile(ALONG_ONE)
    for size in (4, 9, 4, 17, 9):
        x = torch.randn(1, size)
        torch.testing.assert_close(function(x).double(), function.reference(x), rtol=1e-5, atol=1e-5)


def test_what_depends_on_data_is_not_kept() -> None:
    assert "@kept" not in nl.compile(AS_DATA).code


def test_traced() -> None:
    function = nl.compile(LARGER)
    for size in (6, 7):
        x = torch.randn(2, size, size)
        torch.testing.assert_close(torch.compile(function, backend="eager")(x), function(x))
