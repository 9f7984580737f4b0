"""Convolutions with kernels as long as the sequence: which spellings transforms make, and that they are right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels import long_convolution as kernel
from namedlayers.emit.kernels.long_convolution import long_convolution

XH = "X[b, c, t], H[c, t]"
LONG = {
    "of steps before": (XH, "[b, c, t] = sum[lag](H[t -> lag] * X[t = t - lag; fill = 0])"),
    "by positions": (XH, "[b, c, t] = sum[s](X[t -> s] * H[t = t - s; fill = 0])"),
    "of steps behind": (XH, "[b, c, t] = sum[lag](H[t -> lag] * X[t = t + lag; fill = 0])"),
    "around": (XH, "[b, c, t] = sum[s](X[t -> s] * H[t = (t - s) % |t|])"),
    "around, by steps": (XH, "[b, c, t] = sum[lag](H[t -> lag] * X[t = (t - lag) % |t|])"),
    "correlated around": (XH, "[b, c, t] = H[t -> lag] @[lag] X[t = (t + lag) % |t|]"),
    "around, a kernel that is read there": (XH, "[b, c, t] = sum[s](H[t -> s] * X[t = (t - s + 1) % |t|])"),
    "a kernel of its own length": ("X[b, t, c], H[lag, c]", "[b, t, c] = sum[lag](H * X[t = t - lag; fill = 0])"),
    "windows": ("X[b, c, t], H[c, lag]", "[b, c, t] = H @[lag] unroll[t, lag](X; padding = (|lag| - 1, 0))"),
    "windows within": ("X[b, c, t], H[c, lag]", "[b, c, t'] = (H @[lag] unroll[t, lag](X))[t -> t']"),
    "a bias": ("X[b, c, t], H[c, lag], B[c]", "[b, c, t] = sum[lag](H * X[t = t - lag; fill = 0]) + B"),
    "several kernels": ("X[b, c, t], H[o, c, lag]", "[b, o, c, t] = sum[lag](H * X[t = t - lag; fill = 0])"),
    "one kernel for all": ("X[b, c, t], H[lag]", "[b, c, t] = sum[lag](H * X[t = t - lag; fill = 0])"),
    "one sequence": ("X[t], H[lag]", "[t] = sum[lag](H * X[t = t - lag; fill = 0])"),
    "weights of two": ("X[b, c, t], H[c, lag], W[lag]", "[b, c, t] = sum[lag](H * W * X[t = t - lag; fill = 0])"),
}
NOT = {
    "every second place": ("X[c, t], H[c, lag]", "[c, t] = sum[lag](H * X[t = t - 2 * lag; fill = 0])"),
    "a short kernel": ("X[c, t], H[c, lag = 3]", "[c, t] = sum[lag](H * X[t = t - lag; fill = 0])"),
    "channels that are mixed": ("X[c, t], H[c, lag]", "[t] = sum[c, lag](H * X[t = t - lag; fill = 0])"),
    "images": ("X[t, u], H[k, l]", "[v, w] = (H @[k, l] unroll[t, u, k, l](X))[t -> v, u -> w]"),
}
SIZES = {"b": 2, "c": 3, "t": 40, "lag": 34, "o": 2, "u": 36, "k": 33, "l": 34}


def _text(given: str, body: str) -> str:
    return f"def f({given}) -> {body}"


def _inputs(given: str, sizes: dict[str, int], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    shapes = [one.split("[")[1].split("]")[0].split(", ") for one in given.replace("],", "]|").split("|")]
    return [torch.randn([sizes[axis.split(" = ")[0]] for axis in shape], dtype=dtype) for shape in shapes]


@pytest.fixture(autouse=True)
def _transforms_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken for short sequences, too."""
    monkeypatch.setattr(kernel, "PRODUCTS", 0)


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("t", [40, 41, 37, 33, 2, 1, 0])
def test_values(name: str, t: int) -> None:
    given, body = LONG[name]
    sizes = SIZES | {"t": t} if name != "windows within" else SIZES | {"t": t + 33}
    inputs = _inputs(given, sizes)
    fast, strict = (nl.compile(_text(given, body), numerics=one) for one in ("fast", "strict"))
    found = fast(*inputs)
    assert "long_convolution" in fast.code
    torch.testing.assert_close(found, strict(*inputs), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NOT)
def test_what_is_none(name: str) -> None:
    f = nl.compile(_text(*NOT[name]), numerics="fast")
    f(*_inputs(NOT[name][0], SIZES | {"lag": 3}))
    assert "long_convolution" not in f.code


def test_digits_are_lost_by_leave_only() -> None:
    text = _text(*LONG["of steps before"])
    f = nl.compile(text)
    inputs = _inputs(LONG["of steps before"][0], SIZES)
    f(*inputs)
    assert "long_convolution" not in f.code and "long convolution by transforms" in str(f.explain())


@pytest.mark.parametrize("name", LONG)
def test_slopes(name: str) -> None:
    given, body = LONG[name]
    f = nl.compile(_text(given, body), numerics="fast")
    inputs = [x.requires_grad_() for x in _inputs(given, SIZES | {"b": 1, "c": 2, "t": 33, "lag": 33})]
    assert torch.autograd.gradcheck(f, inputs, check_batched_grad=True)
    if name in ("of steps before", "correlated around"):
        assert torch.autograd.gradgradcheck(f, inputs, fast_mode=True)


@pytest.mark.parametrize("name", LONG)
def test_transforms_of_functions(name: str) -> None:
    given, body = LONG[name]
    f = nl.compile(_text(given, body), numerics="fast")
    inputs = _inputs(given, SIZES)
    first = torch.stack((inputs[0], 2 * inputs[0]))
    expected = torch.stack([f(x, *inputs[1:]) for x in first])
    torch.testing.assert_close(torch.func.vmap(lambda x: f(x, *inputs[1:]))(first), expected)
    slopes = torch.func.grad(lambda x: f(x, *inputs[1:]).square().sum())(inputs[0])
    x = inputs[0].clone().requires_grad_()
    torch.testing.assert_close(slopes, torch.autograd.grad(f(x, *inputs[1:]).square().sum(), x)[0])
    _, tangents = torch.func.jvp(lambda x: f(x, *inputs[1:]), (inputs[0],), (inputs[0],))
    bias = f(torch.zeros_like(inputs[0]), *inputs[1:])
    torch.testing.assert_close(tangents, f(*inputs) - bias)


@pytest.mark.parametrize("name", ["of steps before", "around", "several kernels"])
def test_traced(name: str) -> None:
    given, body = LONG[name]
    f = nl.compile(_text(given, body), numerics="fast")
    torch._dynamo.reset()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    inputs = [x.requires_grad_() for x in _inputs(given, SIZES)]
    plain, traced = f(*inputs), compiled(*inputs)
    torch.testing.assert_close(traced, plain)
    slope = torch.randn_like(plain)
    torch.testing.assert_close(torch.autograd.grad(traced, inputs, slope), torch.autograd.grad(plain, inputs, slope))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_precisions(dtype: torch.dtype) -> None:
    given, body = LONG["of steps before"]
    f = nl.compile(_text(given, body), numerics="fast")
    inputs = _inputs(given, SIZES, torch.float32)
    low = [x.to(dtype) for x in inputs]
    found = f(*low)
    assert found.dtype is dtype
    expected = f(*(x.double() for x in low))
    torch.testing.assert_close(found.double(), expected, rtol=2e-2, atol=2e-2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert f(*inputs).dtype is torch.bfloat16


def test_few_products_are_multiplied_out() -> None:
    """So that small values have their own digits."""
    x = torch.tensor([[1e20, *[0.0] * 62, 1.0]])
    w = torch.ones(1, 31)
    assert long_convolution(x, w, None, 30, 0, 1)[0, -1] == 1.0
    assert long_convolution(x, torch.ones(1, 33), None, 32, 0, 1)[0, -1] != 1.0
