"""Products that are added in one pass, and means of two: which sums they are, and that all is as it is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from tests.emit.forms import inputs_of, reference, text_of
from tests.helpers import check

ABC = "A[i, j], B[i, j], C[i, j]"
SIZES = {"i": 3, "j": 4, "k": 2}

PRODUCTS = {
    "a term": (ABC, "return C + A * B"),
    "the first term": (ABC, "return A * B + C"),
    "subtracted": (ABC, "return C - A * B"),
    "along other axes": ("A[i], B[j], C[i, j]", "return C + A * B"),
    "added to fewer axes": ("A[i, j], B[i, j], C[j]", "return A * B + C"),
    "turned": ("A[j, i], B[i, j], C[i, j]", "return C - A * B"),
    "of two products": (ABC, "return A * B + B * C"),
    "a number for each call": ("A[], B[i], C[i]", "return C + A * B"),
    "a product behind": ("A[i, k], W[j, k], B[i, j]", "return relu(B - (A @[k] W) * B)"),
}
MEANS = {
    "by what is missing": ("A[i, j], B[i, j], w[j]", "return A + w * (B - A)"),
    "by what is too much": ("A[i, j], B[i, j], w[i]", "return A - w * (A - B)"),
    "by a number": ("A[i, j], B[i, j]", "return B + 0.25 * (A - B)"),
    "of parts": ("A[i], B[j], w[i, j]", "return (B - A) * w + A"),
}
NOT = {
    "subtracted from": (ABC, "return A * B - C"),
    "of fewer axes than it is added to": ("A[i], B[i], C[i, j]", "return C + A * B"),
    "needed again": (ABC, "P = A * B\nreturn P + C + 2 * P"),
    "integers": (ABC, "return int(C) + int(A) * int(B)"),
    "twice the same": (ABC, "P = A * B\nreturn P + P"),
}
NO_MEAN = {
    "the other way": (ABC, "return A + C * (A - B)"),
    "needed again": (ABC, "D = B - A\nreturn (A + C * D) * D"),
    "of a third": (ABC, "return A + C * (B - C)"),
    "subtracted the other way": (ABC, "return A - C * (B - A)"),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_that_are_added(name: str) -> None:
    text = text_of(*PRODUCTS[name])
    arrays = inputs_of(text, SIZES)
    assert "plus_product(" in nl.compile(text).code
    check(text, arrays, reference(text, arrays))
    given = [torch.from_numpy(np.asarray(one)) for one in arrays.values()]
    with torch.no_grad():
        torch.testing.assert_close(nl.compile(text)(*given), torch.from_numpy(reference(text, arrays)))


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("sizes", [{}, {"i": 1}, {"j": 0}])
def test_means_of_two(name: str, sizes: dict[str, int]) -> None:
    text = text_of(*MEANS[name])
    arrays = inputs_of(text, {**SIZES, **sizes})
    assert "lerp(" in nl.compile(text).code and "lerp(" not in nl.compile(text, numerics="strict").code
    check(text, arrays, reference(text, arrays))


@pytest.mark.parametrize("name", NOT | {f"no mean: {name}": form for name, form in NO_MEAN.items()})
def test_what_is_neither(name: str) -> None:
    forms = NOT | {f"no mean: {name}": form for name, form in NO_MEAN.items()}
    text = text_of(*forms[name])
    assert ("plus_product(" if name in NOT else "lerp(") not in nl.compile(text).code
    arrays = inputs_of(text, SIZES)
    check(text, arrays, reference(text, arrays), gradients="int" not in text)


@pytest.mark.parametrize("form", [PRODUCTS["a term"], PRODUCTS["subtracted"], MEANS["by what is missing"]])
def test_derivatives_of_every_kind(form: tuple[str, str]) -> None:
    text = text_of(*form)
    f, written = nl.compile(text), nl.compile(text, numerics="strict")
    given = [torch.randn(one.shape, dtype=torch.float64) for one in inputs_of(text, SIZES).values()]
    learned = [one.clone().requires_grad_() for one in given]
    assert torch.autograd.gradcheck(f, learned) and torch.autograd.gradgradcheck(f, learned)
    expected = written(*given)
    torch.testing.assert_close(torch.func.vmap(f)(*(one[None] for one in given))[0], expected)
    tangents = (torch.func.jvp(one, tuple(given), tuple(given))[1] for one in (f, written))
    torch.testing.assert_close(*tangents)
    torch.testing.assert_close(torch.compile(f, backend="eager", fullgraph=True)(*given), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_less_precision(dtype: torch.dtype) -> None:
    f = nl.compile(text_of(*PRODUCTS["a term"]))
    a, b, c = (torch.randn(3, 4, dtype=dtype) for _ in range(3))
    found = f(a, b, c)
    assert found.dtype is dtype
    torch.testing.assert_close(found.double(), c.double() + a.double() * b.double(), rtol=2e-2, atol=2e-2)
    assert f(a, b.float(), c).dtype is torch.float32


def test_what_is_not_finite() -> None:
    f = nl.compile(text_of(*PRODUCTS["a term"]))
    odd = torch.tensor([0.0, 1.0, -1.0, torch.inf, -torch.inf, torch.nan])
    a, b, c = torch.meshgrid(odd, odd, odd, indexing="ij")
    given = [one.reshape(6, 36).contiguous() for one in (a, b, c)]
    torch.testing.assert_close(f(*given), given[2] + given[0] * given[1], equal_nan=True)
