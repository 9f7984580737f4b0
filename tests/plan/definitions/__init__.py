"""Definitions that are recognised in every spelling, by subject."""

from __future__ import annotations

from tests.plan.definitions import convolutions
from tests.plan.definitions.table import Case

CASES: tuple[Case, ...] = (*convolutions.CASES,)
