"""What a text may ask of the reader: how long, how deep, how many digits.

In: a text, brackets, a tree. Out: nothing, or the error that names the limit. A tree that passes may be walked by
recursion: no path in it is longer than `DEEPEST`. The limits are far beyond what people write, and keep hostile text
from costing more than a few seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from namedlayers.errors import FormulaSyntaxError, Label, Source, Span
from namedlayers.syntax.tree import Module, Node

LONGEST_TEXT = 500_000
"""Characters in one text."""

DEEPEST = 200
"""Brackets or blocks within one another, and nodes of the tree from the root to a leaf."""

LONGEST_NUMBER = 100
"""Characters in one number."""


def check_length(source: Source) -> None:
    if len(source.text) > LONGEST_TEXT:
        raise FormulaSyntaxError(
            "NL0601",
            f"the text has {len(source.text):,} characters; at most {LONGEST_TEXT:,} are read",
            Label(Span(source, LONGEST_TEXT, LONGEST_TEXT), "the limit is here"),
            hint="divide it into files that import one another",
        )


def too_deep(span: Span, what: str) -> FormulaSyntaxError:
    """The error of a place where more than `DEEPEST` of `what` lie within one another."""
    return FormulaSyntaxError(
        "NL0602",
        f"more than {DEEPEST} {what} within one another",
        Label(span, "too deep here"),
        hint="give parts of it names: `part = …` on a line of its own",
    )


def number_too_long(span: Span) -> FormulaSyntaxError:
    digits = span.end - span.start
    return FormulaSyntaxError(
        "NL0603",
        f"a number of {digits:,} characters; at most {LONGEST_NUMBER} are read",
        Label(Span(span.source, span.start, span.start + LONGEST_NUMBER)),
        hint="no number that a tensor holds has more than 17 digits that count; write `1e30` rather than its zeros",
    )


def check_depth(module: Module) -> None:
    """Refuse a tree in which a path from the root is longer than `DEEPEST` nodes (a long sum nests, too)."""
    level: list[Node] = [module]
    for _ in range(DEEPEST):
        level = [child for node in level for child in children(node)]
        if not level:
            return
    raise too_deep(level[0].span, "parts of a formula")


def children(node: Node) -> Iterator[Node]:
    """The nodes that stand directly in the fields of `node`, in the order of the fields."""
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Node))
