"""What is kept beside the bytecode: found again, never believed when it is old or torn, never missed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from namedlayers.syntax import kept
from namedlayers.syntax.grammar import grammar_text, made

PARSE = """
from namedlayers.syntax import grammar, parse
asked = []
make = grammar.made
grammar.made = lambda text: asked.append(text) or make(text)
assert parse("def f(X[a]) = 2 * X").items[0].name == "f"
print(len(asked))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path


def files(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


def test_what_was_kept_is_found(place: Path) -> None:
    assert kept.read("tables", b"grammar") is None
    kept.write("tables", b"grammar", b"content")
    assert kept.read("tables", b"grammar") == b"content"
    (file,) = files(place)
    assert file.name == f"tables.{sys.implementation.cache_tag}.kept"


def test_what_was_made_from_something_else_is_not(place: Path) -> None:
    kept.write("tables", b"grammar", b"content")
    assert kept.read("tables", b"another grammar") is None
    kept.write("tables", b"another grammar", b"more")
    assert kept.read("tables", b"another grammar") == b"more"
    assert len(files(place)) == 1


@pytest.mark.parametrize("torn", [b"", b"short", slice(0, -1)])
def test_what_is_torn_is_not(place: Path, torn: bytes | slice) -> None:
    kept.write("tables", b"grammar", b"content")
    (file,) = files(place)
    file.write_bytes(torn if isinstance(torn, bytes) else file.read_bytes()[torn])
    assert kept.read("tables", b"grammar") is None


def test_nothing_is_written_where_python_writes_no_bytecode(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    kept.write("tables", b"grammar", b"content")
    assert files(place) == []


def test_a_place_that_cannot_be_written_is_no_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "file").write_text("")
    monkeypatch.setattr(sys, "pycache_prefix", str(place / "file"))
    kept.write("tables", b"grammar", b"content")
    assert kept.read("tables", b"grammar") is None


def test_a_python_without_bytecode_is_no_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.implementation, "cache_tag", None)
    kept.write("tables", b"grammar", b"content")
    assert kept.read("tables", b"grammar") is None and files(place) == []


def test_a_second_process_makes_no_tables(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    made = [
        subprocess.run([sys.executable, "-c", PARSE], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [one.stdout.split() for one in made] == [["1"], ["0"]]


def test_tables_that_were_kept_parse_alike(place: Path) -> None:
    import io

    import lark

    saved = io.BytesIO()
    parser = made(grammar_text())
    parser.save(saved)
    saved.seek(0)
    loaded = lark.Lark.load(saved)
    assert [str(rule) for rule in loaded.rules] == [str(rule) for rule in parser.rules]
    assert [(one.name, str(one.pattern)) for one in loaded.terminals] == [
        (one.name, str(one.pattern)) for one in parser.terminals
    ]
    assert loaded.parser.parser._parse_table.states.keys() == parser.parser.parser._parse_table.states.keys()
