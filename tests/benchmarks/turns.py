"""Timing that can be trusted on a noisy machine: all sides take turns in one process, and medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Side = Callable[[], object]


def medians(sides: Mapping[str, Side], *, rounds: int = 31, calls: int = 1) -> dict[str, float]:
    """Seconds a call for each side: the median over rounds in each of which every side runs `calls` times."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(3):
        for side in sides.values():
            side()
    for _ in range(rounds):
        for name, side in sides.items():
            start = time.perf_counter()
            for _ in range(calls):
                side()
            taken[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(times) for name, times in taken.items()}


def report(title: str, found: Mapping[str, float], against: str) -> None:
    """One line a side: time, and ratio to the side `against`."""
    print(title)
    for name, seconds in found.items():
        shown = f"{seconds * 1e3:9.3f} ms" if seconds > 1e-3 else f"{seconds * 1e6:9.2f} µs"
        print(f"  {name:34} {shown}   {seconds / found[against]:6.2f} x {against}")
