"""Formula files: reading and writing texts, and `FILE:NAME`, which names a definition in one or a tensor in another.

In: paths as a user types them. Out: a `Source`, or a `FormulaError` that says what is wrong with the file.
What always holds: nothing in a file is run, and a text is read whole or not at all.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

from namedlayers.errors import ArgumentError, FormulaError, Label, Source, near_miss

STDIN = "-"
LARGEST_TEXT = 4 * 1024 * 1024


def read_source(path: str | Path, *labels: Label) -> Source:
    """The text of a formula file; `labels` are the places that asked for it.

    >>> read_source("no-such-file.nl")
    Traceback (most recent call last):
    namedlayers.errors.FormulaError: NL0611: there is no file `no-such-file.nl`
    """
    try:
        with open(path, "rb") as file:
            return _decoded(file, str(path), labels)
    except (OSError, ValueError) as error:
        raise cannot_open(path, error, *labels) from None


def read_stdin() -> Source:
    """The text that is given on standard input."""
    return _decoded(sys.stdin.buffer, "<stdin>", ())


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8; `-` is standard output."""
    if str(path) == STDIN:
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from None
    except TypeError:
        raise ArgumentError("NL0505", f"a file is named by its path, not by {type(path).__name__}") from None


def split_name(spec: str) -> tuple[str, str | None]:
    """`lenet.nl:conv` as path and name; a path that exists as it stands is only a path.

    >>> split_name("lenet.nl:conv"), split_name("lenet.nl")
    (('lenet.nl', 'conv'), ('lenet.nl', None))
    """
    path, colon, name = spec.rpartition(":")
    return (path, name) if colon and path and name and not _exists(spec) else (spec, None)


def cannot_open(path: str | Path, error: OSError | ValueError, *labels: Label) -> FormulaError:
    """What to tell the user when opening `path` failed with `error`."""
    if isinstance(error, FileNotFoundError):
        return FormulaError("NL0611", f"there is no file `{path}`", *labels, hint=_similar_file(Path(path)))
    reason = "it is a folder" if isinstance(error, IsADirectoryError) else _reason(error)
    return FormulaError("NL0612", f"`{path}` cannot be read: {reason}", *labels)


def cannot_write(path: str | Path, error: Exception) -> FormulaError:
    """What to tell the user when writing `path` failed with `error`."""
    return FormulaError("NL0616", f"`{path}` cannot be written: {_reason(error)}")


def _decoded(file: BinaryIO, name: str, labels: tuple[Label, ...]) -> Source:
    raw = file.read(LARGEST_TEXT + 1)
    if len(raw) > LARGEST_TEXT:
        message = f"`{name}` is longer than {LARGEST_TEXT // 1024**2} MiB, so it is not a formula"
        raise FormulaError("NL0612", message, *labels)
    try:
        # A byte order mark, as some editors write it, is no part of the text.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"`{name}` is not UTF-8 text: line {line}, byte {error.start} is 0x{raw[error.start]:02x}"
        hint = "a formula file is plain text; save it as UTF-8"
        raise FormulaError("NL0613", message, *labels, hint=hint) from None
    return Source(text.replace("\r\n", "\n").replace("\r", "\n"), name)


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:]


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name too long for the file system, or with a zero byte
        return False


def _similar_file(path: Path) -> str:
    try:
        return near_miss(path.name, (entry.name for entry in path.parent.iterdir()))
    except (OSError, ValueError):
        return ""
