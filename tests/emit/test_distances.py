"""Distances between all pairs: what is recognised, all derivatives, transforms, precisions, what is held."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.func import grad, hessian, jvp, vmap

import namedlayers as nl
from namedlayers.emit.emitters import distances
from namedlayers.emit.kernels import pairs
from namedlayers.emit.kernels.pairs import pulls
from tests.helpers import check
from tests.plan.formulas import agree, planned

POINTS = "X[i, d], Y[j, d]"


@pytest.fixture(autouse=True, params=[0, distances.FEW], ids=["many", "few"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there are many differences, and as where there are few."""
    monkeypatch.setattr(distances, "FEW", request.param)


FORMS = {
    "squared": (POINTS, "sum[d]((X - Y) ^ 2)"),
    "the other way": (POINTS, "sum[d]((Y - X) ^ 2)"),
    "a product with itself": (POINTS, "(X - Y) @[d] (X - Y)"),
    "written as a product": (POINTS, "sum[d]((X - Y) * (X - Y))"),
    "in batches": ("X[b, i, d], Y[j, b, d]", "sum[d]((X - Y) ^ 2)"),
    "over two axes": ("X[i, d, e], Y[e, j, d]", "sum[d, e]((X - Y) ^ 2)"),
    "of several axes": ("X[i, k, d], Y[d, j]", "sum[d]((X - Y) ^ 2)"),
    "in a kernel": ("X[i, d], Y[j, d]; b[j]", "sum[j](exp(-sum[d]((X - Y) ^ 2)) * b)"),
    "of points with themselves": ("X[i, d]", "sum[i](sum[d]((X - X[i -> j]) ^ 2))[j -> i]"),
    "a norm": (POINTS, "norm[d](X - Y)"),
    "a sum of magnitudes": (POINTS, "sum[d](abs(X - Y))"),
    "a mean of magnitudes": (POINTS, "mean[d](abs(Y - X))"),
    "magnitudes in batches": ("X[b, i, d], Y[j, b, d]", "sum[d](abs(X - Y))"),
    "magnitudes over two axes": ("X[i, d, e], Y[e, j, d]", "sum[d, e](abs(X - Y))"),
    "magnitudes in a kernel": ("X[i, d], Y[j, d]; b[j]", "sum[j](exp(-sum[d](abs(X - Y))) * b)"),
    "the least sum of magnitudes": (POINTS, "min[j](sum[d](abs(X - Y)))"),
    "a root": (POINTS, "sqrt(sum[d]((X - Y) ^ 2))"),
}


@pytest.mark.parametrize("name", FORMS)
def test_it_is_recognised(name: str) -> None:
    found = planned(*FORMS[name])
    assert "distance" in found.ops and "sub" not in found.ops
    for sizes in ({}, dict.fromkeys(found.program.symbols, 1), {"d": 0}, {"i": 0}):
        agree(found, **{size: n for size, n in sizes.items() if size in found.program.symbols})


@pytest.mark.parametrize("name", FORMS)
def test_values_and_gradients(name: str) -> None:
    signature, expression = FORMS[name]
    text = f"def f({signature}) = {expression}"
    axes = {axis: size for size, axis in enumerate("bijkde", 2)}
    source = np.random.default_rng(0)
    inputs = {
        part.split("[")[0].strip(" ;,"): source.normal(size=[axes[a.strip()] for a in part.split("[")[1].split(",")])
        for part in signature.split("]")[:-1]
    }
    if "X[i -> j]" not in expression or "sqrt" not in expression:
        check(text, inputs, nl.compile(text).reference(**inputs).numpy())


APART = {
    "no pairs": ("X[i, d], Y[i, d]", "sum[d]((X - Y) ^ 2)"),
    "from one point": ("X[i, d], y[d]", "sum[d]((X - y) ^ 2)"),
    "differences that something else needs": (POINTS, "sum[d]((X - Y) ^ 2) + max[d](X - Y)"),
    "magnitudes of pairs": ("X[i, d], Y[i, d]", "sum[d](abs(X - Y))"),
    "magnitudes that something else needs": (POINTS, "sum[d](abs(X - Y)) + max[d](abs(X - Y))"),
    "magnitudes of weighed differences": (POINTS + "; w[d]", "sum[d](abs(w * (X - Y)))"),
    "a sum of more": ("X[i, d], Y[j]", "sum[d]((X - Y) ^ 2)"),
}


@pytest.mark.parametrize("name", APART)
def test_what_is_none(name: str) -> None:
    found = planned(*APART[name])
    assert "distance" not in found.ops
    agree(found)


SQUARES = nl.compile("def f(X[i, d], Y[j, d]) -> [i, j] = sum[d]((X - Y) ^ 2)")
DISTANCES = nl.compile("def f(X[i, d], Y[j, d]) -> [i, j] = norm[d](X - Y)")


MAGNITUDES = nl.compile("def f(X[i, d], Y[j, d]) -> [i, j] = sum[d](abs(X - Y))")


def _written_out(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return ((x[:, None] - y) ** 2).sum(-1)


def _as_norms(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(x[:, None] - y, dim=-1)


def _as_magnitudes(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x[:, None] - y).abs().sum(-1)


KINDS = ((SQUARES, _written_out), (DISTANCES, _as_norms), (MAGNITUDES, _as_magnitudes))


def _points(*, slopes: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    shapes = ((5, 3), (4, 3))
    x, y = (torch.randn(s, dtype=torch.float64, generator=source, requires_grad=slopes) for s in shapes)
    return x, y


def test_derivatives_of_squares() -> None:
    points = _points(slopes=True)
    assert torch.autograd.gradcheck(SQUARES, points, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(SQUARES, points, check_batched_grad=True, fast_mode=True)


def test_derivatives_of_distances() -> None:
    points = _points(slopes=True)
    assert torch.autograd.gradcheck(DISTANCES, points, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(DISTANCES, points, check_batched_grad=True, fast_mode=True)


def test_derivatives_of_magnitudes() -> None:
    points = _points(slopes=True)
    assert torch.autograd.gradcheck(MAGNITUDES, points, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(MAGNITUDES, points, check_batched_grad=True, fast_mode=True)


def test_the_slope_at_distance_0_is_0() -> None:
    for function in (SQUARES, DISTANCES, MAGNITUDES):
        x = torch.ones(1, 3, requires_grad=True)
        (slope,) = torch.autograd.grad(function(x, torch.ones(1, 3)).sum(), x)
        torch.testing.assert_close(slope, torch.zeros(1, 3))


def test_transforms() -> None:
    x, y = _points()
    several = torch.stack([x, 2 * x])
    for one, other in KINDS:
        sines = [lambda x, f=f: f(x, y).sin().sum() for f in (one, other)]
        torch.testing.assert_close(*[vmap(f, (0, None))(several, y) for f in (one, other)])
        torch.testing.assert_close(*[vmap(grad(f))(several) for f in sines])
        torch.testing.assert_close(*[hessian(f)(x) for f in sines])
        torch.testing.assert_close(*[jvp(f, (x, y), (y[:1] + x, y))[1] for f in (one, other)])


@pytest.mark.parametrize("coordinates", [0, 1, 3, distances.SHORT + 1])
def test_traced(coordinates: int) -> None:
    """Of few coordinates one by one; the slope of a distance that is 0 is 0."""
    x, y = (torch.randn(n, coordinates, dtype=torch.float64).requires_grad_() for n in (4, 5))
    with torch.no_grad():
        x[1] = y[2]
    for one, other in KINDS:
        traced = torch.compile(lambda x, y, f=one: f(x, y), backend="aot_eager", fullgraph=True)
        found, expected = traced(x, y), other(x, y)
        torch.testing.assert_close(found, expected)
        slopes = torch.randn_like(expected)
        found_slopes, expected_slopes = (torch.autograd.grad(f, (x, y), slopes) for f in (found, expected))
        torch.testing.assert_close(found_slopes, expected_slopes)


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("sizes", [((2, 1, 4), (3, 5)), ((4,), (2, 5)), ((1,), (1,)), ((0,), (5,))])
def test_traced_slopes(sizes: tuple[tuple[int, ...], tuple[int, ...]], wanted: tuple[bool, bool]) -> None:
    """Of batches that are broadcast, and of one side alone."""
    points = [torch.randn(*size, 3, dtype=torch.float64) for size in sizes]
    given = [one for one, asked in zip(points, wanted, strict=True) if asked]
    for one in given:
        one.requires_grad_()
    x, y = points
    traced = torch.compile(distances.square_distances, backend="aot_eager", fullgraph=True)
    found, expected = traced(x, y.mT), (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1)
    torch.testing.assert_close(found, expected)
    slopes = torch.randn_like(expected)
    torch.testing.assert_close(*(torch.autograd.grad(f, given, slopes) for f in (found, expected)))


def test_traced_under_a_transform() -> None:
    x, y = _points()
    sines = grad(lambda x: SQUARES(x, y).sin().sum())
    for transform in (vmap(SQUARES, (0, None)), vmap(lambda x, y: sines(x), (0, None))):
        traced = torch.compile(transform, backend="aot_eager")
        several = torch.stack([x, 2 * x])
        torch.testing.assert_close(traced(several, y), transform(several, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_precisions(dtype: torch.dtype) -> None:
    x, y = (one.to(dtype) for one in _points())
    found = SQUARES(x, y)
    assert found.dtype is dtype
    torch.testing.assert_close(found, _written_out(x, y), rtol=2e-2, atol=1e-2)


def test_digits_are_kept_far_from_0() -> None:
    x, y = (one.float() + 4096 for one in _points())
    torch.testing.assert_close(SQUARES(x, y), _written_out(x, y), rtol=1e-5, atol=0)


def test_as_a_product_they_keep_digits_too_where_all_points_are_far_from_0() -> None:
    fast = nl.compile("def f(X[i, d], Y[j, d]) -> [i, j] = sum[d]((X - Y) ^ 2)", numerics="fast")
    x, y = (one.float() + 4096 for one in _points())
    torch.testing.assert_close(fast(x, y), _written_out(x, y), rtol=1e-4, atol=1e-4)
    x, y = _points(slopes=True)
    assert torch.autograd.gradcheck(fast, (x, y))
    with torch.no_grad():
        y[0, 0] = torch.inf
        torch.testing.assert_close(fast(x, y)[:, 1:], _written_out(x, y)[:, 1:])


def test_differences_are_not_held() -> None:
    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        found = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            made = func(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                self.found = max(self.found, made.numel())
            return made

    for function in (SQUARES, DISTANCES, MAGNITUDES):
        x, y = (torch.randn(50, 30, requires_grad=True) for _ in range(2))
        with Largest() as seen:
            function(x, y).sum().backward()
        assert seen.found <= 2500


SIZES = {
    "few": (5, 4, 3),
    "one block": (70, 40, 3),
    "many blocks": (700, 400, 2),
    "many coordinates": (50, 40, 30),
    "no coordinates": (5, 4, 0),
    "no points": (0, 4, 3),
    "no others": (5, 0, 3),
    "one of each": (1, 1, 1),
    "a long row": (2, 140_000, 1),
}


@pytest.mark.parametrize("batch", [(), (2,), (0,)])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_pulls(sizes: tuple[int, int, int], batch: tuple[int, ...]) -> None:
    """Sums of weighted differences, in whatever pieces, of weights in whatever layout."""
    n, m, d = sizes
    source = torch.Generator().manual_seed(0)
    x, y, w = (torch.randn(*batch, *s, dtype=torch.float64, generator=source) for s in ((n, d), (m, d), (n, m)))
    of_x = 2 * (x * w.sum(-1, keepdim=True) - w @ y)
    of_y = 2 * (y * w.sum(-2).unsqueeze(-1) - w.mT @ x)
    for weights in (w, w.mT.contiguous().mT):
        for to_x, to_y in ((True, True), (True, False), (False, True)):
            found = pulls(x, y, weights, to_x, to_y)
            for one, wanted, asked in zip(found, (of_x, of_y), (to_x, to_y), strict=True):
                assert one.shape == wanted.shape
                if asked:
                    torch.testing.assert_close(one, wanted)


@pytest.mark.parametrize("batch", [(), (2,), (0,)])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_pairs(sizes: tuple[int, int, int], batch: tuple[int, ...]) -> None:
    """In whatever pieces: single and double precision, near 0 and far from it, and what is no number."""
    n, m, d = sizes
    source = torch.Generator().manual_seed(0)
    x, y = (torch.randn(*batch, *s, generator=source) + 4096 for s in ((n, d), (m, d)))
    if x.numel() and y.numel():
        x.view(-1)[0], x.view(-1)[-1], y.view(-1)[-1] = torch.inf, torch.nan, -torch.inf
    for points in ((x, y), (x.double(), y.double()), (x.mT.contiguous().mT, y)):
        squares = torch.stack([(points[0][..., k, None] - points[1][..., None, :, k]) ** 2 for k in range(d)] or
                              [points[0].new_zeros(*batch, n, m)]).sum(0)  # fmt: skip
        torch.testing.assert_close(pairs.squares(*points), squares, equal_nan=True)
        torch.testing.assert_close(pairs.distances(*points), squares.sqrt(), equal_nan=True)
        magnitudes = (points[0].unsqueeze(-2) - points[1].unsqueeze(-3)).abs().sum(-1)
        torch.testing.assert_close(pairs.magnitudes(*points), magnitudes, equal_nan=True)


@pytest.mark.parametrize("batch", [(), (2,), (0,)])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_signed_pulls(sizes: tuple[int, int, int], batch: tuple[int, ...]) -> None:
    """As torch has them of the text: 0 where points are the same, infinitely far, or no numbers."""
    n, m, d = sizes
    source = torch.Generator().manual_seed(0)
    x, y, w = (torch.randn(*batch, *s, dtype=torch.float64, generator=source) for s in ((n, d), (m, d), (n, m)))
    special = x.clone(), y.clone(), w.clone()
    if x.numel() and y.numel():
        special[0].view(-1)[0], special[0].view(-1)[-1], special[1].view(-1)[-1] = torch.inf, torch.nan, torch.inf
        special[2].view(-1)[0] = 0
    for a, b, weights in ((x, y, w), (x, x[..., :m, :].contiguous(), w[..., : min(n, m)]), special):
        signs = (a.unsqueeze(-2) - b.unsqueeze(-3)).sign() * weights.unsqueeze(-1)
        for to_x, to_y in ((True, True), (True, False), (False, True)):
            found = pairs.signed_pulls(a, b, weights, to_x, to_y)
            for one, wanted, asked in zip(found, (signs.sum(-2), -signs.sum(-3)), (to_x, to_y), strict=True):
                assert one.shape == wanted.shape
                if asked:
                    torch.testing.assert_close(one, wanted)


def test_infinite_and_undefined_points_pull_as_they_did() -> None:
    x = torch.tensor([[0.0, torch.inf], [1.0, 2.0]])
    y = torch.tensor([[3.0, 1.0], [torch.nan, 0.0]])
    w = torch.tensor([[1.0, 0.5], [2.0, 0.0]])
    left = (x[:, None] - y) * w[..., None]
    torch.testing.assert_close(pulls(x, y, w), (2 * left.sum(1), -2 * left.sum(0)), equal_nan=True)


@pytest.mark.parametrize("order", [1, 2])
def test_distances_at_0_and_beyond_all_numbers_are_as_norms(order: int) -> None:
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    y = torch.tensor([[0.0, 1.0], [1e200, 3.0], [torch.inf, 0.0], [torch.nan, 0.0]], dtype=torch.float64)
    found = []
    for function in (DISTANCES, _as_norms):
        here = x.clone().requires_grad_()
        value = function(here, y)
        (slope,) = torch.autograd.grad(value[:, :2].sum(), here, create_graph=True)
        further = torch.autograd.grad((slope**2).sum(), here)[0] if order == 2 else slope.detach()
        found.append((value.detach(), further[1]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)


def test_only_the_side_that_is_wanted() -> None:
    for wanted in (0, 1):
        points = _points()
        points[wanted].requires_grad_()
        weights = torch.arange(20.0, dtype=torch.float64).reshape(5, 4)
        for pair in KINDS:
            found, other = (torch.autograd.grad((f(*points) * weights).sum(), points[wanted])[0] for f in pair)
            torch.testing.assert_close(found, other)
