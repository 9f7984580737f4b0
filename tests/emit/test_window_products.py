"""Products with windows, tap by tap, are what they are of the windows: values, all derivatives, any order of axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels import window_products
from namedlayers.emit.kernels.window_products import window_product
from tests.helpers import check_calls

R = np.random.default_rng(4)
Sizes = tuple[int, ...]
PLANE = [(2, 2, 4, 2, 1), (3, 3, 3, 1, 2)]
"""Of axes 2 and 3: taps, places, strides, dilations."""

SHAPES: dict[str, tuple[Sizes, Sizes, list[tuple[int, int, int, int, int]], Sizes]] = {
    "weights of each place": ((2, 3, 9, 8), (2, 3, 2, 1, 4, 3), PLANE, (0, 1)),
    "several for each": ((2, 1, 9, 8), (2, 3, 2, 5, 4, 3), PLANE, (0, 1)),
    "taps stay": ((2, 3, 9, 8), (1, 1, 2, 3, 4, 3), PLANE, (3,)),
    "taps stay, of weights": ((2, 3, 9, 8), (2, 3, 2, 3, 4, 3), PLANE, (3,)),
    "one axis": ((9, 4), (3, 7, 1), [(0, 3, 7, 1, 1)], (0,)),
    "one axis, taps stay": ((9, 4), (1, 7, 4), [(0, 3, 7, 1, 1)], (2,)),
    "one tap": ((7, 4), (1, 7, 4), [(0, 1, 7, 1, 1)], (0,)),
    "nothing else": ((9, 0), (3, 7, 0), [(0, 3, 7, 1, 1)], (0,)),
    "nothing to sum": ((9, 0), (1, 7, 0), [(0, 3, 7, 1, 1)], (2,)),
    "no places": ((2, 4), (3, 0, 4), [(0, 3, 0, 1, 1)], (0,)),
    "no taps": ((9, 4), (0, 9, 4), [(0, 0, 9, 1, 1)], (0,)),
}


@pytest.fixture(params=[0, 10**9], ids=["tap by tap", "at once"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_products, "FEW", request.param)


def _given(name: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    x, w = (torch.randn(shape, dtype=dtype, generator=source).requires_grad_() for shape in SHAPES[name][:2])
    return x, w


def _found(x: Tensor, w: Tensor, name: str) -> Tensor:
    _, _, form, gone = SHAPES[name]
    return window_product(x, w, form, gone, [k for k in range(len(form) + x.dim()) if k not in gone])


def _by_definition(x: Tensor, w: Tensor, name: str) -> Tensor:
    _, _, form, gone = SHAPES[name]
    for k, (dim, taps, places, stride, dilation) in enumerate(form):
        at = torch.arange(places)[:, None] * stride + torch.arange(taps) * dilation
        x = x.index_select(dim + k, at.flatten()).unflatten(dim + k, (places, taps)).movedim(dim + k + 1, k)
    return (x * w).sum(gone)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", SHAPES)
def test_values_and_slopes(name: str) -> None:
    given = _given(name)
    found, expected = _found(*given, name), _by_definition(*given, name)
    slope = torch.randn_like(expected)
    got, want = (torch.autograd.grad(one, given, slope) for one in (found, expected))
    torch.testing.assert_close([found, *got], [expected, *want])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", ["weights of each place", "several for each", "taps stay", "taps stay, of weights"])
def test_derivatives_of_every_kind(name: str) -> None:
    def squares(x: Tensor, w: Tensor) -> Tensor:
        return _found(x, w, name) ** 2

    given = _given(name)
    assert torch.autograd.gradcheck(squares, given, check_batched_grad=True, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(squares, given, fast_mode=True)


@pytest.mark.usefixtures("way")
def test_transforms() -> None:
    x, w = (one.detach() for one in _given("weights of each place"))
    several = torch.stack([x, 2 * x])
    lifted = torch.func.vmap(_found, (0, None, None))(several, w, "weights of each place")
    torch.testing.assert_close(lifted, torch.stack([_found(one, w, "weights of each place") for one in several]))
    slopes = torch.func.vmap(torch.func.grad(lambda x: _found(x, w, "weights of each place").sum()))(several)
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_added_up_in_single(dtype: torch.dtype) -> None:
    x, w = torch.ones(3000, 64, dtype=dtype), torch.full((1500, 1501, 1), 2**-4, dtype=dtype)
    found = window_product(x, w, [(0, 1500, 1501, 1, 1)], [0], [1, 2])
    torch.testing.assert_close(found, torch.full((1501, 64), 1500 / 16, dtype=dtype))


@pytest.mark.usefixtures("way")
def test_infinities_stay_where_they_are_read() -> None:
    x, w = torch.zeros(9, 4), torch.ones(3, 7, 1)
    x[4, 1], x[0, 2] = torch.inf, torch.nan
    found = window_product(x, w, [(0, 3, 7, 1, 1)], [0], [1, 2])
    assert found.isinf().nonzero().tolist() == [[2, 1], [3, 1], [4, 1]]
    assert found.isnan().nonzero().tolist() == [[0, 2]]


def test_slopes_lie_as_what_they_are_of() -> None:
    x, w = torch.randn(64, 40).t().requires_grad_(), torch.randn(38, 64, 3).requires_grad_()
    found = window_product(x, w.permute(2, 0, 1), [(0, 3, 38, 1, 1)], [0], [1, 2])
    assert [one.stride() for one in torch.autograd.grad(found.sum(), (x, w))] == [x.stride(), w.stride()]


X, W = R.normal(size=(2, 3, 30, 20)), R.normal(size=(3, 3, 3, 30, 20))
Q = R.normal(size=(2, 3, 30, 20))
TEXTS = {
    "involution": (
        "X[g, c, x, y], W[g, k, l, x, y]", "[g, c, x, y]", "W @[k, l] unroll[x, y, k, l](X; padding = 1)",
        {"X": X, "W": W[:2]},
    ),
    "weights first, channels last": (
        "X[x, y, c], W[l, y, k, x]", "[c, y, x]", "sum[k, l](W * unroll[x, y, k, l](X; padding = 1))",
        {"X": X[0].T, "W": W[0].transpose(0, 2, 1, 3)},
    ),
    "dilated": (
        "X[c, x, y], W[k, x, y]", "[x, c, y]", "W @[k] unroll[y, k](X; padding = 2, dilation = 2)",
        {"X": X[0], "W": W[0, 0]},
    ),
    "strided, uneven": (
        "X[c, x, y], W[k, q, y]", "[q, c, y]", "sum[k](W * pad[x](X; before = 3)[x = 2 * q + k])",
        {"X": X[0], "W": W[0, 0, :, :15]},
    ),
    "correlation": (
        "X[b, c, x, y], Q[b, c, x, y], T[k, l]", "[b, k, l, x, y]",
        "mean[c](Q * unroll[x, y, k, l](X; padding = 1)) * T", {"X": X, "Q": Q, "T": W[0, :, :, 0, 0]},
    ),
    "attention to neighbours": (
        "X[h, c, x, y], Q[h, c, x, y]; T[h, k, l]", "[h, x, y, c]",
        "softmax[k, l](Q @[c] unroll[x, y, k, l](X; padding = 1) + T) @[k, l] unroll[x, y, k, l](X; padding = 1)",
        {"X": X, "Q": Q, "T": W[:2, :, :, 0, 0]},
    ),
    "bilateral filter": (
        "X[x, y]; T[k, l]", "[y, x]",
        "sum[k, l](T * exp(-(unroll[x, y, k, l](X; padding = 1) - X) ^ 2) * unroll[x, y, k, l](X; padding = 1))",
        {"X": X[0, 0], "T": W[0, :, :, 0, 0]},
    ),
    "mapped before and after": (
        "X[c, x], W[k, x]; A[d, c], B[o, d]", "[x, o]", "B @[d] (W @[k] unroll[x, k](A @[c] X; padding = 1))",
        {"X": X[0, :, :, 0], "W": W[0, 0, :, :, 0], "A": R.normal(size=(4, 3)), "B": R.normal(size=(5, 4))},
    ),
    "one channel": (
        "X[c, x], W[k, x]", "[c, x]", "W @[k] unroll[x, k](X; padding = 1)",
        {"X": X[0, :1, :, 0], "W": W[0, 0, :, :, 0]},
    ),
    "no channel": (
        "X[c, x], W[k, x]", "[c, x]", "W @[k] unroll[x, k](X; padding = 1)",
        {"X": X[0, :0, :, 0], "W": W[0, 0, :, :, 0]},
    ),
}  # fmt: skip


def _text(name: str) -> str:
    inputs, result, body, _ = TEXTS[name]
    return f"def f({inputs}) -> {result} = {body}"


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", TEXTS)
def test_it_is_the_same(name: str) -> None:
    check_calls("window_product", _text(name), TEXTS[name][-1], None)


SPLIT = {
    "members of groups": (
        "X[h, c], Y[n, c, s]", "[n, k, s]", "X[h -> (n, k = 4)] @[c] Y", {"X": (8, 3), "Y": (2, 3, 5)},
    ),
    "summed over": ("X[h, c], Y[n, k, s]", "[n, c, s]", "X[h -> (n, k = 4)] @[k] Y", {"X": (8, 3), "Y": (2, 4, 5)}),
    "side by side": ("X[h, c], Y[n, c, s]", "[n, k, s]", "X[h -> (k, n = 4)] @[c] Y", {"X": (8, 3), "Y": (4, 3, 5)}),
    "with gaps": (
        "X[h, c], Y[n, c, s]", "[n, k, s]", "X[h = 4 * n + index[k = 2]] @[c] Y", {"X": (8, 3), "Y": (2, 3, 5)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPLIT)
def test_what_does_not_overlap_is_a_view(name: str) -> None:
    inputs, result, body, shapes = SPLIT[name]
    arrays = {key: R.normal(size=shape) for key, shape in shapes.items()}
    function = nl.compile(f"def f({inputs}) -> {result} = {body}")
    expected = function.reference(**arrays).numpy()
    np.testing.assert_allclose(function(**{k: torch.tensor(v) for k, v in arrays.items()}), expected, rtol=1e-10)
    assert "window_product" not in function.code


@pytest.mark.parametrize("name", ["involution", "correlation", "attention to neighbours"])
def test_under_autocast(name: str) -> None:
    function = nl.compile(_text(name))
    given = [torch.tensor(one, dtype=torch.float32, requires_grad=True) for one in TEXTS[name][-1].values()]
    expected = function(*given)
    with torch.autocast("cpu", torch.bfloat16):
        found = function(*given)
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    torch.autograd.grad(found.float().sum(), given)


@pytest.mark.parametrize("most", [0, 64], ids=["by number", "written out"])
@pytest.mark.parametrize("name", ["involution", "correlation", "strided, uneven"])
def test_a_compiler_traces_it(name: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_products, "MOST_TAPS", most)
    function = nl.compile(_text(name))
    given = [torch.tensor(one, requires_grad=True) for one in TEXTS[name][-1].values()]
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    expected, found = function(*given), compiled(*given)
    slope = torch.randn_like(expected)
    got, want = (torch.autograd.grad(one, given, slope) for one in (found, expected))
    torch.testing.assert_close([found, *got], [expected, *want])
