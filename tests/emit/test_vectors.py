"""Batches of small matrices with vectors: values, derivatives of every order, transformations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from namedlayers.emit.kernels import vectors
from namedlayers.emit.kernels.vectors import matrix_vector, vector_matrix, weighted_rows

SIZES = [
    (600, 4, 5),
    (1024, 8, 1),
    (20, 20, 20),
    (340, 20, 20),
    (3, 2, 2),
    (0, 4, 5),
    (600, 0, 5),
    (600, 4, 0),
    (40_000, 2, 3),
]


def _rows(matrices: Tensor, weights: Tensor) -> Tensor:
    return vector_matrix(weights, matrices)


WAYS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str, int]] = {
    "rows": (_rows, "...qr,...q->...r", 1),
    "columns": (matrix_vector, "...qr,...r->...q", 2),
}


def _given(size: tuple[int, ...], dim: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    matrices = torch.randn(size, dtype=torch.float64, generator=source)
    weights = torch.randn((size[0], size[dim]), dtype=torch.float64, generator=source)
    return matrices.requires_grad_(), weights.requires_grad_()


@pytest.fixture(autouse=True, params=[True, False], ids=["wide", "narrow"])
def wide(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors with vectors of 512 bits, and as on others."""
    monkeypatch.setattr(vectors, "WIDE", request.param)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_values_and_slopes(way: str, size: tuple[int, ...]) -> None:
    function, equation, dim = WAYS[way]
    given = _given(size, dim)
    found, expected = function(*given), torch.einsum(equation, *given)
    slopes = torch.randn_like(expected)
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, given, slopes), torch.autograd.grad(expected, given, slopes), strict=True
    ):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        torch.testing.assert_close(function(*given), expected)


@pytest.mark.parametrize("way", WAYS)
def test_several_axes_of_a_batch_and_turned_matrices(way: str) -> None:
    function, equation, dim = WAYS[way]
    matrices, weights = _given((900, 4, 5), dim)
    matrices, weights = matrices.unflatten(0, (30, 30)).transpose(0, 1), weights.unflatten(0, (30, 30)).transpose(0, 1)
    torch.testing.assert_close(function(matrices, weights), torch.einsum(equation, matrices, weights))


@pytest.mark.parametrize("size", SIZES)
def test_spare_matrices_give_the_same_and_are_needed_by_gradients(size: tuple[int, ...]) -> None:
    for function, dim in (
        (lambda m, w: vector_matrix(w, m, spare=True), 1),
        (lambda m, w: matrix_vector(m, w, True), 2),
    ):
        matrices, weights = _given(size, dim)
        expected = torch.einsum("qrs,qr->qs" if dim == 1 else "qrs,qs->qr", matrices, weights)
        (found,) = torch.autograd.grad(function(matrices.detach(), weights).square().sum(), weights)
        torch.testing.assert_close(found, torch.autograd.grad(expected.square().sum(), weights)[0])
        with torch.no_grad():
            torch.testing.assert_close(function(matrices.clone(), weights), expected.detach())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_one_of_the_two_is_fixed(way: str, wanted: tuple[bool, bool]) -> None:
    function, equation, dim = WAYS[way]
    given = [one.detach().requires_grad_(asked) for one, asked in zip(_given((600, 4, 5), dim), wanted, strict=True)]
    asked = given[wanted.index(True)]
    (found,) = torch.autograd.grad(function(*given).square().sum(), asked)
    (expected,) = torch.autograd.grad(torch.einsum(equation, *given).square().sum(), asked)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("way", WAYS)
def test_slopes_of_slopes(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "MANY", 0)
    monkeypatch.setattr(vectors, "BLOCK", 8)
    function, _, dim = WAYS[way]
    given = _given((3, 2, 3), dim)
    assert torch.autograd.gradcheck(function, given, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, given, check_batched_grad=True, fast_mode=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("transform", ["vmap", "grad", "jvp", "jacrev"])
def test_transformed(way: str, transform: str) -> None:
    function, equation, dim = WAYS[way]
    given = tuple(one.detach() for one in _given((2000, 2, 3), dim))
    made: dict[str, Callable[[Callable[..., Tensor]], object]] = {
        "vmap": lambda f: torch.func.vmap(f)(*(one.unflatten(0, (2, 1000)) for one in given)),
        "grad": lambda f: torch.func.grad(lambda *x: f(*x).square().sum(), (0, 1))(*given),
        "jvp": lambda f: torch.func.jvp(f, given, given),
        "jacrev": lambda f: torch.func.jacrev(lambda *x: f(*x).sum(0), (0, 1))(*given),
    }
    torch.testing.assert_close(made[transform](function), made[transform](lambda *x: torch.einsum(equation, *x)))


@pytest.mark.parametrize("way", WAYS)
def test_under_autocast_it_is_a_product(way: str) -> None:
    function, _, dim = WAYS[way]
    given = [one.detach().float() for one in _given((600, 4, 5), dim)]
    with torch.autocast("cpu", torch.bfloat16):
        assert function(*given).dtype is torch.bfloat16


@pytest.mark.parametrize("size", [*SIZES, (2, 30, 40)])
def test_the_same_weights_for_all_matrices(size: tuple[int, ...]) -> None:
    matrices, _ = _given(size, 1)
    weights = torch.linspace(-1, 1, size[1], dtype=torch.float64, requires_grad=True)
    found, expected = weighted_rows(weights, matrices), torch.einsum("qrs,r->qs", matrices, weights)
    slopes = torch.randn_like(expected)
    torch.testing.assert_close(found, expected)
    both = (torch.autograd.grad(one, (matrices, weights), slopes) for one in (found, expected))
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other)
    lifted = torch.func.vmap(weighted_rows, in_dims=(0, None))(torch.stack([weights, 2 * weights]), matrices)
    torch.testing.assert_close(lifted, torch.stack([expected, 2 * expected]))


@pytest.mark.parametrize("large", [0, vectors.LARGE], ids=["large", "small"])
@pytest.mark.parametrize("size", [(3, 20, 20), (3, 4, 5), (1, 20, 1)])
def test_shared_weights_traced(size: tuple[int, ...], large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there are many elements, and as where there are few."""
    monkeypatch.setattr(vectors, "LARGE", large)
    matrices, _ = _given(size, 1)
    weights = torch.randn(size[1], dtype=torch.float64, requires_grad=True)
    torch.compiler.reset()
    traced = torch.compile(lambda w, x: weighted_rows(w, x), backend="aot_eager", fullgraph=True)
    found, expected = traced(weights, matrices), torch.einsum("r,nrc->nc", weights, matrices)
    torch.testing.assert_close(found, expected)
    found_slopes, expected_slopes = (
        torch.autograd.grad(result.sin().sum(), (weights, matrices)) for result in (found, expected)
    )
    torch.testing.assert_close(found_slopes, expected_slopes)
