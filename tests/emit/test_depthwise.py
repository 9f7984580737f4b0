"""A kernel for each channel along a sequence whose channels are last: values, derivatives, and which way it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels import depthwise
from namedlayers.emit.kernels.depthwise import TAPS, depthwise_conv1d

FORMS: dict[str, dict[str, int]] = {
    "plain": {},
    "padded": {"padding": 2},
    "all": {"stride": 2, "padding": 3, "dilation": 2},
}
SIZES = {"batch": (2, 9, 4), "no batch": (9, 4), "one channel": (2, 9, 1), "one place": (2, 5, 3), "empty": (0, 9, 4)}


def _given(size: tuple[int, ...], dtype: torch.dtype, taps: int = 3) -> list[Tensor]:
    source = torch.Generator().manual_seed(0)
    shapes = (size, (size[-1], 1, taps), (size[-1],))
    return [torch.randn(one, dtype=dtype, generator=source).requires_grad_() for one in shapes]


def _by_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, **form: int) -> Tensor:
    return F.conv1d(x.mT, weight, bias, **form, groups=weight.size(0)).mT


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_values_and_slopes(size: tuple[int, ...], form: dict[str, int], dtype: torch.dtype) -> None:
    given = _given(size, dtype)
    for count in (2, 3):
        found, expected = depthwise_conv1d(*given[:count], **form), _by_conv1d(*given[:count], **form)
        slope = torch.randn_like(expected)
        got, want = (torch.autograd.grad(one, given[:count], slope) for one in (found, expected))
        torch.testing.assert_close([found, *got], [expected, *want], rtol=1e-4, atol=1e-5)


def test_rows_go_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision, where derivatives of derivatives and transforms can be told."""
    monkeypatch.setattr(depthwise, "_has_rows", lambda *_: True)
    given = _given((2, 9, 4), torch.float64)
    for form in FORMS.values():
        torch.testing.assert_close(depthwise_conv1d(*given, **form), _by_conv1d(*given, **form))
    assert torch.autograd.gradgradcheck(depthwise_conv1d, given, fast_mode=True)
    x, weight, bias = (one.detach() for one in given)
    lifted = torch.func.vmap(depthwise_conv1d, (0, None, None))(x, weight, bias)
    torch.testing.assert_close(lifted, depthwise_conv1d(x, weight, bias))
    tangents = (torch.func.jvp(way, (x, weight), (x.cos(), weight.cos()))[1] for way in (depthwise_conv1d, _by_conv1d))
    torch.testing.assert_close(*tangents)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled(backend: str) -> None:
    given = _given((2, 9, 4), torch.float32)
    found = torch.compile(depthwise_conv1d, backend=backend, fullgraph=True)(*given)
    expected = depthwise_conv1d(*given)
    slope = torch.randn_like(expected)
    got, want = (torch.autograd.grad(one, given, slope) for one in (found, expected))
    torch.testing.assert_close([found, *got], [expected, *want], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("taps", "learning", "rows"), [(3, True, True), (TAPS + 1, True, False), (TAPS + 1, False, True)]
)
def test_slopes_of_many_taps_have_no_fast_way(
    taps: int, learning: bool, rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def watched(name: str) -> Callable[..., Any]:
        kernel = getattr(F, name)
        return lambda *given: (called.append(name), kernel(*given))[1]

    for name in ("conv1d", "conv2d"):
        monkeypatch.setattr(F, name, watched(name))
    given = [one.requires_grad_(learning) for one in _given((2, 40, 4), torch.float32, taps)]
    depthwise_conv1d(*given)
    assert called == ["conv2d" if rows else "conv1d"]


TEXTS = {
    "channels": ("def f(X[b, t, c]; W[c, k]) -> [b, t, c] = W @[k] unroll[t, k](X; padding = 1)", True),
    "heads": ("def f(X[b, t, h, c]; W[h, k]) -> [b, t, h, c] = W @[k] unroll[t, k](X; padding = 1)", True),
    "no batch, of places that are over": (
        "def f(X[t, c]; W[c, k], a[c]) -> [t', c] = a + sum[k](W * unroll[t, k](X; stride = 2)[t -> t'])", True,
    ),
    "causal": (
        "def f(X[a, b, t, c]; W[k, c]) -> [a, b, t, c] = sum[k](W * unroll[t, k](pad[t](X; before = 2)))", True,
    ),
    "turned": ("def f(X[b, t, c]; W[c, k]) -> [c, b, t] = W @[k] unroll[t, k](X; padding = 1)", True),
    "two axes of channels": (
        "def f(X[b, t, c, d]; W[d, c, k]) -> [b, t, c, d] = W @[k] unroll[t, k](X; padding = 1)", True,
    ),
    "channels first": ("def f(X[b, c, t]; W[c, k]) -> [b, c, t] = W @[k] unroll[t, k](X; padding = 1)", False),
    "a batch behind": ("def f(X[t, c, b]; W[c, k]) -> [t, c, b] = W @[k] unroll[t, k](X; padding = 1)", None),
    "channels that mix": ("def f(X[b, t, c]; W[d, c, k]) -> [b, t, d] = W @[c, k] unroll[t, k](X; padding = 1)", False),
}  # fmt: skip


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("name", TEXTS)
def test_it_is_the_same_in_any_order(name: str, precision: str | None) -> None:
    text, expected = TEXTS[name]
    function = nl.compile(text, precision=precision)
    sizes = {"a": 2, "b": 3, "t": 9, "c": 4, "d": 2, "h": 2, "k": 3}
    given = [torch.randn([sizes[axis] for axis in port.axes]) for port in function.inputs]
    error = 1e-5 if precision is None else 0.1
    torch.testing.assert_close(function(*given).double(), function.reference(*given), atol=error, rtol=error)
    if expected is not None:
        assert ("depthwise_conv1d" in function.code) == expected


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("count", [2, 3])
def test_compiled_the_slopes_are_one_operator(form: dict[str, int], count: int) -> None:
    given = _given((4, 70, 40), torch.float32)[:count]
    torch._dynamo.reset()
    compiled = torch.compile(lambda *given: depthwise_conv1d(*given, **form), backend="aot_eager", fullgraph=True)
    for learned in (given, given[1:], given[:1]):
        some = [one if any(one is own for own in learned) else one.detach() for one in given]
        found, expected = compiled(*some), _by_conv1d(*some, **form)
        slope = torch.randn_like(expected)
        got, want = (torch.autograd.grad(one, learned, slope) for one in (found, expected))
        torch.testing.assert_close([found, *got], [expected, *want], rtol=1e-4, atol=1e-4)
