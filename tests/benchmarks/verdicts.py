"""What a row is held to, and whether it is met.

In: a workload and its figures. Out: ratios and `Verdict`s. What always holds: a ratio is to the best form by hand of
the same run, unless it says otherwise; what was not measured gets no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.generated import CODE
from tests.benchmarks.sides import COMPILED, INDUCTOR, OURS
from tests.benchmarks.workload import Workload

Row = Mapping[str, Any]
Figures = Mapping[str, Any]

MEMORY = 1.1
"""What a formula may hold at once, of what the fastest form by hand holds."""
COMPILED_TARGET = 1.03
"""What `backend="inductor"` may take, of torch.compile on the best form by hand."""
BYTES = "_bytes"
TOLD = {"forward": "forward", "both": "with backward"}


@dataclass(frozen=True)
class Verdict:
    """`ratio` to `against` should be at most `limit`. `low` is what it is at least, with the noise of both in its
    favour: the ends of the intervals in which their medians lie. `alike`: torch.compile makes the same kernels of both,
    so that the ratio is noise."""

    workload: str
    side: str
    what: str
    against: str
    limit: float
    ratio: float
    low: float
    alike: bool = False

    @property
    def met(self) -> bool:
        return self.alike or self.ratio <= self.limit

    @property
    def missed(self) -> bool:
        """Not met, and not for the noise."""
        return not self.met and self.low > self.limit


def best(row: Row, names: Iterable[str], measure: str) -> float | None:
    """The least figure of those sides that have it."""
    found = [row["sides"][name][measure] for name in names if measure in row["sides"].get(name, {})]
    return min(found, default=None)


def by_hand(workload: Workload, row: Row, measure: str) -> float | None:
    """The figure of the fastest form by hand: its time, or what it holds."""
    if not measure.endswith(BYTES):
        return best(row, workload.by_hand, measure)
    fastest = _fastest(row["sides"], workload.by_hand, measure.removesuffix(BYTES))
    return fastest[measure] if fastest else None


def by_hand_compiled(workload: Workload, row: Row, measure: str) -> float | None:
    return best(row, [f"{name}{COMPILED}" for name in workload.by_hand], measure)


def ratio(workload: Workload, row: Row, side: str, measure: str) -> float | None:
    """A side's figure over that of the best form by hand."""
    found, base = row["sides"].get(side, {}).get(measure), by_hand(workload, row, measure)
    return None if found is None or not base else found / base


def verdicts(workload: Workload, row: Row) -> Iterator[Verdict]:
    """All that the row is held to and was measured."""
    sides = row["sides"]

    def verdict(
        side: str, what: str, against: str, limit: float, measure: str, base: Figures | None
    ) -> Iterator[Verdict]:
        found = sides.get(side, {})
        if base and measure in found and base.get(measure):
            low = found.get(f"{measure}_low", found[measure]) / base.get(f"{measure}_high", base[measure])
            code = found.get(f"{measure}{CODE}")
            alike = code is not None and code == base.get(f"{measure}{CODE}")
            yield Verdict(workload.name, side, what, against, limit, found[measure] / base[measure], low, alike)

    for measure, told in TOLD.items():
        hand = _fastest(sides, workload.by_hand, measure)
        compiled = _fastest(sides, [f"{name}{COMPILED}" for name in workload.by_hand], measure)
        for what, key, limit in (("time", measure, workload.target), ("memory", f"{measure}{BYTES}", MEMORY)):
            yield from verdict(OURS, f"{what}, {told}", "the fastest by hand", limit, key, hand)
        for side, limit in workload.edges.items():
            yield from verdict(OURS, f"time, {told}", side, limit, measure, sides.get(side))
        yield from verdict(INDUCTOR, f"time, {told}", "by hand, compiled", COMPILED_TARGET, measure, compiled)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _fastest(sides: Mapping[str, Figures], names: Iterable[str], measure: str) -> Figures | None:
    timed = [found for name in names if measure in (found := sides.get(name, {}))]
    return min(timed, key=lambda figures: figures[measure], default=None)
