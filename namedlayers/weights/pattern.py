"""Names with placeholders: `encoder.layer.{l}.query.weight`.

In: a piece of a mapping's text. Out: a `Pattern`, which says what its placeholders stand for in a name, and makes a
name of what they stand for. What always holds: `{l}` stands for a piece of a name without dots (or slashes), `{l + 1}`
for an integer, `{*path}` for any piece, and nothing for two pieces that could be meant; filling in what a match found
gives the name back.

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

    def read(self, found: str) -> str:
        """What the name stands for where `found` stands in its place."""
        return str(int(found) - self.offset) if self.offset else found

    def fill(self, bindings: Bindings) -> str:
        value = bindings[self.name]
        if not self.offset:
            return value
        if not value.isdecimal():
            message = f"`{self.span.text}` is an integer, but `{self.name}` stands for `{value}`"
            raise ArgumentError("NL0551", message, Label(self.span))
        return str(int(value) + self.offset)


@dataclass(frozen=True)
class Pattern:
    """Pieces of text and placeholders, one after another."""

    parts: tuple[str | Placeholder, ...]
    span: Span

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    def match(self, name: str) -> dict[str, str] | None:
        """What the placeholders stand for if `name` is of this pattern. Raises ArgumentError if that is not clear."""
        most, least = (expression.fullmatch(name) for expression in self._expressions)
        if most is None or least is None:
            return None
        if most.groups() != least.groups():
            raise ArgumentError(
                "NL0555", f"`{name}` is of this pattern in more than one way", Label(self.span),
                hint="let something that is fixed stand between the placeholders",
            )  # fmt: skip
        bindings: dict[str, str] = {}
        for placeholder, found in zip(self._captured, most.groups(), strict=True):
            value = placeholder.read(found)
            if value.startswith("-") or bindings.setdefault(placeholder.name, value) != value:
                return None
        return bindings

    def fill(self, bindings: Bindings) -> str:
        return "".join(part if isinstance(part, str) else part.fill(bindings) for part in self.parts)

    @cached_property
    def _captured(self) -> tuple[Placeholder, ...]:
        """The placeholders, without those that stand for the same as one before."""
        first = {(one.name, one.offset): one for one in reversed(self.placeholders)}
        return tuple(one for one in self.placeholders if first[one.name, one.offset] is one)

    @cached_property
    def _expressions(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        """The placeholders standing for as much as they can, and for as little: equal where there is only one way."""
        return re.compile(self._expression("+")), re.compile(self._expression("+?"))

    def _expression(self, several: str) -> str:
        groups = {(one.name, one.offset): k for k, one in enumerate(self._captured, 1)}
        pieces = []
        for part in self.parts:
            if isinstance(part, str):
                pieces.append(re.escape(part))
            elif part in self._captured:
                pieces.append(f"({'.' if part.rest else '[0-9]' if part.offset else '[^./]'}{several})")
            else:
                pieces.append(f"(?:\\{groups[part.name, part.offset]})")
        return "".join(pieces)


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
    found = re.fullmatch(r"\{\s*(\*?)\s*([^\W\d]\w*)\s*(?:([+-])\s*([0-9]{1,9})\s*)?\}", span.text)
    if found is None or (found[1] and found[3]):
        hint = "placeholders are `{l}`, `{l + 1}` for an integer, and `{*path}` for a name with dots"
        raise ArgumentError("NL0550", f"`{span.text}` is no placeholder", Label(span), hint=hint)
    offset = int(f"{found[3]}{found[4]}") if found[3] else 0
    return Placeholder(found[2], offset, bool(found[1]), span)
