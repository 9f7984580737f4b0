"""Every variant of every plan is a graph: rules keep what the verifier asks for."""

from __future__ import annotations

import pytest

from namedlayers.plan.operations import OPERATIONS
from namedlayers.plan.planner import plan
from namedlayers.program.numbering import number
from namedlayers.program.verify import verify_graph, verify_program
from tests.program.test_printer import FORMULAS, program


@pytest.mark.parametrize("text", FORMULAS)
def test_rules_keep_the_invariants(text: str) -> None:
    made = program(text)
    verify_program(made)
    variants = plan(number(made)).variants
    assert variants
    for variant in variants:
        verify_graph(variant.graph, made.checks, OPERATIONS)
