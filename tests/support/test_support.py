"""Every cell of the table in docs/support.md is true, and the page is what its data give."""

from __future__ import annotations

import logging
import re
import shutil
import warnings
from collections.abc import Iterator
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.support.columns import COLUMNS, compiled
from tests.support.features import FEATURES, Feature
from tests.support.page import page

PAGE = Path(__file__).parents[2] / "docs" / "support.md"

CELLS = [(feature, column) for feature in FEATURES for column in COLUMNS]
WORKS = [cell for cell in CELLS if cell[1] not in cell[0].no]
FAILS = [cell for cell in CELLS if cell[1] in cell[0].no]


def _names(cells: list[tuple[Feature, str]]) -> list[str]:
    return [f"{feature.name}-{column}" for feature, column in cells]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Without what torch's exporters have to say about themselves."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True, scope="module")
def known_operators() -> Iterator[None]:
    """torch's exporter makes its table of operators for each export: a second, which is most of the time."""
    from torch.onnx._internal.exporter import _registration

    registry = _registration.ONNXRegistry
    made = cache(registry.from_torchlib)

    def copied(opset_version: int) -> Any:
        found = copy(made(opset_version))
        found.functions = {name: list(known) for name, known in found.functions.items()}
        return found

    with patch.object(registry, "from_torchlib", staticmethod(copied)):
        yield


@pytest.mark.parametrize(("feature", "column"), WORKS, ids=_names(WORKS))
def test_works(feature: Feature, column: str) -> None:
    COLUMNS[column].check(feature)


@pytest.mark.parametrize(("feature", "column"), FAILS, ids=_names(FAILS))
def test_does_not_work_and_says_why(feature: Feature, column: str) -> None:
    with pytest.raises(Exception) as caught:
        COLUMNS[column].check(feature)
    assert re.search(feature.no[column].says, _words(caught.value)), _words(caught.value)


def _words(error: BaseException | None) -> str:
    """What an error says, and what those say that it came from."""
    said = []
    while error is not None:
        said.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return "\n".join(said)


@pytest.mark.parametrize("name", ["several heads, from one projection", "windows that no kernel takes"])
def test_compiled_to_kernels(name: str) -> None:
    backend = "inductor" if shutil.which("g++") else "aot_eager"
    compiled(next(feature for feature in FEATURES if feature.name == name), backend)


def test_the_page_is_fresh(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "write it with `pytest tests/support --update-golden`"


def test_rows_have_names_of_their_own_and_reasons_for_columns_that_exist() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    assert all(feature.no.keys() <= COLUMNS.keys() for feature in FEATURES)
