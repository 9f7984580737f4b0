"""Random formulas keep every invariant, and print as text that means the same."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings

from namedlayers.plan.operations import OPERATIONS
from namedlayers.plan.planner import plan
from namedlayers.program.elaborate import elaborate
from namedlayers.program.namespace import load_text
from namedlayers.program.numbering import number
from namedlayers.program.printer import print_program, spec_of
from namedlayers.program.program import Program
from namedlayers.program.spec import Spec
from namedlayers.program.verify import verify_graph, verify_program
from namedlayers.reference import evaluate
from tests.fuzz.formulas import Formula, formulas
from tests.program.drawing import drawn
from tests.program.test_printer import default_spec


def elaborated(text: str, spec: Spec | None = None) -> Program:
    namespace = load_text(text)
    (definition,) = namespace.definitions.values()
    return elaborate(namespace, definition, spec or default_spec(namespace, definition))


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(formulas())
def test_random_formulas(formula: Formula) -> None:
    first = elaborated(formula.text)
    verify_program(first)
    graph = number(first)
    verify_graph(graph, first.checks)
    for variant in plan(number(first)).variants:
        verify_graph(variant.graph, first.checks, OPERATIONS)
    second = elaborated(print_program(first), spec_of(first))
    verify_program(second)
    # What is computed without a name in the text has one in the print, so that nodes may have other numbers there.
    third = elaborated(print_program(second), spec_of(second))
    assert drawn(number(second)) == drawn(number(third))
    for one, other in zip(evaluate(first, formula.inputs), evaluate(second, formula.inputs), strict=True):
        np.testing.assert_array_equal(one, other)
