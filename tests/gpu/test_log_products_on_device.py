"""The Triton kernels of the log product on the device that they are for."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl
from namedlayers.emit.log_products.log_product import log_product
from namedlayers.emit.log_products.triton_log_product import SHORT, TILE, product, slopes
from tests.emit.log_products import agree, expected, factors, slopes_agree

pytestmark = pytest.mark.gpu

SHAPES = [
    (1, 1, 1), (5, 7, 6), (2, 3, 33, 40, 17), (70, 20, 65), (64, 64, SHORT, 64), (3, 5, SHORT + 1, 33),
    (130, 700, 2 * TILE + 1), (4, 256, 512, 128),
]  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0, 3000.0])
@pytest.mark.parametrize("linear", [(False, False), (True, False), (False, True), (True, True)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_and_slopes(
    shape: tuple[int, ...], dtype: torch.dtype, linear: tuple[bool, bool], scale: float
) -> None:
    a, b = factors(shape, dtype, scale, *linear)
    slope = torch.randn(*a.shape[:-1], b.shape[-1], generator=torch.Generator().manual_seed(0), dtype=dtype)
    eps = torch.finfo(dtype).eps
    x, y, g = a.cuda(), b.cuda(), slope.cuda()
    found = product(x, y, *linear)
    agree(found.cpu(), expected(a, b, slope, *linear)[0], 20 * eps * max(1, scale))
    slopes_agree(slopes(x, y, found, g, *linear), a, b, slope, linear, 100 * eps * max(1, scale))


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2), (2, 3, 0), (0, 2, 3, 2)], ids=str)
def test_empty_axes(shape: tuple[int, ...]) -> None:
    a, b = (one.cuda().requires_grad_() for one in factors(shape, torch.float32, 1.0, False))
    found = log_product(a, b, False, False)
    assert (found == -torch.inf).all()
    for one, side in zip(torch.autograd.grad(found.sum(), (a, b)), (a, b), strict=True):
        assert one.shape == side.shape and (one == 0).all()


def test_float32_keeps_its_digits_where_tf32_is_allowed() -> None:
    a, b = factors((256, 512, 256), torch.float32, 1.0, False)
    wanted = expected(a, b, torch.zeros(256, 256), False)[0]
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        found = product(a.cuda(), b.cuda(), False, False)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(allowed)
    agree(found.cpu(), wanted, 3e-6)


def test_the_host_does_not_wait() -> None:
    a, b = (one.cuda().requires_grad_() for one in factors((64, 300, 64), torch.float32, 300.0, False))
    log_product(a, b, False, False).sum().backward()  # compiles the kernels
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        log_product(a, b, False, False).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("inner", [7, SHORT + 5])
def test_derivatives_of_the_second_order(inner: int) -> None:
    a, b = factors((3, inner, 2), torch.float64, 2.0, True)
    a, b = (a + 0.1).cuda().requires_grad_(), b.clamp(min=-5).cuda().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: log_product(a, b, True, False), (a, b))
    assert torch.autograd.gradgradcheck(lambda a, b: log_product(a, b, True, False), (a, b))


def test_transformations() -> None:
    a, b = torch.randn(5, 2, 3, device="cuda"), torch.randn(3, 4, device="cuda")
    expected = torch.logsumexp(a.unsqueeze(-1) + b, -2)
    torch.testing.assert_close(torch.vmap(lambda one: log_product(one, b, False, False))(a), expected)
    tangent = torch.func.jvp(lambda one: log_product(one, b, False, False), (a[0],), (torch.ones_like(a[0]),))[1]
    torch.testing.assert_close(tangent, torch.ones_like(tangent))


def test_compiled_by_torch() -> None:
    a, b = torch.randn(5, 2, 3, device="cuda"), torch.randn(5, 3, 4, device="cuda")
    compiled = torch.compile(lambda a, b: log_product(a, b, False, False) * 2, fullgraph=True)
    torch.testing.assert_close(compiled(a, b), 2 * torch.logsumexp(a.unsqueeze(-1) + b.unsqueeze(1), -2))


@pytest.mark.parametrize("backend", ["python", "inductor", "cudagraph"])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_formulas(scale: float, backend: str) -> None:
    mix = nl.compile(
        "def mix(X[batch, unit]; W[unit, out]) -> [batch, out] = X @[unit] W", semiring="log", backend=backend
    )
    x = (torch.randn(65, 40, generator=torch.Generator().manual_seed(0)) * scale).cuda().requires_grad_()
    w = torch.rand(40, 30, generator=torch.Generator().manual_seed(1)).cuda().requires_grad_()
    wanted = torch.logsumexp(x.unsqueeze(2) + w.log(), 1)
    for _ in range(2):
        found = mix(x, w)
        torch.testing.assert_close(found, wanted)
        ours, theirs = (torch.autograd.grad(one.sum(), (x, w), retain_graph=True) for one in (found, wanted))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_half_precision() -> None:
    a, b = factors((5, 300, 6), torch.float32, 3.0, False)
    a, b = a.bfloat16(), b.bfloat16()
    found = log_product(a.cuda(), b.cuda(), False, False)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.cpu(), log_product(a, b, False, False), rtol=1e-2, atol=1e-2)
