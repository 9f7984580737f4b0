"""Padding of which the call tells whether a kernel can do it: alike on both sides, or more on one of them."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl
from namedlayers.emit.kernels.padding import padded
from tests.emit.forms import inputs_of, reference, text_of
from tests.helpers import check

PADS = {
    "alike": (((1, 1), (2, 2)), (5, 6), (1, 2)),
    "one of them": (((1, 1), (2, 0)), (5, 8), (1, 0)),
    "neither": (((0, 1), (2, 1)), (6, 9), (0, 0)),
    "none": (((0, 0), (0, 0)), (5, 6), (0, 0)),
}


@pytest.mark.parametrize("name", PADS)
def test_what_is_left_to_the_kernel(name: str) -> None:
    pads, sizes, left = PADS[name]
    x = torch.randn(2, 5, 6)
    found, *rest = padded(x, *pads)
    assert isinstance(found, torch.Tensor) and tuple(rest) == left
    assert tuple(found.shape[1:]) == sizes
    assert (found is x) == (sizes == (5, 6))


FORMS = {
    "a half on each side": ("X[b, i, t], W[o, i, k]", "return sum[i,k](W * X[t = t + k - |k| // 2; fill = 0])"),
    "one before": ("X[b, i, t], W[o, i, k]", "return sum[i,k](W * X[t = t + k - 1; fill = 0])"),
    "all before": ("X[b, i, t], W[o, i, k]", "return sum[i,k](W * X[t = t + k - |k| + 1; fill = 0])"),
    "channels last": ("X[b, t, c], W[c, k]", "return sum[k](W * X[t = t + k - |k| // 2; fill = 0])"),
    "two axes": (
        "X[b, i, t, u], W[o, i, k, l]",
        "return sum[i,k,l](W * X[t = t + k - |k| // 2, u = u + l - 1; fill = 0])",
    ),
}


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("form", FORMS)
def test_kernels_of_any_length(form: str, length: int) -> None:
    text = text_of(*FORMS[form])
    arrays = inputs_of(text, {"b": 2, "i": 3, "o": 2, "t": 7, "u": 6, "c": 3, "k": length, "l": 3})
    check(text, arrays, reference(text, arrays))


@pytest.mark.parametrize("length", [2, 3])
def test_what_is_traced(length: int) -> None:
    f = nl.compile(text_of(*FORMS["a half on each side"]))
    x, w = torch.randn(2, 3, 8), torch.randn(4, 3, length)
    torch.testing.assert_close(torch.compile(f, backend="eager", fullgraph=True, dynamic=True)(x, w), f(x, w))
    torch.testing.assert_close(torch.func.vmap(f, (0, None))(x[None], w)[0], f(x, w))
