"""Golden files: inputs beside the exact text that they must give.

A golden file holds an input, a line `==== expected`, and the expected text. `pytest --update-golden` writes what the
code gives now into every file that is checked; look at the difference before committing it.

    @pytest.mark.parametrize("path", golden_files(HERE / "golden"), ids=stem)
    def test_reports(path, golden):
        golden(path, report)          # report: a function from the input to a text
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_SEPARATOR = "\n==== expected\n"


def golden_files(folder: Path) -> list[Path]:
    """The golden files of a folder; a folder without any is a mistake."""
    found = sorted(folder.glob("*.txt"))
    assert found, f"no golden files in {folder.name}"
    return found


def stem(path: Path) -> str:
    """What a test is called after its file."""
    return path.stem


def check(path: Path, report: Callable[[str], str], update: bool) -> None:
    """Compare what `report` makes of a file's input with what the file expects, or write it there."""
    with path.open(encoding="utf-8", newline="") as file:
        given, _, expected = file.read().partition(_SEPARATOR)
    actual = report(given) + "\n"
    if update:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(given + _SEPARATOR + actual)
    else:
        assert actual == expected
