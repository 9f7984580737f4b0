"""Steps that ask for precisions: nothing is asked at a step where all inputs have one that is not coarse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.emit.harness import agree, as_written, compiled, run, tensors
from tests.emit.test_steps_in_place import in_place

STEPS = {
    "numbers to choose from": "h = tanh(X + where(h > 0.5, 1.0, 0.0) * h)",
    "numbers alone": "g = where(h > 0.5, 1, -2)\n        h = tanh(X + g)",
    "a choice of rows": (
        "g = where(u > 0.5, 1.0, 0.0)\n        u = g * sigmoid(sum[h](h)) + (1 - g) * u\n        h = tanh(X + g * h)"
    ),
    "of whole numbers": "h = tanh(X + n * h + where(n > 2, 0.5, h))",
    "indicators": "h = tanh(X + (h > 0) * 2.0 - (u > 0) * h)",
}  # fmt: skip
AXES = {"X": (4, 2, 3), "h0": (2, 3), "u0": (2,), "n": (3,)}


def text(name: str) -> str:
    return (
        "def f(X[t, b, h], h0[b, h], u0[b]; n[h]) -> [t, b, h]:\n    scan t with h = h0, u = u0:\n"
        f"        u = sin(u)\n        {STEPS[name]}\n    return h"
    )


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {name: rng.standard_normal(shape) for name, shape in AXES.items()}
    return {**found, "n": np.arange(3) + 1}


@pytest.mark.parametrize("name", STEPS)
def test_steps(name: str) -> None:
    agree(compiled(text(name), arrays()), arrays(), tolerance=1e-9)
    agree(as_written(text(name), arrays()), arrays(), torch.float32, tolerance=1e-5)


def test_nothing_is_asked() -> None:
    found = in_place(text("a choice of rows"))
    assert not [line for line in found if "dtype" in line or ".to(" in line or "torch.full" in line], found


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16))
@pytest.mark.parametrize("name", STEPS)
def test_coarse_precisions(name: str, dtype: torch.dtype) -> None:
    """As the steps written out, which are what torch records."""
    made = as_written(text(name), arrays())
    args = tensors(made, arrays(), dtype)
    (quick,) = run(made, args)
    (slow,) = run(made, [one.requires_grad_() if one.is_floating_point() else one for one in args])
    assert quick.dtype is slow.dtype
    torch.testing.assert_close(quick, slow, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", STEPS)
def test_several_precisions(name: str) -> None:
    made = compiled(text(name), arrays())
    args = tensors(made, arrays())
    (wanted,) = run(made, args)
    mixed = [one.float() if k % 2 and one.is_floating_point() else one for k, one in enumerate(args)]
    (found,) = run(made, mixed)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)
