"""The core of what formulas become, on a CUDA device, against the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.errors import FormulaError

pytestmark = pytest.mark.gpu

# Formulas by what they become, with the sizes of their inputs.
FORMULAS = {
    "matrix product": ("def f(X[b, i, j]; W[j, k]) -> [b, i, k] = X @[j] W", {"X": (3, 5, 40), "W": (40, 7)}),
    "bias": ("def f(X[i, j]; W[k, j], b[k]) -> [i, k] = X @[j] W + b", {"X": (5, 40), "W": (7, 40), "b": (7,)}),
    "residual": ("def f(X[i, j]; W[j, j']) = X + (X @[j] W)[j' -> j]", {"X": (5, 8), "W": (8, 8)}),
    "softmax": ("def f(X[i, j]) = softmax[j](X)", {"X": (5, 40)}),
    "attention": (
        "def f(Q[b, s, k], K[b, t, k], V[b, t, v]) -> [b, s, v] = softmax[t](Q @[k] K / sqrt(|k|)) @[t] V",
        {"Q": (2, 16, 32), "K": (2, 24, 32), "V": (2, 24, 32)},
    ),
    "masked attention": (
        "def f(Q[s, k], K[t, k], V[t, v], M[s, t]) -> [s, v] = softmax[t](Q @[k] K + M) @[t] V",
        {"Q": (16, 8), "K": (24, 8), "V": (24, 8), "M": (16, 24)},
    ),
    "convolution": (
        "def f[seq](X[b, c, seq]; W[d, c, k], a[d]) -> [b, d, seq]:\n"
        "    return sum[c, k](W * pool[seq, part = |k|](X)[part -> k]) + a",
        {"X": (2, 4, 30), "W": (6, 4, 5), "a": (6,)},
    ),
    "layer norm": (
        "def f(X[i, j]; g[j]) = g * (X - mean[j](X)) / sqrt(mean[j]((X - mean[j](X)) ^ 2) + 1e-5)",
        {"X": (5, 40), "g": (40,)},
    ),
    "recurrence": (
        "def f(A[t, i], X[t, i]) -> [t, i]:\n    scan t with h = zeros[i]:\n        h = A * h + X\n    return h",
        {"A": (50, 6), "X": (50, 6)},
    ),
    "loop": (
        "def f(X[t, i]; W[i, j], U[j, j']) -> [t, j]:\n    scan t with h = zeros[j]:\n"
        "        h = h / 2 + tanh(W @[i] X + (U @[j] h)[j' -> j])\n    return h",
        {"X": (12, 4), "W": (4, 3), "U": (3, 3)},
    ),
    "network": (
        "def f(X[t, b, i]; W[i, j], U[j, j']) -> [t, b, j]:\n    scan t with h = zeros[j]:\n"
        "        h = tanh(W @[i] X + (U @[j] h)[j' -> j])\n    return h",
        {"X": (12, 2, 4), "W": (4, 3), "U": (3, 3)},
    ),
    "coordinates": ("def f(X[i, j]) = where(i <= j, X, -inf)", {"X": (6, 6)}),
}  # fmt: skip


def _given(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: (torch.randn(shape, generator=generator, dtype=torch.float64) / 2).to("cuda", dtype).requires_grad_()
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("backend", ["python", "cudagraph"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients(name: str, dtype: torch.dtype, backend: str) -> None:
    text, shapes = FORMULAS[name]
    function = nl.compile(text, backend=backend)
    given = _given(shapes, dtype)
    on_host = {key: one.detach().cpu().double().requires_grad_() for key, one in given.items()}
    found, wanted = function(**given), nl.compile(text)(**on_host)
    reference = nl.compile(text).reference(**{key: one.detach() for key, one in on_host.items()})
    digits = {torch.float64: 1e-9, torch.float32: 2e-3, torch.bfloat16: 6e-2}[dtype]
    assert found.is_cuda and found.dtype is dtype
    torch.testing.assert_close(wanted.detach(), reference)
    torch.testing.assert_close(found.detach().cpu().double(), reference, rtol=digits, atol=digits)
    for _ in range(2):  # a recording is made at the first, and used at the second
        ours = torch.autograd.grad(function(**given).square().nan_to_num(neginf=0, posinf=0).sum(), given.values())
    theirs = torch.autograd.grad(wanted.square().nan_to_num(neginf=0, posinf=0).sum(), on_host.values())
    for one, other in zip(ours, theirs, strict=True):
        size = max(1.0, float(other.abs().amax()))
        torch.testing.assert_close(one.cpu().double(), other, rtol=5 * digits, atol=5 * digits * size)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["matrix product", "residual", "attention", "convolution", "loop"])
def test_products_in_half_precision(name: str, precision: str) -> None:
    text, shapes = FORMULAS[name]
    given = _given(shapes, torch.float32)
    found, wanted = nl.compile(text, precision=precision)(**given), nl.compile(text)(**given)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, wanted, rtol=4e-2, atol=4e-2)
    for one, other in zip(*(torch.autograd.grad(y.sum(), given.values()) for y in (found, wanted)), strict=True):
        assert one.dtype is torch.float32
        torch.testing.assert_close(one, other, rtol=1e-1, atol=1e-1)


def test_tensors_made_of_nothing_lie_where_the_inputs_do() -> None:
    found = nl.compile("def f(X[i]) = X + i")(torch.zeros(4, device="cuda"))
    assert found.is_cuda and found.tolist() == [0, 1, 2, 3]


def test_tensors_on_two_devices_are_an_error() -> None:
    function = nl.compile("def f(X[i, j]; W[j, k]) -> [i, k] = X @[j] W")
    with pytest.raises(FormulaError) as caught:
        function(torch.ones(2, 3, device="cuda"), torch.ones(3, 4))
    assert "cuda" in str(caught.value) and "cpu" in str(caught.value)


def test_a_module_goes_to_the_device() -> None:
    module = nl.compile("layer Scale(X[i]) -> [i]:\n    param g[i] ~ normal\n    return g * X")(i=3).to("cuda")
    x = torch.ones(2, 3, device="cuda")
    assert torch.equal(module(x), module.g.expand(2, 3))
    recorded = nl.compile(
        "layer Scale(X[i]) -> [i]:\n    param g[i] ~ normal\n    return g * X", backend="cudagraph"
    )(i=3).to("cuda")  # fmt: skip
    steps = torch.optim.SGD(recorded.parameters(), lr=0.1)
    for _ in range(3):
        steps.zero_grad()
        loss = (recorded(x) - 2).square().sum()
        loss.backward()
        assert recorded.g.grad is not None
        torch.testing.assert_close(recorded.g.grad, 4 * (recorded.g.detach() - 2))
        steps.step()


def test_float64_by_definition() -> None:
    text, shapes = FORMULAS["attention"]
    given = _given(shapes, torch.float64)
    found = nl.compile(text)(**given).detach().cpu().numpy()
    wanted = nl.compile(text).reference(**{name: one.detach().cpu() for name, one in given.items()}).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
