"""Reductions that keep their axis where it is wanted again, and the exponential below a maximum of -inf."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from tests.emit.forms import inputs_of, reference, text_of
from tests.helpers import check

X = "X[b, i, j]"
SIZES = {"b": 2, "i": 3, "j": 4}
KEPT = {
    "a norm": (X, "return X / norm[j](X)"),
    "in the middle": (X, "return X / norm[i](X)"),
    "a sum": (X, "return X / (sum[j](X))"),
    "a mean": (X, "return X - mean[i](X)"),
    "a maximum": (X, "return X - max[j](X)"),
    "wanted twice": (X, "m = max[j](X)\nreturn (X - m) * (X + m)"),
}
NOT_KEPT = {
    "a result": (X, "return max[j](X)"),
    "wanted as it is, too": (X, "m = max[j](X)\nreturn sum[j](X - m) + m^2"),
    "of two axes": (X, "return X - max[i,j](X)"),
}


@pytest.mark.parametrize("name", KEPT | NOT_KEPT)
@pytest.mark.parametrize("sizes", [{}, {"j": 1}, {"b": 0}])
def test_axes_that_are_kept(name: str, sizes: dict[str, int]) -> None:
    text = text_of(*(KEPT | NOT_KEPT)[name])
    assert ("keepdim=True" in nl.compile(text).code) == (name in KEPT)
    arrays = inputs_of(text, {**SIZES, **sizes})
    check(text, arrays, reference(text, arrays))


def test_what_is_transformed_and_traced() -> None:
    f = nl.compile(text_of(*KEPT["wanted twice"]))
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(f)(x[None])[0], f(x))
    torch.testing.assert_close(torch.compile(f, backend="eager", fullgraph=True)(x), f(x))


def test_exponentials_below_a_maximum() -> None:
    """A row of -inf gives 0, and slopes of 0; an infinite number is far above all others."""
    f = nl.compile(text_of("X[i, j]", "return exp(X - max[j](X))"))
    inf = np.inf
    x = torch.tensor([[1.0, -inf, 0.5], [-inf, -inf, -inf], [3.0, 3.0, -1.0], [0.0, inf, 1.0]], requires_grad=True)
    found = f(x)
    expected = torch.exp(x - x.amax(1, keepdim=True)).detach()
    expected[1] = 0
    torch.testing.assert_close(found.detach(), expected, equal_nan=True)
    (slope,) = torch.autograd.grad(found[:3].sum(), x)
    assert not slope[:3].isnan().any() and not slope[1].any()
    several = torch.func.vmap(f)(x.detach()[None])[0]
    torch.testing.assert_close(several, expected, equal_nan=True)
