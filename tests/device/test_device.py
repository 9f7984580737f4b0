"""What CUDA devices run, without one: on a stand-in whose numbers are the CPU's.

Each test is a process of its own, since a process has the stand-in from its first line or not at all. What it runs must
give what it gives on the CPU, values and gradients, without a tensor that lies elsewhere and without the host waiting.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
BY_PROXY = "tests.device.by_proxy"
PLUGIN = "tests.device.plugin"

# What the interpreter of Triton's kernels takes minutes for.
SLOW = "test_products_and_slopes", "second_order", "does_not_wait", "digits"
# What takes differences of finite steps: minutes, for numbers that the CPU has shown.
NUMERIC = "values_and_derivatives", "quotients"
# What is asked of a plan, which no device sees.
PLANS = ("left_to_torch",)
# Stretches of so many steps and states of so many columns: a device sees the shortest, the CPU all.
OTHERWISE = "[3-", "-3-"
# What would have to know of the stand-in: torch.compile, memory that is measured, hooks of tensors.
OF_HOSTS = "compil", "inductor", "traced", "operator", "nobody_asks", "written_over", "rules_are_tried", "never_there"


def without(*words: str) -> tuple[str, str]:
    return "-k", " and ".join(f"not {one}" for one in words)


EMIT = "tests/emit/test"

RUNS = {
    "devices": (PLUGIN, "tests/gpu", *without(*SLOW, *OF_HOSTS)),
    "library": (BY_PROXY, "tests/library", "--every", "3"),
    "workloads": (BY_PROXY, "tests/benchmarks/test_workloads.py", "-k", "all_sides_agree or loop_by_hand"),
    "steps": (
        BY_PROXY, f"{EMIT}_loop_derivatives.py", f"{EMIT}_gradient_steps.py", f"{EMIT}_gradients_in_blocks.py",
        f"{EMIT}_stretches.py", f"{EMIT}_networks.py", *without(*OF_HOSTS, *NUMERIC, *PLANS, *OTHERWISE),
        "--every", "4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_on_a_device(name: str) -> None:
    plugin, *chosen = RUNS[name]
    said = _run("pytest", "-p", plugin, "-p", "no:cacheprovider", "-q", "--tb=short", *chosen)
    assert " passed" in said, said


def test_benchmarks_of_a_device_run(tmp_path: Path) -> None:
    """Some of every group, and the page; what Triton's interpreter takes long for is left out, and long loops are."""
    chosen = "Norms*", "(A @ B) @ x", "attention", "blur pool", "RNN, one sequence"
    only = [word for one in chosen for word in ("--only", one)]
    said = _run("tests.device.benchmarks", "--no-plot", "--out", str(tmp_path), *only)
    assert (tmp_path / "benchmarks-cuda.md").read_text().startswith("# What it costs on a GPU"), said


# --- helpers ----------------------------------------------------------------------------------------------------------


def _run(module: str, *arguments: str) -> str:
    found = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout
