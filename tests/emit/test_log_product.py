"""The log semiring's matrix product, against a computation in double precision that holds the outer sum."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from namedlayers.emit.log_products import log_product as module
from namedlayers.emit.log_products.log_product import log_product
from tests.emit.log_products import agree, expected, factors


@pytest.fixture(autouse=True)
def _always_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW", -1)


@pytest.mark.parametrize("linear", [False, True], ids=["logarithms", "weights"])
@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0, 3000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_exact_also_where_the_shifted_product_underflows(dtype: torch.dtype, scale: float, linear: bool) -> None:
    a, b = factors((2, 5, 7, 6), dtype, scale, linear)
    a[0, 0], b[1, :, 2] = -torch.inf if not linear else 0, -torch.inf
    slope = torch.randn(2, 5, 6, dtype=dtype, generator=torch.Generator().manual_seed(1))
    out, to_a, to_b = expected(a, b, slope, linear)
    a.requires_grad_(), b.requires_grad_()
    found = log_product(a, b, linear, False)
    eps = torch.finfo(dtype).eps
    agree(found.detach(), out, 50 * eps)
    found.backward(slope)
    # A share is the exponential of a difference of numbers as large as the scale.
    digits = 100 * eps * max(scale, 1)
    assert a.grad is not None and b.grad is not None
    agree(a.grad, to_a, digits, finite=True)
    agree(b.grad, to_b, digits, finite=True)


@pytest.mark.parametrize("scale", [1.0, 800.0])
@pytest.mark.parametrize("linear", [False, True], ids=["logarithms", "weights"])
def test_derivatives_of_the_second_order(scale: float, linear: bool) -> None:
    a = torch.rand(2, 3, 4, dtype=torch.float64) if linear else torch.randn(2, 3, 4, dtype=torch.float64) * scale
    b = torch.randn(2, 4, 3, dtype=torch.float64)
    factors = a.requires_grad_(), b.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: log_product(a, b, linear, False), factors)
    assert torch.autograd.gradgradcheck(lambda a, b: log_product(a, b, linear, False), factors, fast_mode=True)


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


def _written_out(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(a.unsqueeze(-1) + b.unsqueeze(-3), -2)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return log_product(a, b, False, False)


Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
TRANSFORMATIONS: dict[str, Callable[[Product], Product]] = {
    "vmap": lambda f: torch.vmap(f, (0, None)),
    "grad": lambda f: torch.func.grad(lambda a, b: f(a[0], b).sin().sum(), argnums=(0, 1)),
    "vmap of grad": lambda f: torch.vmap(torch.func.grad(lambda a, b: f(a, b).sin().sum(), (0, 1)), (0, None)),
    "grad of vmap": lambda f: torch.func.grad(lambda a, b: torch.vmap(f, (0, None))(a, b).sin().sum(), argnums=(0, 1)),
    "jvp": lambda f: lambda a, b: torch.func.jvp(f, (a[0], b), (a[1], b.cos()))[1],
    "jvp along one": lambda f: lambda a, b: torch.func.jvp(lambda one: f(one, b), (a[0],), (a[1],))[1],
    "jacrev": lambda f: lambda a, b: torch.func.jacrev(f)(a[0], b),
    "vmap of hessian": lambda f: torch.vmap(
        lambda a, b: torch.func.hessian(lambda one: f(one, b).sin().sum())(a), (0, None)
    ),
    "hessian of vmap": lambda f: torch.func.hessian(lambda a, b: torch.vmap(f, (0, None))(a, b).sin().sum()),
    "jvp of vmap of grad": lambda f: (
        lambda a, b: torch.func.jvp(
            lambda b: torch.vmap(torch.func.grad(lambda a, b: f(a, b).sin().sum()), (0, None))(a, b), (b,), (b.cos(),)
        )[1]
    ),
    "hessian": lambda f: lambda a, b: torch.func.hessian(lambda one: f(one, b).sin().sum())(a[0]),
    "compiled": lambda f: torch.compile(lambda a, b: f(a[0], b).sin(), fullgraph=True, backend="aot_eager"),
    "compiled vmap": lambda f: torch.compile(torch.vmap(f, (0, None)), fullgraph=True, backend="aot_eager"),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_transformations(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(*size, dtype=torch.float64, generator=generator) for size in ((5, 2, 3), (3, 4)))
    transform = TRANSFORMATIONS[name]
    torch.testing.assert_close(transform(_product)(a, b), transform(_written_out)(a, b))


def test_slopes_of_what_is_compiled() -> None:
    a, b = torch.randn(2, 3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    compiled = torch.compile(_product, fullgraph=True, backend="aot_eager")
    compiled(a, b).sum().backward()
    assert b.grad is not None
    torch.testing.assert_close(b.grad.sum(0), torch.full((4,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("dtypes", [(torch.bfloat16, torch.float32), (torch.float32, torch.float64)], ids=str)
def test_two_precisions_meet_in_the_larger(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    a, b = torch.zeros(2, 3, dtype=dtypes[0]), torch.zeros(3, 4, dtype=dtypes[1])
    found = log_product(a, b, False, False)
    torch.testing.assert_close(found, torch.full((2, 4), 3.0, dtype=dtypes[1]).log())


def test_half_precision_is_accumulated_in_single() -> None:
    a, b = torch.randn(4, 300), torch.randn(300, 5)
    found = log_product(a.bfloat16(), b.bfloat16(), False, False)
    assert found.dtype is torch.bfloat16
    expected = log_product(a.bfloat16().float(), b.bfloat16().float(), False, False)
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("scale", [1.0, 3000.0])
def test_small_ones_are_held(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = factors((2, 5, 7, 6), torch.float64, scale, False)
    a[0, 0], b[1, :, 2] = -torch.inf, -torch.inf
    given = a.requires_grad_(), b.requires_grad_()
    multiplied = log_product(*given, False, False)
    monkeypatch.setattr(module, "FEW", 5 * 7 * 6 * 2)
    held = log_product(*given, False, False)
    torch.testing.assert_close(held, multiplied)
    for one, other in zip(*(torch.autograd.grad(found.sum(), given) for found in (held, multiplied)), strict=True):
        torch.testing.assert_close(one, other)
