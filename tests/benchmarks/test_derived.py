"""Gradients that are derived by hand are those that torch derives."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.cells import CELLS
from tests.benchmarks.derived_by_hand import DERIVED
from tests.benchmarks.workloads.recurrences import TINY


@pytest.mark.parametrize("name", DERIVED)
def test_derived_by_hand(name: str) -> None:
    (cell,) = (one for one in CELLS if one.name == name)
    torch.manual_seed(0)
    tensors = [one.double().requires_grad_() for one in cell.tensors(TINY)]
    results = cell.by_hand(*tensors)
    slopes = torch.randn_like(results)
    expected = torch.autograd.grad(results, tensors, slopes)
    with torch.no_grad():
        found = DERIVED[name](slopes, *tensors)
    torch.testing.assert_close(tuple(found), expected)
