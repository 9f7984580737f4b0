"""The exact report of every mistake in a mapping, and of weights that do not fit.

A golden file holds a layer, a line `==== call`, and an expression in which `m` is a module of it, all zeros, and
`t(2, 3)` a tensor of ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import namedlayers as nl
from namedlayers.codes.weights import WEIGHTS
from tests.golden import golden_files, stem
from tests.weights.modules import zeros

FILES = golden_files(Path(__file__).parent / "golden")


def report(given: str) -> str:
    declared, _, call = given.partition("==== call\n")
    module = zeros(declared)
    with pytest.raises(nl.FormulaError) as caught:
        eval(call.strip(), {"nl": nl, "torch": torch, "m": module, "t": lambda *shape: torch.ones(shape)})
    assert all(not one.any() for one in module.parameters() if not one.is_meta), "what fails changes nothing"
    return str(caught.value)


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_report(path: Path, golden: Callable[[Path, Callable[[str], str]], None]) -> None:
    golden(path, report)


def test_every_code_has_a_file() -> None:
    shown = {code for path in FILES for code in re.findall(r"^(NL\d{4}): ", path.read_text(encoding="utf-8"), re.M)}
    assert set(WEIGHTS) - RAISED_ELSEWHERE <= shown


RAISED_ELSEWHERE = {"NL0561"}
