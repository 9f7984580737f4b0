"""The documentation is true: Python blocks run in order, one namespace a page; formula blocks compile, each by itself;
links lead somewhere; the page of the library is what its files say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import namedlayers as nl
from namedlayers.codes import CODES
from namedlayers.program.namespace import load_text
from tests.pages import library

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


def test_the_readme_shows_the_code_that_runs() -> None:
    page = PAGES[0]
    (_, formula), *_ = _blocks(page, "nl")
    (_, shown), *_ = _blocks(page, "text")
    module = nl.compile(formula)()
    module(torch.zeros(2, 5, 16))
    assert set(_code(shown)) <= set(_code(module.code))


def _code(text: str) -> list[str]:
    """The lines without comments, and without what forgets values."""
    return [re.split(r" *(?:#|; del )", line)[0].strip() for line in text.splitlines()]


def test_the_page_of_the_library_is_made_from_its_files() -> None:
    assert library.PAGE.read_text(encoding="utf-8") == library.page(), "python -m tests.pages.library"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_codes_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.M | re.S)
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", prose):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target.read_text(encoding="utf-8")), f"{path}#{anchor}"
    assert set(re.findall(r"\bNL0\d{3}\b", text)) <= set(CODES)


def test_files_that_the_page_of_the_design_names_are_there() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    files = [path.as_posix() for folder in ("namedlayers", "tests") for path in (ROOT / folder).rglob("*.*")]
    named = set(re.findall(r"`([\w/]+\.(?:py|nl))`", text))
    assert {name for name in named if not any(f"/{name}" in path for path in files)} == set()


def _anchors(text: str) -> set[str]:
    """What links may lead to: headings, as they are made into anchors, and anchors."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    made = {"".join(c for c in one.lower() if c.isalnum() or c in " -_").replace(" ", "-") for one in headings}
    return made | set(re.findall(r'<a id="([^"]*)">', text))
