"""The Triton kernels of the log product, run in Python; `test_triton_kernels` runs this file in such a process."""

from __future__ import annotations

import pytest
import torch

from namedlayers.emit.log_products.log_product import log_product
from namedlayers.emit.log_products.triton_log_product import SHORT, interpreted, product, slopes
from tests.emit.log_products import agree, expected, factors, slopes_agree

LONG = SHORT + 3
SHAPES = [(1, 1, 1), (2, 1, 17, 40, 33), (66, 7, 5), (2, 3, LONG, 18)]

# In Python, kernels take their time: not every precision with every kind of factor and every spread.
CASES = [
    (torch.float32, (False, False), 1.0),
    (torch.float32, (False, False), 300.0),
    (torch.float32, (True, False), 300.0),
    (torch.float64, (False, True), 3000.0),
]


def test_kernels_are_interpreted() -> None:
    assert interpreted()


@pytest.mark.parametrize(
    ("shape", "case"),
    [(shape, CASES[(k + more) % len(CASES)]) for k, shape in enumerate(SHAPES) for more in (0, 2)],
    ids=str,
)
def test_products_and_slopes(shape: tuple[int, ...], case: tuple[torch.dtype, tuple[bool, bool], float]) -> None:
    dtype, linear, scale = case
    a, b = factors(shape, dtype, scale, *linear)
    slope = torch.randn(*a.shape[:-1], b.shape[-1], generator=torch.Generator().manual_seed(0), dtype=dtype)
    slope.masked_fill_(slope > 1, 0)
    eps = torch.finfo(dtype).eps
    found = product(a, b, *linear)
    # Rounded as the logarithms are that were added.
    agree(found, expected(a, b, slope, *linear)[0], 20 * eps * max(1, scale))
    slopes_agree(slopes(a, b, found, slope, *linear), a, b, slope, linear, 100 * eps * max(1, scale))


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2), (2, 3, 0), (0, 2, 3, 2), (2, 1, 0, 1)], ids=str)
def test_empty_axes(shape: tuple[int, ...]) -> None:
    a, b = factors(shape, torch.float32, 1.0, False)
    slope = torch.ones(*a.shape[:-1], b.shape[-1])
    out, to_a, to_b = expected(a, b, slope, False)
    found = product(a, b, False, False)
    agree(found, out, 1e-6)
    for side, wanted in zip(slopes(a, b, found, slope, False, False), (to_a, to_b), strict=True):
        agree(side, wanted, 1e-6)


@pytest.mark.parametrize(("inner", "scale"), [(6, 300.0), (LONG, 1.0)])
def test_any_strides(inner: int, scale: float) -> None:
    a, b = factors((2, 5, inner, 6), torch.float32, scale, False)
    views = [
        (a.mT.contiguous().mT, b),
        (a, b.mT.contiguous().mT),
        (a.repeat_interleave(2, -1)[..., ::2], b.flip(-1).contiguous().flip(-1)),
        (a[:1].expand(2, 5, inner), b),
        (a.transpose(0, 1).contiguous().transpose(0, 1), b[:1].expand(2, inner, 6)),
    ]
    for x, y in views:
        slope = torch.ones(2, 5, 1).expand(2, 5, 6)
        out, to_x, to_y = expected(x, y, slope, False)
        found = product(x, y, False, False)
        agree(found, out, 3e-6 * scale)
        sides = slopes(x, y, found, slope, False, False)
        agree(sides[0], to_x, 1e-5 * scale)
        agree(sides[1], to_y, 1e-5 * scale)


@pytest.mark.parametrize("inner", [4, LONG])
def test_nothing_infinite_and_undefined(inner: int) -> None:
    a, b = torch.randn(6, inner), torch.randn(inner, 7)
    a[0], a[1, 2], a[2, 1], b[:, 3], b[0, 4] = -torch.inf, torch.inf, torch.nan, -torch.inf, torch.inf
    b[1, 5] = -2000
    found = product(a, b, False, False)
    wanted = torch.logsumexp(a.double().unsqueeze(-1) + b.double().unsqueeze(-3), -2)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5, equal_nan=True)
    # A row of nothing has no slopes, and no other row any of its.
    clean = [0, 3, 4, 5]
    ones = torch.ones(4, 7).masked_fill(found[clean].isinf() & (found[clean] > 0) | found[clean].isnan(), 0)
    to_a, to_b = slopes(a[clean], b.clamp(max=10), product(a[clean], b.clamp(max=10), False, False), ones, False, False)
    assert torch.isfinite(to_a).all() and torch.isfinite(to_b).all() and (to_a[0] == 0).all()


def test_two_factors_of_weights() -> None:
    a, b = factors((5, 40, 6), torch.float32, 1.0, True, True)
    torch.testing.assert_close(product(a, b, True, True), torch.log(a @ b))


@pytest.mark.parametrize("inner", [3, LONG])
def test_a_negative_weight_has_no_logarithm(inner: int) -> None:
    w, x = torch.rand(4, inner), torch.randn(inner, 5)
    w[1, 0], w[2] = -0.5, -1.0
    found = product(w, x, True, False)
    assert found[1:3].isnan().all()
    torch.testing.assert_close(found[[0, 3]], torch.log(w[[0, 3]] @ x.exp()))


def test_weights_of_any_size() -> None:
    w = torch.tensor([[1e-38, 1e-40], [3e38, 1.0], [0.0, 0.0]])
    x = torch.tensor([[0.0], [2.0]])
    found = product(w, x, True, False)
    torch.testing.assert_close(found.double(), expected(w, x, torch.ones(3, 1), True)[0], rtol=1e-6, atol=1e-6)


def test_a_formula_runs_on_them() -> None:
    import namedlayers as nl

    mix = nl.compile("def mix(X[batch, unit]; W[unit, out]) -> [batch, out] = X @[unit] W", semiring="log")
    x, w = torch.randn(5, 4) * 300, torch.rand(4, 3)
    torch.testing.assert_close(mix(x, w), torch.logsumexp(x.unsqueeze(-1) + w.log(), 1))


def test_half_precision() -> None:
    a, b = factors((5, 40, 6), torch.float32, 3.0, False)
    found = log_product(a.bfloat16(), b.bfloat16(), False, False)
    wanted = product(a.bfloat16().float(), b.bfloat16().float(), False, False)
    assert torch.equal(found, wanted.bfloat16())
