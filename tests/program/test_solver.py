"""Equations of sizes that a product of sizes satisfies in more than one way."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl

DOUBLED = """
def doubled(X[a, b]) -> [n]:
    Y = X[(a, b) -> n]
    return concat[n](Y, Y) + Y
"""


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0)])
def test_either_factor_of_an_empty_product_may_be_empty(shape: tuple[int, int]) -> None:
    assert nl.compile(DOUBLED)(torch.zeros(shape)).shape == (0,)


def test_a_product_that_is_not_empty_disagrees_with_its_double() -> None:
    with pytest.raises(nl.SizeError, match="NL0402"):
        nl.compile(DOUBLED)(torch.zeros(2, 3))
