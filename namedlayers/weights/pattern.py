"""Names with placeholders: `encoder.layer.{l}.query.weight`.

In: a piece of a mapping's text. Out: a `Pattern`, which says what its placeholders stand for in a name, and makes a
name of what they stand for. What always holds: `{l}` stands for a piece of a name without dots (or slashes), `{l + 1}`
for an integer, `{*path}` for any piece; filling in what a match found gives the name back.

>>> left, right = (pattern(text) for text in ("encoder.{l}.{*rest}", "block.{l - 1}.{*rest}"))
>>> right.fill(left.match("encoder.2.up.weight"))
'block.1.up.weight'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from namedlayers.errors import ArgumentError, Label, Source, Span

Bindings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{name + offset}`; `rest`: it may stand for several pieces."""

    name: str
    offset: int
    rest: bool
    span: Span

    @property
    def expression(self) -> str:
        """What it matches, as a regular expression."""
        return "(.+)" if self.rest else r"(\d+)" if self.offset else "([^./]+)"

    def read(self, found: str) -> str:
        """What the name stands for where `found` stands in its place."""
        return str(int(found) - self.offset) if self.offset else found

    def fill(self, bindings: Bindings) -> str:
        value = bindings[self.name]
        if not self.offset:
            return value
        if not value.isdecimal():
            raise ArgumentError("NL0551", f"`{self.span.text}` is an integer, but `{self.name}` stands for `{value}`",
                                Label(self.span))  # fmt: skip
        return str(int(value) + self.offset)


@dataclass(frozen=True)
class Pattern:
    """Pieces of text and placeholders, one after another."""

    parts: tuple[str | Placeholder, ...]
    span: Span

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        parts = (re.escape(part) if isinstance(part, str) else part.expression for part in self.parts)
        return re.compile("".join(parts))

    def match(self, name: str) -> dict[str, str] | None:
        """What the placeholders stand for if `name` is of this pattern; one that stands twice is the same twice."""
        found = self._expression.fullmatch(name)
        if found is None:
            return None
        bindings: dict[str, str] = {}
        for placeholder, text in zip(self.placeholders, found.groups(), strict=True):
            value = placeholder.read(text)
            if value.startswith("-") or bindings.setdefault(placeholder.name, value) != value:
                return None
        return bindings

    def fill(self, bindings: Bindings) -> str:
        return "".join(part if isinstance(part, str) else part.fill(bindings) for part in self.parts)


def read_pattern(span: Span) -> Pattern:
    """The pattern that stands in a piece of text."""
    parts: list[str | Placeholder] = []
    for found in re.finditer(r"\{[^{}]*\}?|\}|[^{}]+", span.text):
        here = Span(span.source, span.start + found.start(), span.start + found.end())
        parts.append(_placeholder(here) if found[0][0] in "{}" else found[0])
    return Pattern(tuple(parts), span)


def pattern(text: str) -> Pattern:
    """The pattern of a text by itself."""
    return read_pattern(Span(Source(text, "<mapping>"), 0, len(text)))


def _placeholder(span: Span) -> Placeholder:
    found = re.fullmatch(r"\{\s*(\*?)\s*([^\W\d]\w*)\s*(?:([+-])\s*(\d{1,9})\s*)?\}", span.text)
    if found is None or (found[1] and found[3]):
        hint = "placeholders are `{l}`, `{l + 1}` for an integer, and `{*path}` for a name with dots"
        raise ArgumentError("NL0550", f"`{span.text}` is no placeholder", Label(span), hint=hint)
    offset = int(f"{found[3]}{found[4]}") if found[3] else 0
    return Placeholder(found[2], offset, bool(found[1]), span)
