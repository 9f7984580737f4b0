"""Transforms written as sums of waves: in which spellings they are fast ones, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.plan import explain
from tests.plan.formulas import agree, planned_text

TRANSFORMS = {
    "forward": "sum[t](X * exp(-2j * pi * index[f] * index[t] / |t|))",
    "back": "sum[t](X * exp(2j * pi * index[t] * index[f] / |f|)) / |t|",
    "as a mean": "mean[t](X * exp(2j * pi * (index[t] * index[f] / |t|)))",
    "cosines": "sum[t](X * cos(2 * pi / |t| * index[f] * index[t]))",
    "sines": "sum[t](sin(-2 * pi * index[f] * index[t] / |t|) * X)",
    "Hartley": "sum[t](X * cos(2 * pi * f * index[t] / |t|)) + sum[t](X * sin(2 * pi / |t| * f * index[t]))",
    "second kind": "2 * sum[t](X * cos(pi / |t| * (index[t] + 0.5) * index[f]))",
    "second kind, by whole numbers": "sum[t](X * cos(pi * (2 * index[t] + 1) * index[f] / (2 * |t|)))",
    "third kind": "sum[t](X * cos(pi / |t| * index[t] * (index[f] + 0.5)))",
    "fourth kind": "sum[t](X * cos(pi / |t| * (index[t] + 0.5) * (index[f] + 0.5)))",
    "sines of the second kind": "sum[t](X * sin(pi / |t| * (index[t] + 0.5) * (index[f] + 1)))",
    "of an envelope": "sum[t](X * W * exp(-2j * pi * index[f] * index[t] / |t|))",
}
NOT = {
    "a rate of no turn": "sum[t](X * cos(0.3 * index[f] * index[t]))",
    "a square": "sum[t](X * cos(2 * pi / |t| * index[f] * index[t]^2))",
    "twice the period": "sum[t](X * cos(4 * pi / |t| * index[f] * index[t]))",
    "a decay": "sum[t](X * exp(-2 * pi * index[f] * index[t] / |t|))",
    "the axis that stays": "sum[t](X * cos(2 * pi / |b| * index[f] * index[t]))",
}


def _text(body: str) -> str:
    return f"def f(X[b, t], W[t]) -> [b, f]:\n    |f| = |t|\n    return {body} + 0 * sum[t](W)\n"


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("sizes", [(3, 5), (2, 64), (1, 41), (3, 1), (0, 4), (0, 40), (2, 0)])
def test_values(name: str, sizes: tuple[int, int]) -> None:
    text = _text(TRANSFORMS[name])
    found = planned_text(text)
    assert "harmonics" in found.ops and not {"cos", "sin", "exp"} & set(found.ops), explain(found.plan)
    b, t = sizes
    if min(sizes):
        agree(found, **{symbol: {"b": b, "t": t}[symbol.split("_")[0]] for symbol in found.program.symbols})
    x, w = torch.randn(b, t, dtype=torch.float64), torch.randn(t, dtype=torch.float64)
    both = [nl.compile(text, numerics=one)(x, w) for one in ("default", "strict")]  # type: ignore[arg-type]
    if t:
        torch.testing.assert_close(*both, rtol=1e-10, atol=1e-10)
    assert both[0].shape == both[1].shape and both[0].dtype == both[1].dtype


@pytest.mark.parametrize("name", NOT)
def test_what_is_no_transform(name: str) -> None:
    found = planned_text(_text(NOT[name]))
    assert "harmonics" not in found.ops
    agree(found, b=2, t=5)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("length", [6, 37])
def test_slopes(name: str, length: int) -> None:
    f = nl.compile(_text(TRANSFORMS[name]))
    given = [torch.randn(*shape, dtype=torch.float64).requires_grad_() for shape in ((2, length), (length,))]
    assert torch.autograd.gradcheck(f, given)
    if name in ("forward", "third kind"):
        assert torch.autograd.gradgradcheck(f, given, fast_mode=True)


@pytest.mark.parametrize("name", ["forward", "second kind", "third kind", "fourth kind"])
def test_transformed_and_short_precisions(name: str) -> None:
    f = nl.compile(_text(TRANSFORMS[name]))
    x, w = torch.randn(4, 2, 40), torch.randn(40)
    expected = torch.stack([f(one, w) for one in x])
    torch.testing.assert_close(torch.func.vmap(lambda one: f(one, w))(x), expected, rtol=1e-5, atol=1e-5)
    if name != "forward":
        half = f(x[0].half(), w.half())
        assert half.dtype is torch.float16
        torch.testing.assert_close(half.float(), expected[0], rtol=2e-2, atol=5e-2)


def test_of_several_axes() -> None:
    text = """
def f(X[b, y, x]) -> [b, v, u]:
    |u| = |x|
    |v| = |y|
    rows = sum[x](X * cos(pi / |x| * (index[x] + 0.5) * index[u]))
    return sum[y](rows * cos(pi / |y| * (index[y] + 0.5) * index[v]))
"""
    x = torch.randn(2, 40, 50, dtype=torch.float64)
    f = nl.compile(text)
    found = f(x)
    assert f.code.count("harmonics_(") + f.code.count("harmonics(") == 2
    torch.testing.assert_close(found, nl.compile(text, numerics="strict")(x), rtol=1e-9, atol=1e-9)


def test_more_digits_than_the_sum_has() -> None:
    text = _text(TRANSFORMS["forward"])
    x, w = torch.randn(1, 1024), torch.randn(1024)
    exact = np.fft.fft(x.double().numpy())
    error = [np.abs(nl.compile(text, numerics=one)(x, w).numpy() - exact).max() for one in ("default", "strict")]
    assert error[0] < 1e-4 < 1e-3 < error[1]
