"""Log products as torch.compile sees them: torch's operations, and an operator that mends what these miss."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from namedlayers.emit.log_products import shifted_product
from namedlayers.emit.log_products.log_product import log_product, log_product_of_sums
from tests.emit.log_products import expected, factors

INF = torch.inf


def _filled(kind: str, dtype: torch.dtype, scale: float) -> tuple[Tensor, Tensor]:
    """Without an -inf; or with some in one factor, in both, or in whole rows and columns; or with all that there is."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, generator=generator, dtype=dtype) * scale for size in ((3, 20, 16), (3, 16, 24)))
    if kind in ("left", "both"):
        a[0, 1], a[1, 2, 3] = -INF, -INF
    if kind in ("right", "both"):
        b[0, :, 1], b[1, 2, 3] = -INF, -INF
    if kind == "undefined":
        a[1, 1, 1], b[2, 2, 2], a[0, 1] = INF, torch.nan, -INF
    return a, b


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("linear", [False, True], ids=["logarithms", "weights"])
def test_as_where_nothing_is_traced(linear: bool, dtype: torch.dtype, digits: float) -> None:
    compiled = torch.compile(lambda a, b: log_product(a, b, linear, False), fullgraph=True, backend="aot_eager")
    kinds, scales = ("finite", "left", "right", "both", "undefined"), (1.0, 30.0, 300.0, 1e4)
    for kind, scale in product(kinds, scales):
        a, b = _filled(kind, dtype, scale)
        if linear:
            a = a.exp().clamp(max=1e30)
        a.requires_grad_(), b.requires_grad_()
        found, wanted = compiled(a, b), log_product(a, b, linear, False)
        torch.testing.assert_close(found, wanted, equal_nan=True)
        if kind != "undefined":
            slope = torch.randn(found.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
            for one, other in zip(*(torch.autograd.grad(x, (a, b), slope) for x in (found, wanted)), strict=True):
                torch.testing.assert_close(one, other, rtol=digits, atol=digits * max(1, scale / 100), equal_nan=True)


def test_sums_in_any_sizes_are_one_graph() -> None:
    def product(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return log_product_of_sums((x, y), (w,), (1, 2, 1), (False, False))

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(product, fullgraph=True, dynamic=True, backend=counter)
    for b, i, j, o in ((3, 4, 5, 6), (7, 2, 3, 5), (4, 9, 6, 3)):
        given = [torch.randn(size, requires_grad=True) for size in ((b, i, 1), (b, 1, j), (i, j, o))]
        found, wanted = compiled(*given), product(*given)
        torch.testing.assert_close(found, wanted)
        for one, other in zip(*(torch.autograd.grad(x.sum(), given) for x in (found, wanted)), strict=True):
            torch.testing.assert_close(one, other)
    assert counter.frame_count <= 2  # one more where another factor is the smaller one


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_what_is_not_too_small_is_not_mended(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    mended: list[int] = []
    product = shifted_product.product
    monkeypatch.setattr(shifted_product, "product", lambda *given: mended.append(1) or product(*given))
    a, b = factors((2, 20, 16, 24), torch.float32, 0, False)
    a, b = torch.randn_like(a) * scale, torch.randn_like(b)  # of one factor alone the entries lie far apart
    compiled = torch.compile(lambda a, b: log_product(a, b, False, False), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(a, b), product_of(a, b))
    assert not mended
    torch.testing.assert_close(compiled(a * 300, b * 300), product_of(a * 300, b * 300))
    assert mended


@pytest.mark.parametrize(
    ("turned", "batches", "inner", "columns"),
    [
        (False, ((4,), (4,), (4,)), (16, 16), 16), (True, ((4,), (4,), (4,)), (40, 3), 17),
        (True, ((), (), ()), (32, 1), 16), (False, ((), (), ()), (16, 16), 24), (False, ((), (), ()), (40, 3), 17),
        (True, ((2, 1), (1, 3), (2, 3)), (16, 16), 16), (False, ((2, 1), (1, 3), (2, 3)), (32, 1), 16),
        (True, ((2, 1), (1, 3), (2, 3)), (40, 3), 17),
    ],
)  # fmt: skip
def test_sums_over_one_part_after_the_other(
    turned: bool, batches: tuple[tuple[int, ...], ...], inner: tuple[int, int], columns: int
) -> None:
    def product(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return log_product_of_sums((y, x) if turned else (x, y), (w,), (1, 2, 1), (False, False))

    torch._dynamo.reset()
    compiled = torch.compile(product, fullgraph=True, dynamic=False, backend="aot_eager")
    first, second = inner
    sizes = ((*batches[0], 200, first, 1), (*batches[1], 200, 1, second), (*batches[2], first, second, columns))
    for scale, hole in ((1.0, False), (300.0, False), (1.0, True)):
        x, y, w = (torch.randn(size) * scale for size in sizes)
        if hole:
            x[..., 1, :, :], w[..., 0] = -INF, -INF
        given = [one.requires_grad_() for one in (x, y, w)]
        found, wanted = compiled(*given), product(*given)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        for one, other in zip(
            *(torch.autograd.grad(out[..., 2, 1:].sum(), given) for out in (found, wanted)), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def product_of(a: Tensor, b: Tensor) -> Tensor:
    return torch.logsumexp(a.unsqueeze(-1) + b.unsqueeze(-3), -2)


@pytest.mark.parametrize("sizes", [(10000, 4, 0), (0, 4, 9000), (10000, 0, 3), (10000, 1, 3)])
def test_empty_axes(sizes: tuple[int, int, int]) -> None:
    """Where few terms are not few numbers, too."""
    rows, inner, columns = sizes
    given = [torch.randn(size, requires_grad=True) for size in ((rows, inner), (inner, columns))]
    torch._dynamo.reset()
    compiled = torch.compile(lambda a, b: log_product(a, b, False, False), fullgraph=True, backend="aot_eager")
    found, wanted = compiled(*given), log_product(*given, False, False)
    torch.testing.assert_close(found, wanted)
    for one, other in zip(*(torch.autograd.grad(x.sum(), given) for x in (found, wanted)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("sizes", [((600, 16), (16, 24)), ((600, 16), (16, 400)), ((30, 60), (60, 50))])
def test_small_results_and_large_ones(sizes: tuple[tuple[int, int], tuple[int, int]], dynamic: bool) -> None:
    """Whichever number tells that there is something to mend, and whatever mends it."""
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda a, b: log_product(a, b, False, False), fullgraph=True, dynamic=dynamic, backend="aot_eager"
    )
    for scale, hole in ((1.0, False), (300.0, False), (1.0, True)):
        a, b = (torch.randn(size, dtype=torch.float64) * scale for size in sizes)
        if hole:
            a[1], b[:, 2] = -INF, -INF
        given = a.float().requires_grad_(), b.float().requires_grad_()
        found, wanted = compiled(*given), log_product(*given, False, False)
        torch.testing.assert_close(found, wanted)
        slopes = [torch.autograd.grad(x[0].sum(), given) for x in (found, wanted)]
        torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-3)


def test_half_precision_and_autocast() -> None:
    a, b = torch.randn(4, 30), torch.randn(30, 50)
    compiled = torch.compile(lambda a, b: log_product(a, b, False, False), fullgraph=True, backend="aot_eager")
    half = compiled(a.bfloat16(), b.bfloat16())
    assert half.dtype is torch.bfloat16
    torch.testing.assert_close(half.float(), product_of(a, b), rtol=2e-2, atol=2e-2)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(compiled(a, b), product_of(a, b))


@pytest.mark.parametrize("sizes", [((2, 5, 7), (2, 7, 6)), ((2, 20, 16), (2, 16, 24))], ids=["few", "many"])
def test_inductor_multiplies_and_mends(sizes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    compiled = torch.compile(lambda a, b: log_product(a, b, False, False).sin(), fullgraph=True)
    for scale in (1.0, 300.0):
        a, b = ((torch.randn(size) * scale).requires_grad_() for size in sizes)
        found, wanted = compiled(a, b), product_of(a, b).sin()
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)
        for one, other in zip(*(torch.autograd.grad(x.sum(), (a, b)) for x in (found, wanted)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_few_are_added_up_in_one_loop(backend: str) -> None:
    """Without an operator; -inf stands for nothing, and has no slope."""

    def product(a: Tensor, b: Tensor) -> Tensor:
        return log_product(a, b, False, False)

    a, b = torch.randn(3, 4, 5), torch.randn(3, 5, 6)
    a[0, 1], a[1, 2, 3], b[1, 3, :], b[2, :, 1] = -INF, -INF, -INF, -INF
    a.requires_grad_(), b.requires_grad_()
    found, slope = torch.compile(product, fullgraph=True, backend=backend)(a, b), torch.randn(3, 4, 6)
    wanted, *slopes = expected(a.detach(), b.detach(), slope, False)
    torch.testing.assert_close(found.double(), wanted)
    for one, other in zip(torch.autograd.grad(found, (a, b), slope), slopes, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)
    with torch.no_grad(), torch.profiler.profile() as profile:
        torch.compile(product, fullgraph=True, backend=backend)(a, b)
    assert not any("mend" in event.name or "bmm" in event.name for event in profile.events())


@pytest.mark.parametrize("scale", [1.0, 300.0])
@pytest.mark.parametrize("wanted", [0, 1])
def test_one_factor_alone_has_a_slope(wanted: int, scale: float) -> None:
    given = [torch.randn(3, 20, 16) * scale, torch.randn(3, 16, 24) * scale]
    given[wanted].requires_grad_()
    compiled = torch.compile(lambda a, b: log_product(a, b, False, False), fullgraph=True, backend="aot_eager")
    ways = (compiled, lambda a, b: log_product(a, b, False, False), product_of)
    first, *others = (torch.autograd.grad(way(*given).sin().sum(), given[wanted])[0] for way in ways)
    for other in others:
        torch.testing.assert_close(first, other, rtol=1e-3, atol=1e-3)
