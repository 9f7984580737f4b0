"""What calls cost: time, by turns, and the most memory that they hold.

In: functions without arguments, by name. Out: seconds and bytes a call. What always holds: all sides take turns in one
process, so that what else the machine does falls on all of them; medians are what is told; on a device, a call has
ended when the device has done its work.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.profiler import profile

Side = Callable[[], object]

Clock = Callable[[], float]

LEAST = 5
"""Rounds that even the slowest side takes part in, if its time is to be a median."""
TICK = 2e-3
"""Seconds that a sample takes at least, where calls are counted automatically: clock and loop are lost in it."""
SHORT = 0.05
"""Seconds below which a call is slowed down by what the side before it has left in the caches."""
SILENT = ("KINETO_LOG_LEVEL", "9")
"""Keeps torch's profiler from writing on stderr when it begins and ends; it looks once, before its first run."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Seconds a call: the median of the samples, and what the true median lies between with 95 % confidence."""

    low: float
    median: float
    high: float


def medians(sides: Mapping[str, Side], **how: Any) -> dict[str, float]:
    """Seconds a call for each side: the median over rounds. `how` as `intervals` takes it.

    >>> found = medians({"short": lambda: sum(range(10)), "long": lambda: sum(range(10_000))}, rounds=5)
    >>> found["short"] < found["long"]
    True
    """
    return {name: one.median for name, one in intervals(sides, **how).items()}


def intervals(
    sides: Mapping[str, Side],
    *,
    rounds: int = 31,
    calls: int | None = 1,
    seconds: float = math.inf,
    device: torch.device | str = "cpu",
    clock: Clock = time.perf_counter,
) -> dict[str, Interval]:
    """Seconds a call for each side, over rounds in each of which every side runs `calls` times (None: as often as a
    sample needs to be longer than a tick, and short ones once more before, so that each finds the caches as it leaves
    them itself).

    `clock=time.process_time` counts what the process itself computes, which is right for one thread on a machine that
    has more to do.

    `seconds` bounds what all of it takes, about: a side that would take more than its part of it runs in fewer rounds,
    in each of the first ones.

    >>> found = intervals({"sum": lambda: sum(range(10))}, rounds=5)["sum"]
    >>> found.low <= found.median <= found.high
    True
    """
    first = {name: _warmed(side, device) for name, side in sides.items()}
    warm = {name for name, taken_once in first.items() if calls is None and taken_once < SHORT}
    repeated = {name: calls or _calls(taken_once) for name, taken_once in first.items()}
    share = seconds / max(1, len(sides))
    turns = {name: _rounds(first[name] * repeated[name], share, rounds) for name in sides}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    names, order = list(sides), random.Random(0)
    for turn in range(max(turns.values(), default=0)):
        order.shuffle(names)  # so that none always comes after the same one
        for name in names:
            if turn < turns[name]:
                if name in warm:
                    sides[name]()
                taken[name].append(once(sides[name], repeated[name], device, clock))
    return {name: interval(times) for name, times in taken.items()}


def interval(times: Sequence[float]) -> Interval:
    """The interval of a median, from the ranks of the samples: no distribution is assumed.

    >>> interval([3.0, 1.0, 2.0])
    Interval(low=1.0, median=2.0, high=3.0)
    >>> interval(range(101))
    Interval(low=40, median=50, high=60)
    """
    ordered = sorted(times)
    count = len(ordered)
    below = max(0, math.floor((count - 1) / 2 - 0.98 * math.sqrt(count)))
    return Interval(ordered[below], statistics.median(ordered), ordered[count - 1 - below])


def once(side: Side, calls: int = 1, device: torch.device | str = "cpu", clock: Clock = time.perf_counter) -> float:
    """Seconds a call, of so many calls one after the other."""
    _wait(device)
    start = clock()
    for _ in range(calls):
        side()
    _wait(device)
    return (clock() - start) / calls


@dataclass(frozen=True, slots=True)
class Watched:
    """One call: its result, its seconds, and the most bytes that it held at once."""

    result: object
    seconds: float
    bytes: int


def watched(side: Side, device: torch.device | str = "cpu", clock: Clock = time.perf_counter) -> Watched:
    """Calls a side once and sees what it holds: beyond what was there before; the result included, inputs not.

    On a CPU it is what torch's allocator was asked for; what kernels take from elsewhere does not count. Long calls are
    hardly slowed down by being watched, short ones are.
    """
    if torch.device(device).type == "cuda":
        _wait(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        start = clock()
        result = side()
        _wait(device)
        seconds = clock() - start
        return Watched(result, seconds, int(torch.cuda.max_memory_allocated(device) - before))
    os.environ.setdefault(*SILENT)
    # (torch.profiler's loads the inductor before, and makes an object of every event afterwards: seconds, both)
    with profile(profile_memory=True) as seen:
        start = clock()
        result = side()
        seconds = clock() - start
    results = seen.kineto_results
    assert results is not None
    events = [event for event in results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return Watched(result, seconds, most)


def peak_bytes(side: Side, device: torch.device | str = "cpu") -> int:
    """The most bytes that a call holds at once.

    >>> x = torch.ones(1000)
    >>> peak_bytes(lambda: (x + x) * x)
    8000
    """
    return watched(side, device).bytes


# --- helpers ----------------------------------------------------------------------------------------------------------


def _warmed(side: Side, device: torch.device | str) -> float:
    """Seconds of a call of a side that has run before."""
    slow = once(side, 1, device)
    if slow > 1:
        return slow
    return min(once(side, 1, device) for _ in range(2))


def _calls(seconds: float) -> int:
    return max(1, min(1000, math.ceil(TICK / max(seconds, 1e-7))))


def _rounds(sample: float, share: float, most: int) -> int:
    if math.isinf(share):
        return most
    return max(min(LEAST, most), min(most, int(share / max(sample, 1e-9))))


def _wait(device: torch.device | str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
