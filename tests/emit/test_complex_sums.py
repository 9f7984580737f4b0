"""Sums and differences of complex numbers: each part by itself, also where the other is infinite.

torch multiplies by a complex 1 what it adds, which makes NaN of `-inf + 0j`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl

INF = float("inf")
COMPLEX = torch.tensor([complex(-INF), complex(INF), complex(1, INF), 2 - 3j], dtype=torch.complex128)
REAL = torch.tensor([1.0, -INF, 2.0, INF], dtype=torch.float64)

CASES = [
    ("X[i] + Y[i]", COMPLEX, COMPLEX.flip(0)),
    ("X[i] - Y[i]", COMPLEX, COMPLEX.flip(0)),
    ("X[i] + Y[j]", COMPLEX, COMPLEX),
    ("X[i] - Y[j]", REAL, COMPLEX),
    ("X[i] - Y[i]", COMPLEX, REAL),
    ("X[i] + Y", COMPLEX, COMPLEX[0]),
    ("X - Y[i]", COMPLEX[0], COMPLEX),
    ("X[i] + Y[i]", COMPLEX.conj(), REAL),
    ("X[i] + inf * Y", COMPLEX, REAL[0]),
    ("(X[i] + Y) - inf", COMPLEX, COMPLEX[3]),
    ("1 - (X[i] + Y)", COMPLEX, COMPLEX[3]),
]


@pytest.mark.parametrize(("text", "x", "y"), CASES, ids=[text for text, *_ in CASES])
def test_infinite_parts_leave_the_other_alone(text: str, x: torch.Tensor, y: torch.Tensor) -> None:
    heads = ", ".join(next(name for name in (f"{one}[i]", f"{one}[j]", one) if name in text) for one in "XY")
    body = text.replace("[i]", "").replace("[j]", "")
    axes = "[" + ", ".join(one for one in "ij" if one in heads) + "]"
    function = nl.compile(f"def f({heads}) -> {axes} = {body}")
    found, wanted = function(x, y), function.reference(x, y)
    np.testing.assert_array_equal(torch.view_as_real(found), torch.view_as_real(wanted))


@pytest.mark.parametrize("text", ["X + Y", "X - Y", "Y - X"])
def test_derivatives(text: str) -> None:
    function = nl.compile(f"def f(X[i], Y[j, i]) = {text}")
    x = torch.randn(3, dtype=torch.complex128, requires_grad=True)
    y = torch.randn(2, 3, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, y))
    assert torch.autograd.gradcheck(function, (x.detach().real.requires_grad_(), y))


def test_nothing_absorbs_under_complex_logarithms() -> None:
    """What stands in for nothing is 0 there, whatever it is multiplied by, and however often."""
    function = nl.compile("def f(X[a]) -> [b, a] = pad[b](X[a -> b]; before = 1) * X * X", semiring="complex-log")
    x = torch.tensor([0.5 + 1j, -2 + 0j], dtype=torch.complex128)
    found, wanted = function(x), function.reference(x)
    assert found[0].exp().eq(0).all()
    torch.testing.assert_close(found, wanted)
