"""Log products in loops that run in place: one factor is prepared once, and nothing is lost by that."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.log_products.log_product import log_product
from namedlayers.emit.log_products.still_factors import still_factor, times
from tests.emit import log_products
from tests.emit.harness import agree, compiled, run
from tests.emit.test_scan_gradients import both, leaves, zero

SIDES = {"right": True, "left": False}
SHAPES = ((3, 5, 4), (1, 64, 64), (2, 3, 6, 5), (1, 1, 1))
INF = math.inf


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16))
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("linear", (False, True))
@pytest.mark.parametrize("scale", (1.0, 30.0, 300.0))
@pytest.mark.parametrize("shape", SHAPES)
def test_times(shape: tuple[int, ...], scale: float, linear: bool, side: str, dtype: torch.dtype) -> None:
    """Again and again, into the same memory, it is the product."""
    right = SIDES[side]
    a, b = log_products.factors(shape, dtype, scale, linear and not right, linear and right)
    moving, still = (a, b) if right else (b, a)
    held = still_factor(still, linear, right)
    out = None
    for shift in (0.0, -3.0, 1000.0):
        x = moving + shift
        wanted = log_product(x, still, False, linear) if right else log_product(still, x, linear, False)
        made = times(x, held, out=out)
        assert out is None or made is out
        out = made
        digits = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1e-2}[dtype]
        torch.testing.assert_close(out, wanted, rtol=digits, atol=digits)


@pytest.mark.parametrize("factor", ([[0.0, -1.0], [2.0, 3.0]], [[0.0, -INF], [2.0, 3.0]], [[200.0, 0.0], [0.0, 300.0]]))
@pytest.mark.parametrize("row", ([-INF, -INF], [INF, 0.0], [math.nan, 0.0], [INF, -INF], [-1e30, 1e30], [-INF, 5.0]))
def test_rows_of_what_is_not_finite(row: list[float], factor: list[list[float]]) -> None:
    b = torch.tensor(factor)
    x = torch.tensor([row, [1.0, 2.0]])
    held = still_factor(b, False, True)
    for _ in range(2):
        torch.testing.assert_close(times(x, held), torch.logsumexp(x[:, :, None] + b, 1), equal_nan=True)


def test_what_is_looked_at() -> None:
    """Nothing, where the least share is large enough."""
    for factor in (torch.randn(5, 4), torch.randn(5, 4) + 500):
        held = still_factor(factor, False, True).held
        assert held is not None and held.sure
    held = still_factor(torch.tensor([[0.0], [-INF]]), False, True).held
    assert held is not None and not held.sure
    assert still_factor(torch.tensor([[1.0], [-1.0]]), True, True).held is None
    assert still_factor(torch.tensor([[1.0], [math.nan]]), False, True).held is None
    assert still_factor(torch.zeros(0, 4), False, True).held is None


def test_what_is_too_small_is_made_in_double_precision_from_then_on() -> None:
    still = still_factor(torch.tensor([[0.0, -INF], [-INF, 0.0]]), False, True)
    x = torch.tensor([[0.0, -300.0]])
    for _ in range(2):
        torch.testing.assert_close(times(x, still), x)
        assert still.held is not None and still.held.shares.dtype is torch.float64
    torch.testing.assert_close(times(x * 10, still), x * 10)


FILTERS = {
    "of a batch": ("p[b, h]", "A[h, h']", "logsumexp[h](p + A)[h' -> h] + X"),
    "of one": ("p[h]", "A[h, h']", "logsumexp[h](p + A)[h' -> h] + Y"),
    "of one, backwards": ("p[h]", "A[h', h]", "logsumexp[h](p + A)[h' -> h] + Y"),
    "a matrix each, backwards": ("p[b, h]", "A[b, h', h]", "logsumexp[h](p + A)[h' -> h] + X"),
    "a matrix each": ("p[b, h]", "A[b, h, h']", "logsumexp[h](p + A)[h' -> h] + X"),
    "weights": ("p[b, h]", "A[h, h']", "log(sum[h](abs(A) * exp(p)))[h' -> h] + X"),
    "backwards": ("p[b, h]", "A[h', h]", "logsumexp[h](A + p)[h' -> h] + X"),
    "twice": ("p[b, h]", "A[h, h']", "logsumexp[h](logsumexp[h](p + A)[h' -> h] + A)[h' -> h] + X"),
    "of matrices": ("p[b, k, h]", "A[h, h']", "logsumexp[h](p + A)[h' -> h] + X"),
    "with what moves": ("p[b, h]", "A[h, h']", "logsumexp[h](p + A + X)[h' -> h]"),
}  # fmt: skip
SIZES = {"b": 3, "k": 2, "h": 5, "h'": 5, "t": 4}


@pytest.mark.parametrize("odd", (False, True))
@pytest.mark.parametrize("scale", (1.0, 400.0))
@pytest.mark.parametrize("name", FILTERS)
def test_filters(name: str, scale: float, odd: bool) -> None:
    text, arrays = filtered(name, scale, odd)
    made = compiled(text, arrays)
    assert ("times(" in nl.compile(text).code) == (name != "weights")
    agree(made, arrays, tolerance=1e-9)


@pytest.mark.parametrize("odd", (False, True))
@pytest.mark.parametrize("scale", (1.0, 20.0, 400.0))
@pytest.mark.parametrize("name", [name for name in FILTERS if name != "weights"])
def test_gradients(name: str, scale: float, odd: bool) -> None:
    """By products where shares are large enough; what is -inf, and what is made of nothing else, gets nothing."""
    text, arrays = filtered(name, scale, odd)
    made, plain = both(text, arrays)
    results = []
    for one in (made, plain):
        args = leaves(one, arrays)
        (found,) = run(one, args)
        weights = torch.linspace(-1, 2, found.numel()).view(found.shape)
        total = torch.where(found > -INF, found, 0).mul(weights).sum()
        results.append(torch.autograd.grad(total, args, allow_unused=True))
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(zero(got), zero(want), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("least", (-5.0, -60.0, -500.0))
def test_shares_that_are_too_small(least: float) -> None:
    """Where products would lose what there is, torch differentiates the steps."""
    text, arrays = filtered("of a batch", 1.0, False)
    arrays["A"][:, 0], arrays["A"][0, 0] = least, 0.0
    arrays["p0"][:, 0] = least
    made, plain = both(text, arrays)
    for dtype, digits in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        results = []
        for one in (made, plain):
            args = [arg.detach().to(dtype).requires_grad_() for arg in leaves(one, arrays)]
            (found,) = run(one, args)
            weights = torch.linspace(-1, 2, found.numel(), dtype=dtype).view(found.shape)
            results.append(torch.autograd.grad((found * weights).sum(), args, allow_unused=True))
        for got, want in zip(*results, strict=True):
            torch.testing.assert_close(zero(got), zero(want), rtol=digits, atol=digits * 1e-3)


def filtered(name: str, scale: float, odd: bool) -> tuple[str, dict[str, np.ndarray]]:
    start, chances, step = FILTERS[name]
    axes = {
        text[0]: [axis.strip() for axis in text[2:-1].split(",")] for text in (start, chances, "X[t, b, h]", "Y[t, h]")
    }
    given = [axes[key] for key in "pA"]
    text = (
        f"def f(X[t, b, h], Y[t, h], p0[{', '.join(given[0])}]; {chances}) -> [t, {', '.join(given[0])}]:\n"
        f"    scan t with p = p0:\n        p = {step}\n    return p"
    )
    rng = np.random.default_rng(len(name))
    arrays = {
        name: rng.standard_normal([SIZES[axis] for axis in axes[key]]) * (1.0 if key in "XY" else scale)
        for name, key in (("X", "X"), ("Y", "Y"), ("p0", "p"), ("A", "A"))
    }
    if odd:
        for one in arrays.values():
            one.flat[rng.integers(one.size, size=max(1, one.size // 3))] = -INF
    if name == "weights":
        arrays["A"] = np.where(np.isfinite(arrays["A"]), arrays["A"], 0)
    return text, arrays


def test_steps_of_few_chances() -> None:
    """From left to right: most sums are of nothing, and some are of little."""
    text = (
        "def f(X[t, b, h], p0[b, h]; A[h, h']) -> [t, b, h]:\n    scan t with p = p0:\n"
        "        p = logsumexp[h](p + A)[h' -> h] + X\n    return p"
    )
    rng = np.random.default_rng(0)
    size = 12
    band = np.eye(size) + np.eye(size, k=1)
    start = np.full((2, size), -INF)
    start[:, 0] = 0
    with np.errstate(divide="ignore"):
        chances = np.log(band * rng.random((size, size)))
    arrays = {"X": rng.standard_normal((20, 2, size)) * 100, "p0": start, "A": chances}
    agree(compiled(text, arrays), arrays, torch.float32, tolerance=1e-4)
