"""Log products whose factors are outer sums of parts, against the outer sum held in double precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from namedlayers.emit.log_products import log_product
from namedlayers.emit.log_products.log_product import log_product_of_sums

INF = torch.inf
Dims = tuple[int, int, int]

CASES: dict[str, tuple[list[tuple[int, ...]], list[tuple[int, ...]], Dims]] = {
    "two parts": ([(3, 4, 1), (3, 1, 5)], [(4, 5, 6)], (1, 2, 1)),
    "three parts": ([(3, 4, 1, 1), (3, 1, 5, 1), (3, 1, 1, 2)], [(4, 5, 2, 6)], (1, 3, 1)),
    "a batch": ([(2, 3, 4, 1), (2, 3, 1, 5)], [(2, 4, 5, 6)], (1, 2, 1)),
    "a batch that parts lack": ([(1, 3, 4, 1), (2, 1, 1, 5)], [(2, 4, 5, 6)], (1, 2, 1)),
    "outer in rows": ([(3, 1, 4), (1, 5, 4)], [(4, 6)], (2, 1, 1)),
    "parts on the right": ([(3, 4, 5)], [(4, 1, 6), (1, 5, 6)], (1, 2, 1)),
    "parts on both sides": ([(3, 4, 1), (1, 4, 5)], [(4, 1, 6, 1), (1, 5, 1, 2)], (1, 2, 2)),
    "many terms": ([(3, 16, 1), (3, 1, 16)], [(16, 16, 40)], (1, 2, 1)),
}


@pytest.fixture(autouse=True)
def _always_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_product, "FEW", -1)


def _given(name: str, dtype: torch.dtype, scale: float, nothing: float = 0.0) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(len(name))

    def one(shape: tuple[int, ...]) -> Tensor:
        found = torch.randn(shape, generator=generator, dtype=dtype) * scale
        return found.masked_fill(torch.rand(shape, generator=generator) < nothing, -INF).requires_grad_()

    lefts, rights, _ = CASES[name]
    return [one(shape) for shape in lefts], [one(shape) for shape in rights]


def _ours(name: str) -> Callable[..., Tensor]:
    lefts, _, dims = CASES[name]
    return lambda *parts: log_product_of_sums(parts[: len(lefts)], parts[len(lefts) :], dims, (False, False))


def _held(name: str) -> Callable[..., Tensor]:
    """The definition, with no slopes where it is -inf."""
    lefts, _, (rows, inner, columns) = CASES[name]
    count = len(lefts)

    def held(*parts: Tensor) -> Tensor:
        left, right = (torch.stack(torch.broadcast_tensors(*side)).sum(0) for side in (parts[:count], parts[count:]))
        batch = right.dim() - inner - columns
        whole = left[(..., *[None] * columns)] + right[(*[slice(None)] * batch, *[None] * rows)]
        lowest = torch.finfo(whole.dtype).min
        found = torch.logsumexp(whole.clamp(min=lowest), tuple(range(-columns - inner, -columns)))
        return found.masked_fill(found == lowest, -INF).flatten(batch + rows).flatten(batch, batch + rows - 1)

    return held


@pytest.mark.parametrize("scale", [1.0, 30.0, 300.0, 3000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes(name: str, dtype: torch.dtype, scale: float) -> None:
    for nothing in (0.0, 0.2):
        lefts, rights = _given(name, dtype, scale, nothing)
        wide = [x.detach().double().requires_grad_() for x in (*lefts, *rights)]
        found, wanted = _ours(name)(*lefts, *rights), _held(name)(*wide)
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(found.double(), wanted, rtol=50 * eps, atol=50 * eps * scale)
        slope = torch.randn(wanted.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        slopes = torch.autograd.grad(found, (*lefts, *rights), slope.to(dtype))
        digits = 400 * eps * scale
        for one, other in zip(slopes, torch.autograd.grad(wanted, wide, slope), strict=True):
            torch.testing.assert_close(one.double(), other, rtol=digits, atol=digits)


@pytest.mark.parametrize("name", ["two parts", "a batch that parts lack", "parts on both sides"])
def test_derivatives_of_the_second_order(name: str) -> None:
    for scale in (1.0, 800.0):
        lefts, rights = _given(name, torch.float64, scale)
        assert torch.autograd.gradcheck(_ours(name), (*lefts, *rights))
        assert torch.autograd.gradgradcheck(_ours(name), (*lefts, *rights), fast_mode=True)


@pytest.mark.parametrize("empty", range(4))
def test_empty_axes(empty: int) -> None:
    b, i, j, o = (0 if k == empty else size for k, size in enumerate((2, 3, 4, 5)))
    x, y, w = (torch.zeros(size, requires_grad=True) for size in ((b, i, 1), (b, 1, j), (i, j, o)))
    found = log_product_of_sums((x, y), (w,), (1, 2, 1), (False, False))
    torch.testing.assert_close(found, torch.full((b, o), float(i * j)).log())
    for one, given in zip(torch.autograd.grad(found.sum(), (x, y, w)), (x, y, w), strict=True):
        assert one.shape == given.shape and (one == 0).all()  # nothing there, or nothing to be a share of


@pytest.mark.parametrize("linear", [False, True], ids=["logarithms", "weights"])
def test_weights_beside_parts(linear: bool) -> None:
    x, y, w = torch.randn(3, 4, 1), torch.randn(3, 1, 5), torch.rand(4, 5, 6)
    w[0, 0, 0] = 0
    w.requires_grad_()
    given = w if linear else torch.log(w)
    found = log_product_of_sums((x, y), (given,), (1, 2, 1), (False, linear))
    wanted = torch.log(torch.einsum("bi,bj,ijo->bo", x[:, :, 0].exp(), y[:, 0].exp(), w))
    torch.testing.assert_close(found, wanted)
    if linear:
        torch.testing.assert_close(*(torch.autograd.grad(one.sum(), w)[0] for one in (found, wanted)))


def test_nothing_infinite_and_undefined() -> None:
    x, y, w = torch.randn(6, 4, 1), torch.randn(6, 1, 5), torch.randn(4, 5, 7)
    x[0], x[1, 2], y[2, 0, 1], w[:, :, 3], w[1, 2, 4], y[5] = -INF, INF, torch.nan, -INF, INF, -2000
    found = log_product_of_sums((x, y), (w,), (1, 2, 1), (False, False))
    whole = (x + y).double()[..., None] + w.double()
    torch.testing.assert_close(found.double(), torch.logsumexp(whole, (1, 2)), rtol=1e-5, atol=1e-5, equal_nan=True)


def _second(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *parts: torch.func.hessian(lambda x: f(x, *parts[1:]).sin().sum())(parts[0])


TRANSFORMATIONS: dict[str, Callable[[Callable[..., Tensor]], Callable[..., Tensor]]] = {
    "vmap": lambda f: torch.vmap(f, (0, None, None)),
    "vmap over the second part": lambda f: torch.vmap(f, (None, 0, None)),
    "grad": lambda f: torch.func.grad(lambda *given: f(*given).sin().sum(), argnums=(0, 1, 2)),
    "vmap of grad": lambda f: torch.vmap(torch.func.grad(lambda *x: f(*x).sin().sum(), (0, 1, 2)), (0, None, None)),
    "jvp": lambda f: lambda *given: torch.func.jvp(f, given, tuple(x.cos() for x in given))[1],
    "hessian": _second,
    "vmap of hessian": lambda f: torch.vmap(_second(f), (0, None, None)),
    "compiled": lambda f: torch.compile(lambda *given: f(*given).sin(), fullgraph=True, backend="aot_eager"),
    "compiled vmap": lambda f: torch.compile(torch.vmap(f, (0, None, None)), fullgraph=True, backend="aot_eager"),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("scale", [1.0, 500.0])
def test_transformations(name: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = (3, 4, 1), (3, 1, 2), (4, 2, 3)
    x, y, w = (torch.randn(size, dtype=torch.float64, generator=generator) * scale for size in sizes)
    many = {"vmap over the second part": (x, torch.stack((y, y.cos())), w)}
    given = many.get(name, (torch.stack((x, x.cos())), y, w) if "vmap" in name else (x, y, w))
    transform = TRANSFORMATIONS[name]
    ours = transform(lambda x, y, w: log_product_of_sums((x, y), (w,), (1, 2, 1), (False, False)))(*given)
    held = transform(lambda x, y, w: torch.logsumexp((x + y)[..., None] + w, (-3, -2)))(*given)
    torch.testing.assert_close(ours, held)
