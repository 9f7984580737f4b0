"""What all tests share: the flags, and the fixture of golden files."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

# The tensors are small: with several workers, threads only wait for each other. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Imports and collection make much that stays: it is looked through seldom until `_leave_what_stays`.
gc.set_threshold(20_000, 20, 10)

pytest.register_assert_rewrite("tests.golden")

from tests.golden import check  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what the code gives now into golden files")
    parser.addoption("--formulas", default=150, type=int, help="how many random formulas of each kind to compile")
    parser.addoption("--mutants", default=3, type=int, help="how many random spellings of each definition to plan")


# Triton is there for Linux only.
collect_ignore = [] if find_spec("triton") else ["emit/test_triton_kernels.py"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need a device are left out where there is none, and pytest says how many."""
    import torch

    _leave_what_stays()
    if torch.cuda.is_available():
        return
    without = [item for item in items if item.get_closest_marker("gpu")]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]


def pytest_unconfigure() -> None:
    gc.unfreeze()


def _leave_what_stays() -> None:
    """What is there after collection (torch, the tests) stays, so that nobody looks through it for what may go: that
    took a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _compiled_afresh() -> None:
    """torch.compile counts what it makes of all objects that are called together, whichever tests called them. It need
    not look for what may go after each compilation, nor measure how long its guards take: a tenth of its time."""
    if dynamo := sys.modules.get("torch._dynamo"):
        dynamo.reset()
        dynamo.config.run_gc_after_compile = False
        dynamo.guards.profile_guard_manager = lambda *_: 0.0


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, Callable[[str], str]], None]:
    """Checks a golden file: called with its path and the function from its input to a text."""
    return partial(check, update=request.config.getoption("--update-golden"))
