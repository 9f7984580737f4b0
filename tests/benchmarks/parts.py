"""What is measured beside the workloads, by name: what calls and compiling cost, and where loops have their floor."""

from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks.call_overhead import calls, compiling, module_calls
from tests.benchmarks.floors import floors
from tests.benchmarks.records import Row
from tests.benchmarks.running import Effort

PARTS: dict[str, Callable[[Effort], Row]] = {
    "call overhead": calls,
    "module overhead": module_calls,
    "compiling and importing": compiling,
    "floors of loops": floors,
}
