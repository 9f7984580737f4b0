"""Errors of syntax: the exact report of each mistake, and that the table of codes is true."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from namedlayers.codes import CODES
from namedlayers.errors import FormulaSyntaxError
from namedlayers.syntax import parse
from tests.golden import golden_files, stem

FILES = golden_files(Path(__file__).parent / "golden")


def report(text: str) -> str:
    with pytest.raises(FormulaSyntaxError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_report(path: Path, golden: Callable[[Path, Callable[[str], str]], None]) -> None:
    golden(path, report)


@pytest.mark.parametrize("code", [code for code in CODES if code.startswith("NL01")])
def test_the_example_of_a_code_raises_it(code: str) -> None:
    assert report(CODES[code].example).startswith(f"{code}: ")


def test_every_code_of_syntax_has_a_golden_file() -> None:
    seen = {path.read_text(encoding="utf-8").partition("==== expected\n")[2][:6] for path in FILES}
    assert {code for code in CODES if code.startswith("NL01")} <= seen


def test_every_span_is_inside_the_text() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8").partition("\n==== expected\n")[0]
        with pytest.raises(FormulaSyntaxError) as caught:
            parse(text)
        assert all(0 <= span.start <= span.end <= len(text) for span in caught.value.spans)


def test_a_traceback_ends_in_the_report() -> None:
    with pytest.raises(FormulaSyntaxError) as caught:
        parse("def f(X) = X +", "model.nl")
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.endswith(f"FormulaSyntaxError: {caught.value}\n")
    assert "model.nl:1:15" in shown


def test_an_error_pickles() -> None:
    with pytest.raises(FormulaSyntaxError) as caught:
        parse("def f(X[a) = X")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.code, copy.hint) == (str(caught.value), caught.value.code, caught.value.hint)


@pytest.mark.parametrize("sign", ["\0", "\x1b", "\ud800", "\ufeff", "\u200b", "\r"])
def test_signs_that_cannot_be_shown_are_named(sign: str) -> None:
    text = report(f"def f(X) = X{sign}")
    assert text.startswith("NL0102: ")
    assert sign not in text
    assert ":1:13" in text
