"""Errors of names, axes and sizes: the exact report of each mistake, and that the table of codes is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import namedlayers as nl
from namedlayers.codes import CODES, Code
from namedlayers.errors import FormulaError
from namedlayers.program.elaborate import default_spec, elaborate
from namedlayers.program.elaboration.foreign import FOREIGN
from namedlayers.program.namespace import library_module_of, load_file, load_text
from namedlayers.program.program import Program
from namedlayers.program.sizes_at_call import solve_sizes
from tests.golden import golden_files, stem

FILES = golden_files(Path(__file__).parent / "golden")
PACKAGE = Path(nl.__file__).parent

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


def test_words_of_other_libraries_hide_nothing_that_ships_here() -> None:
    assert [name for name in FOREIGN if library_module_of(name)] == []


def test_hints_for_words_of_other_libraries_import_what_there_is() -> None:
    imports = [pair for hint in FOREIGN.values() for pair in re.findall(r"from (\w+) import (\w+)", hint)]
    assert imports
    assert [(module, name) for module, name in imports if library_module_of(name) != module] == []


# --- the table of codes -----------------------------------------------------------------------------------------------

CHECKED = [code for code in CODES.values() if code.code[:4] in ("NL02", "NL03", "NL04", "NL06") and not code.told]


@pytest.mark.parametrize("code", CHECKED, ids=lambda code: code.code)
def test_the_example_of_a_code_raises_it(code: Code) -> None:
    with pytest.raises(FormulaError) as caught:
        program(code.example)
        eval(code.call or "None", {"f": nl.compile(code.example), "torch": torch, "nl": nl})
    assert caught.value.code == code.code, str(caught.value)


def test_every_code_that_is_raised_is_in_the_table_and_every_code_in_the_table_is_raised() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "codes"]
    raised = {code for path in sources for code in re.findall(r'"(NL\d{4})', path.read_text(encoding="utf-8"))}
    assert raised == set(CODES)


def test_every_code_of_names_axes_and_sizes_has_a_golden_file() -> None:
    shown = {path.read_text(encoding="utf-8").partition("\n==== expected\n")[2][:6] for path in FILES}
    assert {code.code for code in CHECKED} <= shown


def test_no_two_golden_files_fix_the_same_report() -> None:
    texts = [path.read_text(encoding="utf-8").strip() for path in FILES]
    assert len(set(texts)) == len(texts) >= 80


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_an_entry_of_the_table_is_complete(code: Code) -> None:
    assert re.fullmatch(r"NL0[1-6]\d\d", code.code)
    assert code.title and not code.title.endswith(".") and code.example.strip()
    assert all(text[-1] in ".`" for text in (code.meaning, code.cure))
    assert not (code.told and code.call)


# --- what takes files -------------------------------------------------------------------------------------------------


def test_modules_that_import_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.nl").write_text("import b\n\ndef f(X) = X\n")
    (tmp_path / "b.nl").write_text("from a import f\n\ndef g(X) = f(X)\n")
    with pytest.raises(FormulaError, match="NL0205: module `a` imports itself, directly or through others") as caught:
        load_file(tmp_path / "a.nl")
    assert [span.text for span in caught.value.spans] == ["a"]


def test_a_module_that_is_beside_the_file_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "attention.nl").write_text("def attend(X) = X\n")
    with pytest.raises(FormulaError, match="did you mean `attention`") as caught:
        load_text("from atention import attend\n\ndef f(X) = attend(X)", folder=tmp_path)
    assert caught.value.code == "NL0203"


def test_what_is_wrong_in_an_imported_file_is_shown_at_the_call_and_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "ops.nl").write_text("def total(X[seq]) = sum[sqe](X)\n")
    text = "from ops import total\n\ndef f(X[seq]) = total(X)"
    space = load_text(text, "main.nl", tmp_path)
    with pytest.raises(FormulaError) as caught:
        elaborate(space, space.definitions["f"], default_spec(space, space.definitions["f"]))
    assert caught.value.code == "NL0302"
    assert [(Path(span.source.name).name, span.text) for span in caught.value.spans] == [
        ("main.nl", "total(X)"),
        ("ops.nl", "sqe"),
    ]


def test_an_imported_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "ops.nl").write_bytes(b"def total(X) = X \xff")
    with pytest.raises(FormulaError) as caught:
        load_text("import ops\n\ndef f(X) = X", folder=tmp_path)
    assert caught.value.code == "NL0613"
