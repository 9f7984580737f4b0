"""The scripts of examples/ as modules, and how their tests say what they need."""

from __future__ import annotations

import importlib.util
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def script(name: str) -> ModuleType:
    """`examples/name.py`, loaded but not run."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(*packages: str) -> pytest.MarkDecorator:
    """Marks tests that run where these are installed. CI installs all of them, so that there they fail instead."""
    missing = [package for package in packages if not _installed(package) and "CI" not in os.environ]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
