"""Timing that can be trusted on a noisy machine: all sides take turns in one process, and medians are compared."""

from __future__ import annotations

from collections.abc import Mapping

from namedlayers.inspect.timing import Side, medians

__all__ = ["Side", "medians", "report"]


def report(title: str, found: Mapping[str, float], against: str) -> None:
    """One line a side: time, and ratio to the side `against`."""
    print(title)
    for name, seconds in found.items():
        shown = f"{seconds * 1e3:9.3f} ms" if seconds > 1e-3 else f"{seconds * 1e6:9.2f} µs"
        print(f"  {name:34} {shown}   {seconds / found[against]:6.2f} x {against}")
