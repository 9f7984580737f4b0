"""Pairs that are turned: by torch's complex numbers where they lie side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.kernels.turning import turned
from tests.emit.harness import agree, as_written, compiled, tensors, traced

NEIGHBOURS, HALVES = "(pair, two = 2)", "(two = 2, pair)"
TURN = """
def f(X[b, seq, key], c[seq, pair], s[pair]) -> [b, seq, key]:
    P = X[key -> {}]
    first = P[two = 0] * c - P[two = 1] * s
    second = P[two = 0] * s + P[two = 1] * c
    return stack[two](first, second)[{} -> key]
"""
TEXTS = {one: TURN.format(one, one.replace(" = 2", "")) for one in (NEIGHBOURS, HALVES)}
LIBRARY = [nl.load("position").rotary, nl.load("position").rotary_halves]


def given(seq: int = 3, pair: int = 4, batch: int = 2) -> dict[str, np.ndarray]:
    source = np.random.default_rng(0)
    shapes = {"X": (batch, seq, 2 * pair), "c": (seq, pair), "s": (pair,)}
    return {name: source.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_values_and_gradients(text: str) -> None:
    for sizes in ({}, {"batch": 0}, {"seq": 0}, {"pair": 0}, {"seq": 1, "pair": 1}):
        arrays = given(**sizes)
        made = compiled(text, arrays)
        assert "turned(" in made.code
        agree(made, arrays)
        agree(made, arrays, torch.float32, 1e-5)
        agree(made, arrays, torch.bfloat16, 0.05)
    arrays = given()
    args = [one.requires_grad_() for one in tensors(made, arrays)]
    assert torch.autograd.gradcheck(made.function, args, fast_mode=True)
    assert torch.autograd.gradgradcheck(made.function, args, fast_mode=True)
    assert torch.autograd.gradcheck(made.function, args, check_forward_ad=True, fast_mode=True)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_infinities_are_those_of_the_text(text: str) -> None:
    arrays = given()
    arrays["X"][0, 0, :3] = np.inf, -np.inf, np.nan
    arrays["c"][0, 0] = 0
    made, written = compiled(text, arrays), as_written(text, arrays)
    torch.testing.assert_close(
        made.function(*tensors(made, arrays)), written.function(*tensors(written, arrays)), equal_nan=True
    )


@pytest.mark.parametrize("function", LIBRARY, ids=lambda one: one.name)
def test_of_the_library(function: nl.Function) -> None:
    whole = torch.randn(2, 5, 12, 6)
    for x in (whole, whole.transpose(1, 2), whole[..., 1:5], whole[1:, ::2, 1:]):
        torch.testing.assert_close(function(x).double(), function.reference(x), rtol=1e-4, atol=1e-5)
        for other in (torch.float64, torch.float16):
            torch.testing.assert_close(
                function(x.to(other)).double(), function.reference(x.to(other)), rtol=1e-2, atol=1e-2
            )
        stacked = torch.func.vmap(function)(x)
        torch.testing.assert_close(stacked, function(x))
        (slope,) = torch.func.vjp(function, x)[1](x)
        learned = x.clone().requires_grad_()
        torch.testing.assert_close(slope, torch.autograd.grad(function(learned), learned, x)[0])
        tangent = torch.func.jvp(function, (x,), (x,))[1]
        torch.testing.assert_close(tangent, function(x))
    assert "turned(" in function.specialize(whole).code


def test_precisions_meet_as_in_torch() -> None:
    pairs = torch.randn(3, 4, 2)
    angle = torch.randn(4, dtype=torch.float64)
    found = turned(pairs, angle.cos(), angle.sin(), 2)
    torch.testing.assert_close(found, turned(pairs.double(), angle.cos(), angle.sin(), 2))
    assert found.dtype is torch.float64


def test_compiled_it_is_made_of_real_operations() -> None:
    x = torch.randn(2, 4, 6)
    quick, seen = traced(LIBRARY[0])
    found = quick(x)
    torch.testing.assert_close(found, LIBRARY[0](x))
    assert "complex" not in str(seen[0].graph)
