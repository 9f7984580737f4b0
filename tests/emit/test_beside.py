"""Convolutions of one input with the same windows: which are one call, and that each is what it is alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import namedlayers as nl
from namedlayers.emit import emission
from namedlayers.emit.kernels import beside
from namedlayers.emit.kernels.beside import MOST, convolutions

FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padded": {"padding": 2},
    "all": {"stride": 2, "padding": 3, "dilation": 2},
}
SHAPES = {
    "sequences": ((2, 3, 11), (2,)),
    "no batch": ((3, 11), (2,)),
    "images": ((2, 3, 9, 8), (3, 2)),
    "volumes": ((2, 3, 7, 8, 7), (3, 2, 1)),
    "one place": ((2, 3, 1), (1,)),
    "empty": ((0, 3, 11), (2,)),
}


def _given(shape: tuple[int, ...], kernel: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """An input, three weights, two biases."""
    source = torch.Generator().manual_seed(0)
    channels = shape[-len(kernel) - 1]
    shapes = (shape, *((outs, channels, *kernel) for outs in (2, 1, 4)), (2,), (4,))
    return [torch.randn(one, dtype=dtype, generator=source).requires_grad_() for one in shapes]


def _together(*given: Tensor, **form: Any) -> tuple[Tensor, ...]:
    x, u, v, w, a, b = given
    return convolutions(x, (u, v, w), (a, None, b), **form)


def _apart(*given: Tensor, **form: Any) -> tuple[Tensor, ...]:
    x, u, v, w, a, b = given
    convolve = (F.conv1d, F.conv2d, F.conv3d)[u.dim() - 3]
    return convolve(x, u, a, **form), convolve(x, v, **form), convolve(x, w, b, **form)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", SHAPES)
def test_values_and_slopes(
    name: str, form: dict[str, Any], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = _given(*SHAPES[name], dtype)
    expected = _apart(*given, **form)
    slopes = [torch.randn_like(one) for one in expected]
    want = torch.autograd.grad(expected, given, slopes)
    for together in (True, False):
        monkeypatch.setattr(beside, "_read_together", lambda *_, way=together: way)
        found = _together(*given, **form)
        got = torch.autograd.grad(found, given, slopes)
        torch.testing.assert_close([*found, *got], [*expected, *want], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("places", "outs", "together"),
    [(64, 4, True), (2, 4, False), (1024, MOST, False)],
    ids=["many numbers", "more weights than numbers", "wide kernels"],
)
def test_sizes_say_which_way(places: int, outs: int, together: bool) -> None:
    x, weights = torch.randn(2, 3, places), [torch.randn(outs, 3, 2) for _ in range(2)]
    parts = convolutions(x, weights, (None, None))
    assert (parts[0].untyped_storage().data_ptr() == parts[1].untyped_storage().data_ptr()) == together


def test_an_infinite_channel_stays_alone() -> None:
    given = _given(*SHAPES["sequences"], torch.float32)
    given[2] = torch.full_like(given[2], torch.inf)
    torch.testing.assert_close(_together(*given), _apart(*given), equal_nan=True)


def test_transforms_and_further_derivatives() -> None:
    given = _given(*SHAPES["sequences"], torch.float64)
    assert beside._read_together(given[0], given[1:4])
    assert torch.autograd.gradgradcheck(_together, given, fast_mode=True)
    plain = [one.detach() for one in given]
    axes = [(0, *(None,) * 5), (None, 0, *(None,) * 4)]
    for where in axes:
        lifted = [one.expand(3, *one.shape) if axis == 0 else one for one, axis in zip(plain, where, strict=True)]
        torch.testing.assert_close(*(torch.func.vmap(way, where)(*lifted) for way in (_together, _apart)))
    torch.testing.assert_close(*(torch.func.jvp(way, tuple(plain), tuple(plain)) for way in (_together, _apart)))


def test_each_result_may_be_written_over() -> None:
    """As what is made alone may: neither torch nor the other results mind."""
    given = _given(*SHAPES["sequences"], torch.float32)
    first, *others = _together(*given)
    kept = [one.clone() for one in others]
    first.mul_(3)
    torch.testing.assert_close(others, kept)
    expected = 3 * _apart(*given)[0].sum()
    torch.testing.assert_close(*(torch.autograd.grad(one, given[1]) for one in (first.sum(), expected)))


def test_traced() -> None:
    given = _given(*SHAPES["images"], torch.float32)
    found = torch.compile(_together, backend="aot_eager", fullgraph=True)(*given)
    torch.testing.assert_close(found, _apart(*given))


INPUTS = "X[b, c, t]; W[o, c, k], V[o, c, k]"
WINDOWS = "Y = unroll[t, k](X; padding = 1)"
TEXTS = {
    "gates": (f"def f({INPUTS}, p[o], q[o]):\n    {WINDOWS}\n"
              "    return tanh(W @[c, k] Y + p) * sigmoid(V @[c, k] Y + q)", True),
    "one with a bias, of axes in another order": (
        f"def f({INPUTS.replace('V[o, c, k]', 'V[k, m, c]')}, p[o]):\n    {WINDOWS}\n"
        "    return W @[c, k] Y + p, sum[c, k](Y * V)", True),
    "several output axes": (
        f"def f({INPUTS.replace('V[o, c, k]', 'V[m, c, n, k]')}):\n    {WINDOWS}\n"
        "    return W @[c, k] Y, V @[c, k] Y", True),
    "weights made after the first": (
        f"def f({INPUTS}):\n    {WINDOWS}\n    A = relu(W @[c, k] Y)\n"
        "    return A, (V / sqrt(sum[c, k](V * V))) @[c, k] Y", True),
    "images": ("def f(X[b, c, i, j]; W[o, c, k, l], V[m, c, k, l]):\n    Y = unroll[i, j, k, l](X; stride = 2)\n"
               "    return W @[c, k, l] Y, V @[c, k, l] Y", True),
    "other windows": (f"def f({INPUTS}) = W @[c, k] unroll[t, k](X), V @[c, k] unroll[t, k](X; stride = 2)", False),
    "another input": (f"def f({INPUTS}) = W @[c, k] unroll[t, k](X), V @[c, k] unroll[t, k](exp(X))", False),
    "groups": (f"def f({INPUTS}):\n    {WINDOWS}\n    return W @[k] Y, V @[k] Y", False),
    "weights made of the other": (
        f"def f({INPUTS}):\n    {WINDOWS}\n    A = W @[c, k] Y\n"
        "    return A, relu(V - max[b, o, t](A)) @[c, k] Y", False),
}  # fmt: skip


@pytest.mark.parametrize("precision", [None, "bfloat16"])
@pytest.mark.parametrize("name", TEXTS)
def test_what_is_one_call(name: str, precision: Any) -> None:
    text, expected = TEXTS[name]
    function = nl.compile(text.replace(") = W", "):\n    return W"), precision=precision)
    source = torch.Generator().manual_seed(0)
    sizes = {"b": 2, "c": 3, "t": 40, "i": 9, "j": 8, "k": 3, "l": 3, "o": 4, "m": 2, "n": 2}
    given = [torch.randn([sizes[a] for a in port.axes], generator=source) / 2 for port in function.inputs]
    found, wanted = (
        one if isinstance(one, tuple) else (one,) for one in (function(*given), function.reference(*given))
    )
    error = 1e-5 if precision is None else 0.2
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, atol=error, rtol=error)
    assert ("convolutions(" in function.code) == expected
    assert ("convolutions of one input (exact)" in function.explain()) == expected


def test_random_numbers_are_drawn_in_the_order_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"def f({INPUTS}):\n    {WINDOWS}\n    A = dropout(W @[c, k] Y; p = 0.5)\n"
    text += "    return A, dropout(V; p = 0.5) @[c, k] Y"
    given = torch.randn(2, 3, 40), torch.randn(4, 3, 3), torch.randn(4, 3, 3)
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(nl.compile(text)(*given))
        monkeypatch.setattr(emission, "put_beside", lambda *_: None)
    torch.testing.assert_close(*found)
