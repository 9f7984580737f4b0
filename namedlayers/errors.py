"""Errors that point at the user's text.

In: a code, a message, labelled spans of the source, a hint. Out: exceptions whose `str()` is the whole report:
code and message, file, line and column, the line itself with a caret under the exact span, further spans, the hint.
What always holds: every error that a user can cause derives from `FormulaError` and has a code from `codes.py`.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Source:
    """A text and the name under which errors show it (a path, or `<formula>`)."""

    text: str
    name: str = "<formula>"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a source: characters `start` up to, not including, `end`."""

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        """The line of the first character, counted from 1."""
        return self.source.text.count("\n", 0, self.start) + 1

    @property
    def column(self) -> int:
        """The column of the first character, counted from 1."""
        return self.start - (self.source.text.rfind("\n", 0, self.start) + 1) + 1

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Label:
    """A span with what is to be said about it."""

    span: Span
    text: str = ""


class FormulaError(Exception):
    """The base of all errors in a formula or in a call of one.

    Attributes: `code` (stable, e.g. `"NL0301"`), `message`, `labels` (the first is the main place), `spans`, `hint`.
    """

    def __init__(self, code: str, message: str, *labels: Label, hint: str = "") -> None:
        super().__init__(f"{code}: {message}")  # one argument: SyntaxError takes a second one apart
        self.code = code
        self.message = message
        self.labels = labels
        self.hint = hint

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(label.span for label in self.labels)

    def __str__(self) -> str:
        return render(self)

    def __reduce__(self) -> tuple:
        return _rebuild, (type(self), self.code, self.message, self.labels, self.hint)


class FormulaSyntaxError(FormulaError, SyntaxError):
    """The text is not a formula."""

    __str__ = FormulaError.__str__

    @property
    def msg(self) -> str:  # type: ignore[override]
        """The whole report: a traceback shows this, and not `str()`, of a SyntaxError."""
        return render(self)


class UnknownNameError(FormulaError, NameError):
    """A value, definition, option or module that is not there."""

    __str__ = FormulaError.__str__


class AxisError(FormulaError, ValueError):
    """An axis that is missing, doubled, unused, or in the wrong place."""


class SizeError(FormulaError, ValueError):
    """Sizes that disagree, or that nothing determines."""


class ArgumentError(FormulaError, TypeError, ValueError):
    """An argument of a call that does not fit the signature."""


def render(error: FormulaError) -> str:
    """The report that a person reads, without a trailing newline."""
    lines = [f"{error.code}: {error.message}"]
    for number, label in enumerate(error.labels):
        lines += _excerpt(label, main=number == 0)
    if error.hint:
        lines.append(f"  hint: {error.hint}")
    return "\n".join(lines)


def near_miss(name: str, candidates: Iterable[str]) -> str:
    """`did you mean …?` when a candidate is close to `name`, else the empty string."""
    close = difflib.get_close_matches(name, sorted(set(candidates) - {name}), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


_LONGEST = 160


def _excerpt(label: Label, main: bool) -> list[str]:
    span = label.span
    text = span.source.text
    start = text.rfind("\n", 0, span.start) + 1
    stop = text.find("\n", span.start)
    stop = len(text) if stop < 0 else stop
    # A very long line is shown around its span only.
    first = max(start, span.start - _LONGEST // 2) if stop - start > _LONGEST else start
    line = _printable(text[first:stop][:_LONGEST].rstrip())
    gutter = " " * len(str(span.line))
    before = _width(text[first : span.start])
    under = max(1, _width(text[span.start : max(span.start, min(span.end, stop, first + _LONGEST))]))
    mark = ("^" if main else "-") * under + (f" {label.text}" if label.text else "")
    return [
        f"{gutter}--> {span.source.name}:{span.line}:{span.column}",
        f"{span.line} | {line}",
        f"{gutter} | {' ' * before}{mark}",
    ]


def _printable(text: str) -> str:
    """`text` with what a terminal cannot show (controls, halves of surrogate pairs) replaced, each by one column."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def _width(text: str) -> int:
    """Columns that `text` takes in a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _rebuild(kind: type[FormulaError], code: str, message: str, labels: tuple[Label, ...], hint: str) -> FormulaError:
    return kind(code, message, *labels, hint=hint)
