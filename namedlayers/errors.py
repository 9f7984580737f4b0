"""Errors that point at the user's text.

In: a code, a message, labelled spans of the source, a hint. Out: exceptions whose `str()` is the whole report:
code and message, file, line and column, the line itself with a caret under the exact span, further spans, the hint.
What always holds: every error that a user can cause derives from `FormulaError` and has a code from `codes/`.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from namedlayers.lookalikes import lookalike


@dataclass(frozen=True, slots=True)
class Source:
    """A text and the name under which errors show it (a path, or `<formula>`); `shipped`: it comes with the package."""

    text: str
    name: str = "<formula>"
    shipped: bool = False


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
    shown: Label | None = None
    for label in error.labels:
        if shown is None or not _beside(label, shown):
            lines += _excerpt(label)
            shown = label
        lines.append(_mark(label, _window(shown), main=label is error.labels[0]))
    if error.hint:
        lines.append(f"  hint: {error.hint}")
    return "\n".join(lines)


def near_miss(name: str, candidates: Iterable[str]) -> str:
    """`did you mean …?` when a candidate is close to `name` or one begins with the other, else the empty string.

    >>> near_miss("sequence", ["seq", "key"]), near_miss("channels", ["channel"]), near_miss("time", ["seq"])
    ('did you mean `seq`?', 'did you mean `channel`?', '')
    >>> near_miss("ReLU", ["relu", "exp"])
    'did you mean `relu`?'
    """
    others = sorted(set(candidates) - {name})
    if foreign := lookalike(name, others):
        return foreign
    close = [one for one in others if one.casefold() == name.casefold()]
    close = close or difflib.get_close_matches(name, others, n=1, cutoff=0.6)
    if not close:
        begins = (one for one in others if one.startswith(name) or name.startswith(one))
        close = [one for one in begins if min(len(one), len(name)) >= 3]
    return f"did you mean `{close[0]}`?" if close else ""


_LONGEST = 160


def _window(label: Label) -> tuple[int, int]:
    """The piece of a label's first line that is shown: all of it, or what is around the label in a very long one."""
    text, at = label.span.source.text, label.span.start
    start, stop = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    stop = len(text) if stop < 0 else stop
    first = max(start, at - _LONGEST // 2) if stop - start > _LONGEST else start
    return first, min(stop, first + _LONGEST)


def _beside(label: Label, shown: Label) -> bool:
    """Whether a label lies in the piece that is shown for another."""
    first, last = _window(shown)
    return label.span.source is shown.span.source and first <= label.span.start <= last and label.span.end <= last


def _excerpt(label: Label) -> list[str]:
    """Where a label is, and the line itself."""
    span = label.span
    first, last = _window(label)
    line = _printable(span.source.text[first:last].rstrip())
    return [f"{_gutter(span)}--> {span.source.name}:{span.line}:{span.column}", f"{span.line} | {line}"]


def _mark(label: Label, window: tuple[int, int], main: bool) -> str:
    """The line under an excerpt that marks a label's span."""
    span = label.span
    first, last = window
    before = _width(span.source.text[first : span.start])
    under = max(1, _width(span.source.text[span.start : max(span.start, min(span.end, last))]))
    mark = ("^" if main else "-") * under + (f" {label.text}" if label.text else "")
    return f"{_gutter(span)} | {' ' * before}{mark}"


def _gutter(span: Span) -> str:
    return " " * len(str(span.line))


def _printable(text: str) -> str:
    """`text` with what a terminal cannot show (controls, halves of surrogate pairs) replaced, each by one column."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in text)


def _width(text: str) -> int:
    """Columns that `text` takes in a terminal: wide characters take two, combining ones none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _rebuild(kind: type[FormulaError], code: str, message: str, labels: tuple[Label, ...], hint: str) -> FormulaError:
    return kind(code, message, *labels, hint=hint)
