"""Fourier transforms of reals, there and back, as planned and compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.plan import explain
from tests.emit.harness import agree as agree_compiled
from tests.emit.harness import compiled
from tests.plan.formulas import agree, planned

GIVEN = "X[b, t], K[t], D[b]"
THERE = "fft[t -> f](X)"

SPELLINGS: dict[str, tuple[str, ...]] = {
    f"real(ifft[f -> t]({THERE} * fft[t -> f](K)))": ("irfft", "mul", "rfft", "rfft"),
    f"real(ifft[f -> t](conj({THERE}) * {THERE}))": ("conj", "irfft", "mul", "rfft"),
    f"real(ifft[f -> t](D * {THERE} - fft[t -> f](K) / 2))": ("div", "irfft", "mul", "rfft", "rfft", "sub"),
    f"real(ifft[f -> t]({THERE}))": ("irfft", "rfft"),
    f"real(ifft[f -> s]({THERE} * fft[t -> f](K)))[s -> t]": ("irfft", "mul", "rfft", "rfft"),
    f"real(ifft[f -> t]({THERE} * fft[t -> f](K))) + real(ifft[f -> t](fft[t -> f](K)))": (
        "add", "irfft", "irfft", "mul", "rfft", "rfft",
    ),
}  # fmt: skip


@pytest.mark.parametrize("expression", SPELLINGS)
def test_spellings(expression: str) -> None:
    found = planned(GIVEN, expression)
    assert found.ops == SPELLINGS[expression], explain(found.plan)
    for t in (1, 2, 5, 6):
        assert agree(found, t=t, b=3) == 2


ALMOST = [
    f"real(ifft[f -> t]({THERE} * index[f]))",
    f"real(ifft[f -> t](1j * {THERE}))",
    "real(ifft[f -> t](fft[t -> f](1j * X) * fft[t -> f](K)))",
    f"real(fft[f -> t]({THERE}))",
    f"abs(ifft[f -> t]({THERE}))",
    f"real(ifft[f -> t]({THERE} + 1j))",
    f"imag(ifft[f -> t]({THERE}))",
]


@pytest.mark.parametrize("expression", ALMOST)
def test_what_only_looks_alike(expression: str) -> None:
    found = planned(GIVEN, expression)
    assert not {"rfft", "irfft"} & set(found.ops), explain(found.plan)


def test_why_not() -> None:
    assert "of reals alone" in planned(GIVEN, ALMOST[0]).near["Fourier transform of reals"]


CONVOLVED = """
def f(X[b, t], K[t]) -> [b, t]:
    product = fft[t -> f](pad[t](X; after = |t|)) * fft[t -> f](pad[t](K; after = |t|))
    return real(ifft[f -> t](product))[t = 0:|t|]
"""
CIRCULAR = "def f(X[t, b], K[b, t]) -> [b, t] = real(ifft[f -> t](fft[t -> f](X) * conj(fft[t -> f](K))))\n"


@pytest.mark.parametrize("text", [CONVOLVED, CIRCULAR], ids=["convolved", "circular"])
def test_values(text: str) -> None:
    source = np.random.default_rng(0)
    for b, t in ((2, 5), (3, 6), (1, 1), (0, 4), (2, 0)):
        first = (b, t) if text is CONVOLVED else (t, b)
        second = (t,) if text is CONVOLVED else (b, t)
        given = {"X": source.standard_normal(first), "K": source.standard_normal(second)}
        agree_compiled(compiled(text, given), given)


def test_slopes() -> None:
    f = nl.compile(CONVOLVED)
    args = [
        torch.randn(2, 5, dtype=torch.float64).requires_grad_(),
        torch.randn(5, dtype=torch.float64).requires_grad_(),
    ]
    f(*args)
    assert "irfft" in f.code
    assert torch.autograd.gradcheck(f, args) and torch.autograd.gradgradcheck(f, args)
    half = f(*(arg.detach().half() for arg in args))
    assert half.dtype is torch.float16
    torch.testing.assert_close(half.double(), f(*args).detach(), rtol=1e-2, atol=1e-2)
