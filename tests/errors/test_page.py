"""docs/errors.md is what the code says now, and its ten mistakes are what three libraries answer."""

from __future__ import annotations

import re

import pytest

from namedlayers.codes import CODES
from tests.errors import rivals
from tests.errors.page import PAGE, page


def test_the_page_is_made_from_what_the_code_says_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.errors.page"


def test_the_page_has_every_code() -> None:
    assert re.findall(r"^### (NL\d{4})", PAGE.read_text(encoding="utf-8"), re.M) == sorted(CODES)


def test_the_page_has_no_line_that_is_too_long() -> None:
    assert max(map(len, PAGE.read_text(encoding="utf-8").splitlines())) <= 240


@pytest.mark.parametrize("mistake", rivals.MISTAKES, ids=lambda one: one.title)
def test_ten_mistakes(mistake: rivals.Mistake) -> None:
    report = rivals.ours(mistake)
    assert re.match(r"NL0[1-5]\d\d: ", report) and "<formula>:1:" in report
    assert len(rivals.MISTAKES) == 10
    assert all(mistake.title in rivals.kept()[library]["answers"] for library in rivals.LIBRARIES)


def test_the_others_answer_as_the_page_says() -> None:
    for library in filter(rivals.installed, rivals.LIBRARIES):
        answer = rivals.ask(library)
        if answer["version"] == rivals.kept()[library]["version"]:
            assert answer == rivals.kept()[library], "python -m tests.errors.page --rivals"
