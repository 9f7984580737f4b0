"""Random formulas under semirings: logarithms against plain numbers, extremes against the reference, with gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import namedlayers as nl

from .growing import Formula, grown
from .semirings import STEPS

RELAXED = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@pytest.fixture(scope="module")
def count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--formulas"))


def _positive(formula: Formula, zeros: bool = False) -> list[torch.Tensor]:
    """Values that have logarithms; with `zeros`, also the least of all."""
    tensors = [torch.tensor(array).abs() + 0.01 for array in formula.inputs.values()]
    return [torch.where(one > 1, 0.0, one) if zeros else one for one in tensors]


def test_logarithms_of_random_formulas(count: int) -> None:
    @settings(max_examples=count, **RELAXED)
    @given(grown(STEPS), st.booleans())
    def logarithms_are_those_of_the_sums(formula: Formula, zeros: bool) -> None:
        note(repr(formula))
        plain, log = nl.compile(formula.text), nl.compile(formula.text, semiring="log")
        tensors = [one.requires_grad_() for one in _positive(formula, zeros)]
        wanted, found = plain(*tensors), log(*(one.log() for one in tensors))
        torch.testing.assert_close(found.exp(), wanted, rtol=1e-8, atol=1e-12)
        if zeros or not wanted.requires_grad or not wanted.isfinite().all():
            return
        slope = torch.rand_like(wanted) / (1 + wanted.detach())
        ours, theirs = (
            torch.autograd.grad((one * slope).sum(), tensors, allow_unused=True, materialize_grads=True)
            for one in (found.exp(), wanted)
        )
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)

    logarithms_are_those_of_the_sums()


@pytest.mark.parametrize("semiring", ["max-plus", "min-plus", "max-product", "min-product", "complex-log"])
def test_random_formulas_under(semiring: str, count: int) -> None:
    @settings(max_examples=count // 4, **RELAXED)
    @given(grown(STEPS))
    def compiled_equals_reference(formula: Formula) -> None:
        note(repr(formula))
        function = nl.compile(formula.text, semiring=semiring)
        tensors = _positive(formula)
        if semiring == "complex-log":
            tensors = [one.to(torch.complex128) for one in tensors]
        found, wanted = function(*tensors), function.reference(*tensors)
        if semiring == "complex-log":
            found, wanted = found.exp(), wanted.exp()  # of one angle there are many
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-8, atol=1e-9)

    compiled_equals_reference()
