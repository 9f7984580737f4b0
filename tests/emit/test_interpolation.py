"""Gates and moving averages as one operation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from tests.emit.harness import agree, compiled, tensors

SPELLINGS = (
    "(1 - w) * A + w * B",
    "w * B + (1 - w) * A",
    "A * (1 - w) + B * w",
    "B * w + A * (1 - w)",
)
GATE = "(1 - sigmoid(w)) * A + sigmoid(w) * tanh(B)"


@pytest.mark.parametrize("expression", (*SPELLINGS, GATE))
def test_spellings(expression: str) -> None:
    arrays = {name: np.random.default_rng(0).uniform(size=(2, 3)) for name in "ABw"}
    made = compiled(f"def f(A[i, j], B[i, j], w[i, j]) = {expression}", arrays)
    assert made.code.count(" lerp(") == 1
    agree(made, arrays)
    args = [one.requires_grad_() for one in tensors(made, arrays)]
    assert torch.autograd.gradcheck(made.function, args, fast_mode=True)
    assert torch.autograd.gradgradcheck(made.function, args, fast_mode=True)
    for dtype in (torch.float16, torch.bfloat16):
        agree(made, arrays, dtype, 0.02)


@pytest.mark.parametrize("signature", ("A[i, j], B[j], w[i]", "A[i], B[i, j], w[]", "A[i, j], B[i, j]; w = 0.3"))
def test_axes_and_numbers(signature: str) -> None:
    shapes = {"A[i, j]": (2, 3), "A[i]": (2,), "B[i, j]": (2, 3), "B[j]": (3,), "w[i]": (2,), "w[]": (), "w = 0.3": ()}
    parts = [one for part in signature.split("; ") for one in part.split("], ")]
    inputs = [one if one.endswith("]") or "=" in one else f"{one}]" for one in parts]
    arrays = {one[0]: np.random.default_rng(1).uniform(size=shapes[one]) for one in inputs}
    function = nl.compile(f"def f({signature}) -> [i, j] = (1 - w) * A + w * B")
    given = {name: torch.as_tensor(one) if "w = " not in signature or name != "w" else 0.25
             for name, one in arrays.items()}  # fmt: skip
    torch.testing.assert_close(function(**given), function.reference(**given))
    assert " lerp(" in function.specialize(**given).code


@pytest.mark.parametrize(
    "expression", ("(1 - w) * A + B * B", "(1 - w) * A - w * B", "(2 - w) * A + w * B", "(w - 1) * A + w * B")
)
def test_what_is_none(expression: str) -> None:
    arrays = {name: np.random.default_rng(0).uniform(size=3) for name in "ABw"}
    made = compiled(f"def f(A[i], B[i], w[i]) = {expression}", arrays)
    assert "lerp" not in made.code
    agree(made, arrays)


def test_autocast() -> None:
    text = (
        "def f(h[b, i], W[i, j], A[b, j]) -> [b, j]:\n    w = sigmoid(h @[i] W)\n"
        "    return (1 - w) * A + w * tanh(h @[i] W)"
    )
    function = nl.compile(text)
    given = torch.randn(2, 3), torch.randn(3, 4), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = function(*given)
    torch.testing.assert_close(found.float(), function(*given), rtol=0.05, atol=0.05)


def test_strictly_as_it_is_written() -> None:
    function = nl.compile(f"def f(A[i], B[i], w[i]) = {SPELLINGS[0]}", numerics="strict")
    one = torch.ones(3)
    function(one, one, one)
    assert "lerp" not in function.code
