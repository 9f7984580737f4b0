"""Random formulas, compiled, against the reference interpreter: values, gradients, infinities, empty axes.

`pytest tests/fuzz --formulas 5000` runs that many of each kind. What is compared follows the numeric contract: values
where the float64 reference stays finite at every statement; gradients against central differences of the reference
where these agree with themselves at two step sizes (elsewhere the formula has a kink in between).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import namedlayers as nl
from namedlayers.plan.operations import OPERATIONS
from namedlayers.program.verify import verify_graph
from namedlayers.reference import trace

from .formulas import Formula, formulas

RELAXED = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@pytest.fixture(scope="module")
def count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--formulas"))


def _run(formula: Formula) -> tuple[nl.Function, list[torch.Tensor], torch.Tensor]:
    function = nl.compile(formula.text)
    tensors = [torch.tensor(array, requires_grad=True) for array in formula.inputs.values()]
    made = function.specialize(*tensors)
    for variant in made.plan.variants:  # sizes that happen to fit do not hide a plan that is wrong for others
        verify_graph(variant.graph, made.program.checks, OPERATIONS)
    return function, tensors, function(*tensors)


def test_values_of_random_formulas(count: int) -> None:
    @settings(max_examples=count, **RELAXED)
    @given(formulas())
    def compiled_equals_reference(formula: Formula) -> None:
        note(repr(formula))
        function, _, result = _run(formula)
        by_definition = trace(function.program, formula.inputs)
        if all(by_definition.finite.values()):
            np.testing.assert_allclose(result.detach().numpy(), by_definition.outputs[0], rtol=1e-8, atol=1e-9)

    compiled_equals_reference()


def test_values_with_infinities_and_empty_axes(count: int) -> None:
    @settings(max_examples=count, **RELAXED)
    @given(formulas(special=True))
    def compiled_equals_reference(formula: Formula) -> None:
        note(repr(formula))
        function, _, result = _run(formula)
        by_definition = trace(function.program, formula.inputs)
        assert result.shape == by_definition.outputs[0].shape
        if all(by_definition.finite.values()):
            np.testing.assert_allclose(result.detach().numpy(), by_definition.outputs[0], rtol=1e-8, atol=1e-9)

    compiled_equals_reference()


def test_gradients_of_random_formulas(count: int) -> None:
    @settings(max_examples=count, **RELAXED)
    @given(formulas(), st.integers(0, 2**16))
    def gradient_equals_differences(formula: Formula, seed: int) -> None:
        note(repr(formula))
        function, tensors, result = _run(formula)
        if not result.requires_grad:
            return
        program = function.program
        random = np.random.default_rng(seed)
        weights = random.normal(size=tuple(result.shape))
        directions = [random.normal(size=array.shape) for array in formula.inputs.values()]

        def slope_at(tensors: list[torch.Tensor]) -> float:
            total = (function(*tensors) * torch.tensor(weights)).sum()
            gradients = torch.autograd.grad(total, tensors, allow_unused=True)
            along = zip(gradients, directions, strict=True)
            return sum(float((g * torch.tensor(d)).sum()) for g, d in along if g is not None)

        slope = slope_at(tensors)

        def at(step: float) -> float:
            moved = {
                name: array + step * d for (name, array), d in zip(formula.inputs.items(), directions, strict=True)
            }
            found = trace(program, moved)
            return float((found.outputs[0] * weights).sum()) if all(found.finite.values()) else np.nan

        wide, narrow = ((at(h) - at(-h)) / (2 * h) for h in (1e-4, 1e-5))
        scale = max(1.0, abs(wide), abs(narrow))
        if np.isfinite(wide) and np.isfinite(narrow) and abs(wide - narrow) < 1e-5 * scale:
            if abs(slope - narrow) < 1e-4 * scale:
                return
            # The root of a spread that is 0 but for rounding has a slope that is all rounding: another one next to it.
            aside = [(one * (1 + 1e-9 * torch.rand_like(one))).detach().requires_grad_() for one in tensors]
            assert abs(slope - slope_at(aside)) > 1e-4 * scale, f"gradient {slope}, differences {narrow}"

    gradient_equals_differences()
