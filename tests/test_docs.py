"""The documentation runs: Python blocks in order, one namespace a page; formula blocks compile, each by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import namedlayers as nl
from namedlayers.program.namespace import load_text

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """`(line, text)` of each fenced block of a language."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start()) + 2, match[1]) for match in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, object] = {}
    for line, text in _blocks(page, "python"):
        # Blank lines in front, so that a failure names the line of the page.
        exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)


FORMULAS = [(page.name, line, text) for page in PAGES for line, text in _blocks(page, "nl")]


@pytest.mark.parametrize(("page", "line", "text"), FORMULAS, ids=[f"{page}:{line}" for page, line, _ in FORMULAS])
def test_formulas_compile(page: str, line: int, text: str) -> None:
    for name in load_text(text).definitions:
        assert nl.compile(text, name).name == name
