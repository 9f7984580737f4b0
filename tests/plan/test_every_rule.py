"""Every rule has an example and a near miss, and `explain` says of a near miss where it is and what to change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from namedlayers.plan import explain
from namedlayers.plan.hints import HINTS
from namedlayers.plan.planner import Numerics
from namedlayers.plan.regions import LAST_STEPS
from namedlayers.plan.rules import JOINING, PHASES
from namedlayers.plan.rules.places import prefixes, waves
from namedlayers.program.program import Kind
from tests.plan.formulas import Planned, planned, planned_text
from tests.plan.rule_table import KERNELS, TIDYING, Row

RULES = dict.fromkeys(
    rule.name for rules in (*PHASES, prefixes.RULES, waves.RULES, JOINING, LAST_STEPS) for rule in rules
)
ROWS = KERNELS | TIDYING
KINDS = {"I": Kind.INT, "T": Kind.INT, "S": Kind.INT, "J": Kind.INT, "B": Kind.BOOL}


def test_no_rule_without_an_example_and_a_near_miss() -> None:
    assert not RULES.keys() - ROWS.keys(), "rules that tests/plan/rule_table.py lacks"
    assert not ROWS.keys() - RULES.keys(), "rows of tests/plan/rule_table.py that are no rules"


@pytest.mark.parametrize("name", ROWS)
def test_it_fires(name: str) -> None:
    found = _planned(ROWS[name], ROWS[name].fires)
    assert name in _fired(found), explain(found.plan)


@pytest.mark.parametrize("name", ROWS)
def test_it_does_not_fire(name: str) -> None:
    found = _planned(ROWS[name], ROWS[name].misses)
    assert name not in _fired(found), explain(found.plan)


@pytest.mark.parametrize("name", KERNELS)
def test_it_says_why_not(name: str) -> None:
    row = KERNELS[name]
    found = _planned(row, row.misses)
    (event,) = [event for event in found.plan.events if event.rule == name and event.near]
    assert row.reason in event.near
    assert event.spans and all(span.text in row.misses for span in event.spans), "it points at the formula"
    assert event.near in explain(found.plan)


CONDITIONED = [name for name, row in ROWS.items() if row.numerics == "fast"]
WEIGHED = {rule.name for rule in waves.RULES}
"""Rules that are for what is multiplied out after them, so that where nothing may be, nobody asks for them."""


def test_conditioned_rules_have_rows_that_ask_for_them() -> None:
    phases = (*PHASES, prefixes.RULES, waves.RULES, JOINING)
    rules = [rule for rules in phases for rule in rules if rule.numerics == "conditioned"]
    assert {rule.name for rule in rules} <= set(CONDITIONED) and all(rule.loses for rule in rules)


@pytest.mark.parametrize("numerics", ["default", "strict"])
@pytest.mark.parametrize("name", CONDITIONED)
def test_what_is_conditioned_says_where_it_would_fire(name: str, numerics: Numerics) -> None:
    row = ROWS[name]
    (fast,) = [event for event in _planned(row, row.fires).plan.events if event.rule == name and not event.near]
    events = [one for one in _planned(replace(row, numerics=numerics), row.fires).plan.events if one.rule == name]
    if numerics == "strict" and name in WEIGHED:
        assert not events
        return
    (event,) = events
    assert event.spans == fast.spans and event.near.startswith("it is conditioned") and 'numerics="fast"' in event.near


def test_every_hint_is_seen() -> None:
    """None is there for what cannot happen."""
    rows = [KERNELS[name] for name in {hint.rule: None for hint in HINTS}]
    said = {event.near for row in rows for event in _planned(row, row.misses).plan.events}
    assert {hint.rule for hint in HINTS if f"{hint.reason}: {hint.cure}" in said} == {hint.rule for hint in HINTS}


# --- helpers ----------------------------------------------------------------------------------------------------------


def _planned(row: Row, expression: str) -> Planned:
    if "return" not in expression:
        return planned(row.given, expression, numerics=row.numerics, kinds=KINDS)
    body = "".join(f"    {line}\n" for line in expression.splitlines())
    return planned_text(f"def f({row.given}):\n{body}", numerics=row.numerics, kinds=KINDS)


def _fired(found: Planned) -> set[str]:
    """In what is written, and in the bodies that are run."""
    plans = (found.plan, *found.plan.bodies.values())
    return {event.rule for one in plans for event in one.events if not event.near}
