"""Definitions that are recognised in every spelling, by subject."""

from __future__ import annotations

from tests.plan.definitions import (
    attentions,
    convolutions,
    entropies,
    losses,
    norms,
    pools,
    products,
    recurrences,
    softmaxes,
    transposed,
)
from tests.plan.definitions.table import Case

SUBJECTS = (attentions, convolutions, entropies, losses, norms, pools, products, recurrences, softmaxes, transposed)
CASES: tuple[Case, ...] = tuple(case for subject in SUBJECTS for case in subject.CASES)
