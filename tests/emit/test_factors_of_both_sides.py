"""Products with factors on both sides: multiplied in before or after, as sizes have it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.emit.harness import agree, as_written, compiled, tensors

COSINES = "def f(X[i, c], Y[j, c]) -> [i, j] = 30 * (X @[c] Y) / (norm[c](X) * norm[c](Y))"
SIZES = {"wide": (4, 5, 400), "long": (300, 200, 3), "one row": (1, 200, 64), "one column": (200, 1, 64),
         "empty": (0, 5, 3)}  # fmt: skip


def given(i: int, j: int, c: int) -> dict[str, np.ndarray]:
    source = np.random.default_rng(0)
    return {"X": source.standard_normal((i, c)), "Y": source.standard_normal((j, c))}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_cosines(sizes: tuple[int, int, int]) -> None:
    arrays = given(*sizes)
    made = compiled(COSINES, arrays)
    agree(made, arrays)
    args = [one.requires_grad_() for one in tensors(made, arrays)]
    slopes = torch.autograd.grad(made.function(*args).sin().sum(), args)
    written = torch.autograd.grad(as_written(COSINES, arrays).function(*args).sin().sum(), args)
    torch.testing.assert_close(slopes, written)


def test_the_order_is_the_call_s() -> None:
    made = compiled(COSINES, given(2, 2, 2))
    found = {made.select_for({"i": i, "j": j, "c": c}) for i, j, c in SIZES.values() if i * j * c}
    assert len(found) > 2


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_a_length_of_nothing(sizes: tuple[int, int, int]) -> None:
    arrays = given(*sizes)
    arrays["X"][:1] = 0
    made, written = compiled(COSINES, arrays), as_written(COSINES, arrays)
    args = tensors(made, arrays)
    torch.testing.assert_close(made.function(*args), written.function(*args), equal_nan=True)


def test_nothing_to_sum() -> None:
    text = "def f(X[i, c], Y[j, c], a[i], b[j]) -> [i, j] = a * (X @[c] Y) / b"
    arrays = given(2, 3, 0) | {"a": np.ones(2), "b": np.full(3, 2.0)}
    agree(compiled(text, arrays), arrays)
