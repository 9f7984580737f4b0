"""Spellings of each definition, compiled: values and gradients are those of the definition by the reference."""

from __future__ import annotations

import pytest

from tests.helpers import check
from tests.plan.alike import asked
from tests.plan.definitions import CASES, Case
from tests.plan.mutation import mixtures


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_spelling_compiled(case: Case) -> None:
    """In float64 and float32; the gradient against the slope of the reference."""
    (mutant,) = mixtures(case.text, 1, f"{case.name}, compiled", case.without, case.lifts)
    inputs, wanted = asked(case, mutant)
    check(mutant.text, inputs, wanted, rtol=1e-8, atol=1e-9)
