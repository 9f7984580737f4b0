"""Readings between grid points are what sums with hat functions are, at every place, with all their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels import sampling
from namedlayers.emit.kernels.sampling import sampled, sampled_on_grid
from tests.helpers import check, check_calls

R = np.random.default_rng(8)


def _places(*shape: int, size: int) -> np.ndarray:
    """Inside, outside, and at the edges; nowhere at a whole number, where slopes have sides."""
    return R.uniform(-1.6, size + 0.6, shape)


SIGNAL, IMAGE, VOLUME = R.normal(size=(3, 5)), R.normal(size=(2, 3, 5, 4)), R.normal(size=(3, 5, 4, 6))
U, V, W = _places(7, size=5), _places(7, size=4), _places(7, size=6)
HATS = "relu(1 - abs(u - i)) * relu(1 - abs(v - j))"
POINTS = "def f(X[c, i, j], u[p], v[p]) -> [c, p] = "


def _hats(u: np.ndarray, size: int) -> np.ndarray:
    return np.maximum(0, 1 - abs(u[..., None] - np.arange(size)))


AT_POINTS = np.einsum("cij,pi,pj->cp", IMAGE[0], _hats(U, 5), _hats(V, 4))
FORMULAS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "linear": (
        "def f(X[c, i], u[p]) -> [c, p] = sum[i](X * relu(1 - abs(u - i)))", {"X": SIGNAL, "u": U},
        SIGNAL @ _hats(U, 5).T,
    ),
    "linear, in batches, turned": (
        "def f(X[i, b], u[p, b]) -> [p, b] = X @[i] maximum(0, 1 - abs(i - u))",
        {"X": SIGNAL.T, "u": _places(7, 3, size=5)}, None,
    ),
    "bilinear": (
        f"{POINTS}sum[i, j](X * {HATS})", {"X": IMAGE[0], "u": U, "v": V}, AT_POINTS,
    ),
    "one axis after the other": (
        f"{POINTS}X @[i] relu(1 - abs(u - i)) @[j] relu(1 - abs(v - j))", {"X": IMAGE[0], "u": U, "v": V}, AT_POINTS,
    ),
    "channels last": (
        f"def f(X[j, i, c], u[p], v[p]) -> [p, c] = sum[i, j](X * {HATS})",
        {"X": IMAGE[0].T, "u": U, "v": V}, AT_POINTS.T,
    ),
    "a place for each image": (
        f"def f(X[b, c, i, j], u[b, y, x], v[y, b]) -> [b, c, y, x] = sum[i, j](X * {HATS})",
        {"X": IMAGE, "u": _places(2, 3, 4, size=5), "v": _places(3, 2, size=4)}, None,
    ),
    "an image for each place": (
        f"def f(X[p, i, j], u[p], v[p]) -> [p] = sum[i, j](X * {HATS})",
        {"X": R.normal(size=(7, 5, 4)), "u": U, "v": V}, None,
    ),
    "one place": (
        f"def f(X[i, j], u[], v[]) -> [] = sum[i, j](X * {HATS})", {"X": IMAGE[0, 0], "u": U[0], "v": V[0]}, None,
    ),
    "a grid": (
        f"def f(X[b, c, i, j], u[y], v[x]) -> [b, c, y, x] = sum[i, j](X * {HATS})", {"X": IMAGE, "u": U, "v": V},
        np.einsum("bcij,yi,xj->bcyx", IMAGE, _hats(U, 5), _hats(V, 4)),
    ),
    "an affine map": (
        f"""
def f(X[b, c, i, j]; A[b, two, three]) -> [b, c, y, x]:
    |y| = 6
    |x| = 5
    |two| = 2
    |three| = 3
    u = A[two = 0, three = 0] * y + A[two = 0, three = 1] * x + A[two = 0, three = 2]
    v = A[two = 1, three = 0] * y + A[two = 1, three = 1] * x + A[two = 1, three = 2]
    return sum[i, j](X * {HATS})
""",
        {"X": IMAGE, "A": R.normal(size=(2, 2, 3))}, None,
    ),
    "a flow": (
        f"""
def f(X[c, i, j], F[i, j], G[i, j]) -> [c, y, x]:
    u = (F + i)[i -> y, j -> x]
    v = (G + j)[i -> y, j -> x]
    return sum[i, j](X * {HATS})
""",
        {"X": IMAGE[0], "F": R.normal(size=(5, 4)), "G": R.normal(size=(5, 4))}, None,
    ),
    "shares of the axes": (
        "def f(X[c, i], u[p]) -> [c, p] = sum[i](X * relu(1 - abs((u + 1) * (|i| - 1) / 2 - i)))",
        {"X": SIGNAL, "u": _places(7, size=5) / 2 - 1.2}, None,
    ),
    "shares, and the axis scaled": (
        "def f(X[c, i], u[p]) -> [c, p] = sum[i](X * relu(1 - |i| * abs(u - i / |i|)))", {"X": SIGNAL, "u": U / 5},
        SIGNAL @ _hats(U, 5).T,
    ),
    "lower and moved": (
        "def f(X[c, i], u[p]) -> [c, p] = sum[i](X * relu(3 - 3 * abs(u - i - 0.5)) / 2)", {"X": SIGNAL, "u": U},
        1.5 * SIGNAL @ _hats(U - 0.5, 5).T,
    ),
    "trilinear": (
        "def f(X[c, i, j, k], u[p], v[p], w[p]) -> [p, c] ="
        " sum[i, j, k](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)) * relu(1 - abs(w - k)))",
        {"X": VOLUME, "u": U, "v": V, "w": W},
        np.einsum("cijk,pi,pj,pk->pc", VOLUME, _hats(U, 5), _hats(V, 4), _hats(W, 6)),
    ),
    "four axes": (
        "def f(X[c, i, j, k], u[p], v[p], w[p], r[p]) -> [p] = sum[c, i, j, k](X * relu(1 - abs(r - c))"
        " * relu(1 - abs(u - i)) * relu(1 - abs(v - j)) * relu(1 - abs(w - k)))",
        {"X": VOLUME, "u": U, "v": V, "w": W, "r": _places(7, size=3)}, None,
    ),
    "a place that lies along another one": (
        "def f(X[c, i, j], u[p, j], v[p]) -> [c, p] = sum[i, j](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)))",
        {"X": IMAGE[0], "u": _places(7, 4, size=5), "v": V}, None,
    ),
    "weights afterwards": (
        "def f(X[c, i, j], u[p, k], v[p, k]; W[o, c, k]) -> [o, p] ="
        " W @[c, k] sum[i, j](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)))",
        {"X": IMAGE[0], "u": _places(7, 2, size=5), "v": _places(7, 2, size=4), "W": R.normal(size=(2, 3, 2))}, None,
    ),
    "a mask on the image": (
        f"def f(X[c, i, j], M[i, j], u[p], v[p]) -> [c, p] = sum[i, j](M * X * {HATS})",
        {"X": IMAGE[0], "M": R.normal(size=(5, 4)), "u": U, "v": V}, None,
    ),
    "lines that are summed": (
        f"def f(X[i, j], u[s, t], v[s, t]) -> [s] = sum[t, i, j](X * {HATS})",
        {"X": IMAGE[0, 0], "u": _places(6, 4, size=5), "v": _places(6, 4, size=4)}, None,
    ),
    "single coordinates": (
        f"def f(X[c, i, j], u[p], v[p]) -> [c, p] = sum[i, j](X * {HATS})",
        {"X": IMAGE[0, :, :1, :1], "u": _places(7, size=1), "v": _places(7, size=1)}, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    check_calls("sampled", *FORMULAS[name])


@pytest.mark.parametrize("empty", ["c", "i", "j", "p"])
def test_empty_axes(empty: str) -> None:
    sizes = {"c": 2, "i": 3, "j": 4, "p": 5} | {empty: 0}
    given = {"X": R.normal(size=(sizes["c"], sizes["i"], sizes["j"])), "u": np.ones(sizes["p"]) / 3}
    check(f"{POINTS}sum[i, j](X * {HATS})", given | {"v": given["u"]}, np.zeros((sizes["c"], sizes["p"])))


UPSAMPLED = """
def f(X[b, c, i, j]; k = 2) -> [b, c, y, x]:
    |y| = k * |i|
    |x| = k * |j|
    u = clip((index[y] + 0.5) * |i| / |y| - 0.5, 0, |i| - 1)
    v = clip((index[x] + 0.5) * |j| / |x| - 0.5, 0, |j| - 1)
    return sum[i, j](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)))
"""


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_more_places_than_pixels_is_interpolate(scale: int) -> None:
    image = torch.tensor(IMAGE)
    function = nl.compile(UPSAMPLED)
    found = function(image, k=scale)
    assert "sampled_on_grid" in function.code
    wanted = torch.nn.functional.interpolate(image, scale_factor=scale, mode="bilinear")
    torch.testing.assert_close(found, wanted)


NOT = {
    "a wider hat": ("sum[i](X * relu(1 - abs(u - i) / 2))", "the weights are not"),
    "a hat that is curved": ("sum[i](X * relu(1 - (u - i) ^ 2))", "the weights are not"),
    "a box": ("sum[i](X * where(abs(u - i) < 0.5, 1.0, 0))", "the weights are not"),
    "one side is cut off": ("sum[i](X * where(u > i, relu(1 - abs(u - i)), 0))", "the weights are not"),
    "a floor below": ("sum[i](X * maximum(0.1, 1 - abs(u - i)))", ""),
    "not cut off": ("sum[i](X * (1 - abs(u - i)))", ""),
    "places that depend on the signal": ("sum[i](X * u * relu(1 - abs(X - i)))", ""),
    "twice the axis": ("sum[i](X * relu(1 - abs(u - 2 * i)))", ""),
    "two axes at one place": ("sum[i](X * relu(1 - abs(u - i)) * relu(1 - abs(2 * u - i)))", None),
    "a far constant": ("sum[i](X * where(abs(u - i) < 1, 1 - abs(u - i), where(abs(u - i) > 40, 1, 0)))", ""),
}


@pytest.mark.parametrize("name", NOT)
def test_what_is_none(name: str) -> None:
    body, reason = NOT[name]
    function = nl.compile(f"def f(X[c, i], u[p, c]) -> [c, p] = {body}")
    assert isinstance(function, nl.Function)
    given = {"X": SIGNAL, "u": _places(7, 3, size=5)}
    if reason is not None:
        assert "sampled" not in function.code, function.code
        assert reason in function.explain()
    check(f"def f(X[c, i], u[p, c]) -> [c, p] = {body}", given, function.reference(**given).numpy())


def test_a_table_that_is_summed_over_its_places_is_a_product() -> None:
    function = nl.compile("def f(x[b, k]; C[o, k, g]) -> [b, o] = sum[k, g](C * relu(1 - abs(x - g)))")
    assert "sampled" not in function.code and "is summed over another one" in function.explain()


def test_where_it_is_and_is_not_said() -> None:
    function = nl.compile(f"{POINTS}sum[i, j](X * {HATS})")
    assert "sampling between grid points (algebraic)" in function.explain()
    assert "sampled" not in nl.compile(f"{POINTS}sum[i, j](X * {HATS})", numerics="strict").code


# --- the kernels ------------------------------------------------------------------------------------------------------


def _written(x: Tensor, *places: Tensor) -> Tensor:
    """By all weights, of places [n, points]."""
    letters = "ijk"[: len(places)]
    weights = [
        torch.relu(1 - (u.unsqueeze(-1) - torch.arange(n)).abs()) for u, n in zip(places, x.shape[2:], strict=True)
    ]
    return torch.einsum(f"nc{letters},{','.join(f'np{one}' for one in letters)}->ncp", x, *weights)


def _given(dims: int, n: int = 2, c: int = 3, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(dims)
    sizes = (5, 4, 6)[:dims]
    x = torch.randn(n, c, *sizes, dtype=torch.float64)
    places = [torch.rand(n, 9, dtype=torch.float64) * (size + 2.2) - 1.6 for size in sizes]
    return [one.to(dtype).requires_grad_() for one in (x, *places)]


DIMS = pytest.mark.parametrize("dims", [1, 2, 3])


@DIMS
@pytest.mark.parametrize("n", [1, 2])
def test_by_the_kernel_and_by_reading(dims: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of few channels at a time."""
    given = _given(dims, n, 16)
    wanted = _written(*given)
    slope = torch.randn_like(wanted)
    slopes = torch.autograd.grad(wanted, given, slope)
    for rounding, many in ((sampling.ROUNDING, 1), (sampling.ROUNDING, 1 << 20), (0.0, 1)):
        monkeypatch.setattr(sampling, "ROUNDING", rounding)
        monkeypatch.setattr(sampling, "MANY", many)
        found = sampled(*given)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(sampled(*(one.detach() for one in given)), wanted)
        torch.testing.assert_close(torch.autograd.grad(found, given, slope), slopes)


@DIMS
@pytest.mark.parametrize("short", [False, True])
def test_on_a_grid(dims: int, short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given = _given(dims, 1, 8)
    given = [given[0], *(one[0, : 3 + k].detach().requires_grad_() for k, one in enumerate(given[1:]))]
    monkeypatch.setattr(sampling, "_is_short", lambda x, places: short)
    found = sampled_on_grid(*given)
    grid = [one.reshape(1, -1) for one in torch.meshgrid(*given[1:], indexing="ij")]
    wanted = _written(given[0], *grid).view_as(found)
    slope = torch.randn_like(wanted)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, given, slope), torch.autograd.grad(wanted, given, slope))


@DIMS
def test_slopes_of_slopes_and_transforms(dims: int) -> None:
    given = _given(dims)
    assert torch.autograd.gradcheck(sampled, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(sampled, given, fast_mode=True)
    plain = [one.detach() for one in given]
    tangent = torch.func.jvp(sampled, tuple(plain), tuple(plain))[1]
    slope = torch.randn_like(tangent)
    back = torch.func.vjp(sampled, *plain)[1]
    paired = sum((a * b).sum() for a, b in zip(back(slope), plain, strict=True))
    torch.testing.assert_close((tangent * slope).sum(), paired)
    lifted = torch.func.vmap(sampled)(*(torch.stack([one, one + 0.01]) for one in plain))
    torch.testing.assert_close(lifted[1], sampled(*(one + 0.01 for one in plain)))
    found, slopes = sampled(*given), torch.randn(3, 2, 3, 9, dtype=torch.float64)
    several = torch.autograd.grad(found, given, slopes, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(found, given, one, retain_graph=True) for one in slopes]
    for k, one in enumerate(several):
        torch.testing.assert_close(one, torch.stack([slope[k] for slope in each]))


ODD = [0.0, 1.0, 4.0, 3.0, -1.0, 5.0, 1e30, -1e30, torch.inf, -torch.inf, torch.nan]
"""Whole numbers, both ends and beyond, infinite ones, none."""


@DIMS
@pytest.mark.parametrize("size", [1, 5, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_odd_places(dims: int, size: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, *([size] * dims), dtype=dtype)
    ways = {k: [torch.full((1, len(ODD)), 0.3, dtype=dtype) for _ in range(dims)] for k in range(dims)}
    for k, places in ways.items():
        places[k] = torch.tensor([ODD], dtype=dtype)
        wanted = _written(x, *places)
        for rounding in (sampling.ROUNDING, 0.0):
            monkeypatch.setattr(sampling, "ROUNDING", rounding)
            torch.testing.assert_close(sampled(x, *places), wanted, equal_nan=True, rtol=1e-5, atol=1e-5)
            lifted = torch.func.vmap(sampled)(x.unsqueeze(0), *(one.unsqueeze(0) for one in places))
            if dims < 3 or rounding == 0.0:
                torch.testing.assert_close(lifted[0], wanted, equal_nan=True, rtol=1e-5, atol=1e-5)
    lines = [torch.tensor(ODD, dtype=dtype), *(torch.tensor([0.3], dtype=dtype) for _ in range(dims - 1))]
    found = sampled_on_grid(x, *lines).flatten(2)
    places = [lines[0].unsqueeze(0), *(one.expand(1, len(ODD)) for one in lines[1:])]
    torch.testing.assert_close(found, _written(x, *places), equal_nan=True, rtol=1e-5, atol=1e-5)


def test_what_is_infinite_elsewhere_is_not_read() -> None:
    x = torch.tensor([[[torch.inf, 1.0, 2.0, torch.nan, -torch.inf]]])
    found = sampled(x, torch.tensor([[1.25, 0.5, 3.5]]))
    torch.testing.assert_close(found, torch.tensor([[[1.25, torch.inf, torch.nan]]]), equal_nan=True)


@pytest.mark.parametrize("function", [sampled, sampled_on_grid])
@pytest.mark.parametrize("rounding", [sampling.ROUNDING, 0.0])
@pytest.mark.parametrize("short", [False, True])
def test_the_slope_at_a_whole_number_is_that_behind_it(
    function: Callable[..., Tensor], rounding: float, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "ROUNDING", rounding)
    monkeypatch.setattr(sampling, "_is_short", lambda x, places: short)
    x = torch.tensor([[[1.0, 3.0, 4.0, 8.0]]])
    place = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0], requires_grad=True)
    found = function(x, place.unsqueeze(0) if function is sampled else place)
    (slope,) = torch.autograd.grad(found.sum(), place)
    assert slope.tolist() == [0.0, 1.0, 2.0, 1.0, 4.0, -8.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [1000, 1025, 100_000])
def test_digits_along_axes(size: int) -> None:
    """Long ones lose none; others what coordinates at their ends lack."""
    torch.manual_seed(0)
    x, places = torch.randn(1, 2, size), torch.rand(1, 4000) * size
    wanted = _written(x.double()[..., : min(size, 2000)], places.double().clamp(max=1999.5)) if size < 2000 else None
    if wanted is None:
        below = places.double().floor()
        wide = torch.nn.functional.pad(x.double(), (0, 2))
        index, share = below.long(), places.double() - below
        wanted = wide[0, :, index[0]] * (1 - share) + wide[0, :, index[0] + 1] * share
        wanted = wanted.unsqueeze(0)
    error = (sampled(x, places).double() - wanted).abs().max().item()
    assert error < (2.0**-13 if size <= 1024 else 2.0**-20) * 8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@DIMS
def test_halves(dims: int, dtype: torch.dtype) -> None:
    given = [one.detach() for one in _given(dims, dtype=dtype)]
    found = sampled(*given)
    assert found.dtype is dtype
    torch.testing.assert_close(found.double(), _written(*(one.double() for one in given)), rtol=1e-2, atol=1e-2)


@DIMS
def test_compiled(dims: int) -> None:
    given = _given(dims)
    found = torch.compile(sampled, backend="aot_eager", fullgraph=True)(*given)
    torch.testing.assert_close(found, sampled(*given))
    slope = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, given, slope), torch.autograd.grad(sampled(*given), given, slope)
    )


@DIMS
@pytest.mark.parametrize("dynamic", [False, True])
def test_short_grids_are_products_for_a_compiler_too(dims: int, dynamic: bool) -> None:
    """It writes out what the kernel does for each place, and that takes far longer."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(sampled_on_grid, backend=backend, fullgraph=True, dynamic=dynamic)
    for size in (5, 6):
        torch.manual_seed(size)
        x = torch.randn(1, 64, *([size] * dims), dtype=torch.float64, requires_grad=True)
        places = [torch.rand(7 + k, dtype=torch.float64).mul(8).sub(1).requires_grad_() for k in range(dims)]
        found, wanted = compiled(x, *places), sampled_on_grid(x, *places)
        slope = torch.randn_like(wanted)
        torch.testing.assert_close(found, wanted)
        slopes = (torch.autograd.grad(one, (x, *places), slope) for one in (found, wanted))
        torch.testing.assert_close(*slopes)
    assert len(graphs) == (1 if dynamic else 2)
    assert not any("grid_sampler" in str(node.target) for graph in graphs for node in graph.graph.nodes)
    assert any("matmul" in str(node.target) for graph in graphs for node in graph.graph.nodes)


def test_what_is_exported_for_any_length_asks_no_size() -> None:
    class Larger(torch.nn.Module):
        def forward(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
            return sampled_on_grid(x, u, v)

    given = (torch.randn(1, 4, 5, 6), torch.rand(7) * 5, torch.rand(8) * 6)
    rows, columns, y, x = (torch.export.Dim(name, min=2, max=1000) for name in ("rows", "columns", "y", "x"))
    program = torch.export.export(Larger(), given, dynamic_shapes=({2: rows, 3: columns}, {0: y}, {0: x}))
    other = (torch.randn(1, 4, 30, 20), torch.rand(3) * 30, torch.rand(5) * 20)
    torch.testing.assert_close(program.module()(*other), sampled_on_grid(*other))
