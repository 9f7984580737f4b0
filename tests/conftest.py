"""What all tests share: the flags, and the fixture of golden files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

# The tensors are small: with several workers, threads only wait for each other. Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest.register_assert_rewrite("tests.golden")

from tests.golden import check  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what the code gives now into golden files")
    parser.addoption("--formulas", default=150, type=int, help="how many random formulas of each kind to compile")
    parser.addoption("--mutants", default=5, type=int, help="how many random spellings of each definition to plan")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, Callable[[str], str]], None]:
    """Checks a golden file: called with its path and the function from its input to a text."""
    return partial(check, update=request.config.getoption("--update-golden"))
