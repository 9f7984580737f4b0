"""Every definition of the tables in many spellings: the plan must not depend on the spelling, nor the values.

`pytest tests/plan/test_mutations.py --mutants 200` makes that many mixtures of each definition, and takes all of what
one law by itself gives.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from tests.plan.alike import base_of, computed, differing
from tests.plan.definitions import CASES, Case
from tests.plan.mutation import Mutant, mixtures, singles

SINGLES = 3
"""How many spellings by one law there are for each mixture, at most."""

NAMES = [case.name for case in CASES]


@pytest.fixture
def mutants(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--mutants"))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_as_it_stands(case: Case) -> None:
    found = base_of(case).planned
    assert computed(found) == case.ops, found.plan.variants[0].graph.live()


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_each_law_by_itself(case: Case, mutants: int) -> None:
    found = list(singles(case.text, case.without))
    _all_alike(case, random.Random(case.name).sample(found, min(len(found), _count(case, SINGLES * mutants))))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_mixtures(case: Case, mutants: int) -> None:
    _all_alike(case, mixtures(case.text, _count(case, mutants), case.name, case.without, case.lifts))


def _count(case: Case, usual: int) -> int:
    return max(1, round(usual * case.share))


def _all_alike(case: Case, mutants: Iterable[Mutant]) -> None:
    wrong = list(differing(case, mutants))
    if wrong:
        pytest.fail("\n".join([f"{len(wrong)} spellings are not {case.ops}:", *wrong]), pytrace=False)
