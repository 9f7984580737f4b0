"""What a row is held to, and whether it is met.

In: a workload and its figures. Out: ratios and `Verdict`s. What always holds: a ratio is to the best form by hand of
the same run, unless it says otherwise; what was not measured gets no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.sides import COMPILED, INDUCTOR, OURS
from tests.benchmarks.workload import Workload

Row = Mapping[str, Any]

MEMORY = 1.1
"""What a formula may hold at once, of what the fastest form by hand holds."""
COMPILED_TARGET = 1.03
"""What `backend="inductor"` may take, of torch.compile on the best form by hand."""
BYTES = "_bytes"
TOLD = {"forward": "forward", "both": "with backward"}


@dataclass(frozen=True)
class Verdict:
    """`ratio` to `against` should be at most `limit`."""

    workload: str
    side: str
    what: str
    against: str
    limit: float
    ratio: float

    @property
    def met(self) -> bool:
        return self.ratio <= self.limit


def best(row: Row, names: Iterable[str], measure: str) -> float | None:
    """The least figure of those sides that have it."""
    found = [row["sides"][name][measure] for name in names if measure in row["sides"].get(name, {})]
    return min(found, default=None)


def by_hand(workload: Workload, row: Row, measure: str) -> float | None:
    """The figure of the fastest form by hand: its time, or what it holds."""
    if not measure.endswith(BYTES):
        return best(row, workload.by_hand, measure)
    time = measure.removesuffix(BYTES)
    timed = [one for name in workload.by_hand if time in (one := row["sides"].get(name, {}))]
    return min(timed, key=lambda figures: figures[time])[measure] if timed else None


def by_hand_compiled(workload: Workload, row: Row, measure: str) -> float | None:
    return best(row, [f"{name}{COMPILED}" for name in workload.by_hand], measure)


def ratio(workload: Workload, row: Row, side: str, measure: str) -> float | None:
    """A side's figure over that of the best form by hand."""
    found, base = row["sides"].get(side, {}).get(measure), by_hand(workload, row, measure)
    return None if found is None or not base else found / base


def verdicts(workload: Workload, row: Row) -> Iterator[Verdict]:
    """All that the row is held to and was measured."""
    for measure, told in TOLD.items():
        for what, key, limit in (("time", measure, workload.target), ("memory", f"{measure}{BYTES}", MEMORY)):
            found = ratio(workload, row, OURS, key)
            if found is not None:
                yield Verdict(workload.name, OURS, f"{what}, {told}", "the fastest by hand", limit, found)
        for side, limit in workload.edges.items():
            found = _over(row, OURS, row["sides"].get(side, {}).get(measure), measure)
            if found is not None:
                yield Verdict(workload.name, OURS, f"time, {told}", side, limit, found)
        found = _over(row, INDUCTOR, by_hand_compiled(workload, row, measure), measure)
        if found is not None:
            yield Verdict(workload.name, INDUCTOR, f"time, {told}", "by hand, compiled", COMPILED_TARGET, found)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _over(row: Row, side: str, base: float | None, measure: str) -> float | None:
    found = row["sides"].get(side, {}).get(measure)
    return None if found is None or not base else found / base
