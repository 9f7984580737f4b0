"""The log semiring's matrix product, against a computation in double precision that holds the outer sum."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from namedlayers.emit.log_product import log_product


def _factors(dtype: torch.dtype, scale: float, linear: bool) -> tuple[Tensor, Tensor]:
    """Logarithms of this spread, with rows, columns and single entries of nothing; or weights, some of them 0."""
    generator = torch.Generator().manual_seed(int(scale) + linear)
    a = torch.randn(2, 5, 7, generator=generator, dtype=dtype) * scale
    b = torch.randn(2, 7, 6, generator=generator, dtype=dtype) * scale
    a[0, 0], a[0, 1, 2], b[1, :, 2] = -torch.inf, -torch.inf, -torch.inf
    return (torch.rand(2, 5, 7, generator=generator, dtype=dtype).floor_divide(0.2) / 5 if linear else a), b


def _expected(a: Tensor, b: Tensor, slope: Tensor, linear: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The product and its derivatives, each term by its share."""
    a, b = (torch.log(a.double()) if linear else a.double()), b.double()
    out = torch.logsumexp(a.unsqueeze(-1) + b.unsqueeze(-3), -2)
    total = torch.where(torch.isfinite(out), out, 0).unsqueeze(-2)
    weigh = torch.where(torch.isfinite(out), slope, 0).unsqueeze(-2)
    shares = torch.exp(a.unsqueeze(-1) + b.unsqueeze(-3) - total) * weigh
    to_a = (torch.exp(b.unsqueeze(-3) - total).expand(shares.shape) * weigh if linear else shares).sum(-1)
    return out, to_a, shares.sum(-3)


@pytest.mark.parametrize("linear", [False, True], ids=["logarithms", "weights"])
@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0, 3000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_exact_also_where_the_shifted_product_underflows(dtype: torch.dtype, scale: float, linear: bool) -> None:
    a, b = _factors(dtype, scale, linear)
    slope = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    out, to_a, to_b = _expected(a, b, slope, linear)
    a.requires_grad_(), b.requires_grad_()
    found = log_product(a, b, linear, False)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), out, rtol=50 * eps, atol=50 * eps)
    found.backward(slope.to(dtype))
    # A share is the exponential of a difference of numbers as large as the scale.
    digits = 100 * eps * max(scale, 1)
    assert a.grad is not None and b.grad is not None
    representable = torch.isfinite(to_a.to(dtype)) if linear else torch.ones_like(to_a, dtype=torch.bool)
    torch.testing.assert_close(a.grad.double()[representable], to_a[representable], rtol=digits, atol=digits)
    torch.testing.assert_close(b.grad.double(), to_b, rtol=digits, atol=digits)


@pytest.mark.parametrize("scale", [1.0, 800.0])
@pytest.mark.parametrize("linear", [False, True], ids=["logarithms", "weights"])
def test_derivatives_of_the_second_order(scale: float, linear: bool) -> None:
    a = torch.rand(2, 3, 4, dtype=torch.float64) if linear else torch.randn(2, 3, 4, dtype=torch.float64) * scale
    b = torch.randn(2, 4, 3, dtype=torch.float64)
    factors = a.requires_grad_(), b.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: log_product(a, b, linear, False), factors)
    assert torch.autograd.gradgradcheck(lambda a, b: log_product(a, b, linear, False), factors)


def test_a_weight_of_zero_has_a_derivative_and_a_negative_one_no_logarithm() -> None:
    w, x = torch.tensor([[0.0, 1.0]], requires_grad=True), torch.tensor([[1.0], [0.0]])
    log_product(w, x, True, False).sum().backward()
    assert w.grad is not None
    torch.testing.assert_close(w.grad, torch.tensor([[torch.e, 1.0]]))
    assert log_product(torch.tensor([[-1.0, 2.0]]), x, True, False).isnan().all()


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2), (2, 3, 0), (1, 1, 1)])
def test_empty_axes(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    found = log_product(torch.zeros(rows, inner), torch.zeros(inner, columns), False, False)
    expected = torch.full((rows, columns), float(inner)).log()
    torch.testing.assert_close(found, expected)


def test_transformations() -> None:
    a, b = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    expected = torch.logsumexp(a.unsqueeze(-1) + b, -2)
    each = torch.vmap(lambda one: log_product(one, b, False, False))(a)
    torch.testing.assert_close(each, expected)
    compiled = torch.compile(lambda a, b: log_product(a, b, False, False), fullgraph=True, backend="aot_eager")
    batch = b.expand(5, 3, 4).contiguous().requires_grad_()
    torch.testing.assert_close(compiled(a, batch), expected)
    compiled(a, batch).sum().backward()
    assert batch.grad is not None
    torch.testing.assert_close(batch.grad.sum((0, 1)), torch.full((4,), 10.0, dtype=torch.float64))


def test_half_precision_is_accumulated_in_single() -> None:
    a, b = torch.randn(4, 300), torch.randn(300, 5)
    found = log_product(a.bfloat16(), b.bfloat16(), False, False)
    assert found.dtype is torch.bfloat16
    expected = log_product(a.bfloat16().float(), b.bfloat16().float(), False, False)
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
