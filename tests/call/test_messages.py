"""The exact report of every mistake in a call, in compiling and in naming axes.

A golden file holds a text (which may be empty), a line `==== call`, and a Python expression: `f` is the text's last
definition, `t(2, 3)` a tensor of zeros with this shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.codes.call import ARGUMENTS, ENTRANCES
from namedlayers.codes.modules import MODULES
from tests.golden import golden_files, stem

FILES = golden_files(Path(__file__).parent / "golden")

RAISED_ELSEWHERE = {"NL0440"}
"""Exported scans in another process: see tests/emit/test_scan_loops."""


def report(given: str) -> str:
    text, _, call = given.partition("==== call\n")
    names = {"nl": nl, "np": np, "torch": torch, "t": torch.zeros, "text": text}
    with pytest.raises(nl.FormulaError) as caught:
        if text:
            names["f"] = nl.compile(text)
        eval(call.strip(), names)
    return str(caught.value)


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_report(path: Path, golden: Callable[[Path, Callable[[str], str]], None]) -> None:
    golden(path, report)


def test_every_code_has_a_file() -> None:
    shown = {code for path in FILES for code in re.findall(r"^(NL\d{4}): ", path.read_text(encoding="utf-8"), re.M)}
    assert {*ARGUMENTS, *ENTRANCES, *MODULES} - RAISED_ELSEWHERE <= shown
