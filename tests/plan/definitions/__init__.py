"""Definitions that are recognised in every spelling, by subject: each module here but `table` has `CASES`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.plan.definitions.table import Case

SUBJECTS = tuple(import_module(f"{__name__}.{one.name}") for one in iter_modules(__path__) if one.name != "table")
CASES: tuple[Case, ...] = tuple(case for subject in SUBJECTS for case in subject.CASES)
