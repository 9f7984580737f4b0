"""Errors of names, axes and sizes: the exact report of each mistake, and that the table of codes is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from namedlayers.errors import FormulaError
from namedlayers.program.elaborate import default_spec, elaborate
from namedlayers.program.namespace import load_text
from namedlayers.program.program import Program
from namedlayers.program.sizes_at_call import solve_sizes
from tests.golden import golden_files, stem

FILES = golden_files(Path(__file__).parent / "golden")

Golden = Callable[[Path, Callable[[str], str]], None]


def program(text: str) -> Program:
    """The program of the last definition of a text, called plainly."""
    space = load_text(text)
    definition = list(space.definitions.values())[-1]
    return elaborate(space, definition, default_spec(space, definition))


def report(given: str) -> str:
    """What a text reports: when it is elaborated, or when it is called with inputs of the shapes that it ends in."""
    text, _, call = given.partition("\n==== called with ")
    shapes = {name: _shape(sizes) for name, sizes in re.findall(r"(\w+)=\((.*?)\)", call)}
    if not shapes:
        with pytest.raises(FormulaError) as caught:
            program(text)
        return str(caught.value)
    checked = program(text)
    with pytest.raises(FormulaError) as caught:
        solve_sizes(checked, shapes)
    return str(caught.value)


def _shape(sizes: str) -> tuple[int, ...]:
    return tuple(int(size) for size in sizes.split(",") if size.strip())


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_report(path: Path, golden: Golden) -> None:
    golden(path, report)
