"""A map of the source: every folder of the package in the order in which folders import, every module with its line.

In: the modules' docstrings. Out: text; `python -m tests.pages.source` prints it all, `python -m tests.pages.source
emit/loops` a part. It is made when it is asked for, so that it is never out of date.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "namedlayers"

FOLDERS = (
    "", "codes", "syntax", "syntax/mistakes", "program", "program/elaboration", "reference", "plan", "plan/rules",
    "plan/rules/arithmetic", "plan/rules/contractions", "plan/rules/windows", "plan/rules/normalising",
    "plan/rules/losses", "plan/rules/reading", "plan/rules/places", "plan/rules/joining",
    "plan/scans", "plan/scans/derivatives", "emit", "emit/kernels", "emit/log_products", "emit/emitters", "emit/loops",
    "emit/budget", "call", "weights", "inspect", "cli",
)  # fmt: skip
"""Nearly in the order in which they import: what stands above knows nothing of what stands below."""


def source(under: str = "") -> str:
    """The folders that begin with `under`, each with its modules."""
    return "\n\n".join("\n".join(_told(folder)) for folder in FOLDERS if folder.startswith(under))


def _told(folder: str) -> Iterator[str]:
    yield f"namedlayers/{folder}".rstrip("/")
    for path in sorted((ROOT / folder).glob("*.py")):
        yield f"  {path.name:24} {first_line(path)}"


def first_line(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


if __name__ == "__main__":
    print(source(sys.argv[1].strip("/").removeprefix("namedlayers/") if len(sys.argv) > 1 else ""))
