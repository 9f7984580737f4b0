"""Mappings: which tensors of a foreign state dict are which parameters, and how their dimensions are the axes.

In: a dict or a text, one `key -> parameter[axes]` a line. Out: `Rule`s. What always holds: a rule has spans of the
text, a dict being written as one; whether there are such keys, parameters and axes is not asked here.

    embeddings.weight                          -> embed[vocab, layer]
    encoder.layer.{l}.attention.query.weight   -> block.{l}.Wq[heads key, layer]
    encoder.layer.{l}.attention.qkv.weight     -> block.{l}.Wq[+ heads key, layer], block.{l}.Wk[+ heads key, layer]
    lm_head.{*rest}                            -> _

A dimension is an axis, several (merged, the last varying fastest), or `1`. Without brackets the dimensions are the
parameter's own. Where one tensor holds several parameters, `+` stands where one part follows the other: as a dimension
by itself (they are stacked), or before the axes of one (without any `+`: of the first). `gate = 2` is a coordinate of
the parameter that this tensor fills. What goes to `_` is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from namedlayers.call.named import spell
from namedlayers.errors import ArgumentError, Label, Source, Span, near_miss
from namedlayers.weights.pattern import Pattern, read_pattern

MappingLike = str | Mapping[str, str | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis as a mapping names it."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Place:
    """A dimension of the foreign tensor: merged axes. `parts`: how many of them stand before the `+`, None without."""

    axes: tuple[Axis, ...]
    parts: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class Chosen:
    """`axis = 2`: this coordinate is filled."""

    axis: Axis
    coordinate: Pattern


@dataclass(frozen=True, slots=True)
class Target:
    """`path[places, chosen]`; `places` None: without brackets."""

    path: Pattern
    places: tuple[Place, ...] | None
    chosen: tuple[Chosen, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Rule:
    """`key -> targets`; no targets: such tensors are left out."""

    key: Pattern
    targets: tuple[Target, ...]
    span: Span

    @property
    def label(self) -> Label:
        return Label(self.span)


def read_mapping(mapping: MappingLike) -> tuple[Rule, ...]:
    """The rules of a mapping, in order."""
    if isinstance(mapping, Mapping):
        mapping = "\n".join(_line(key, targets) for key, targets in mapping.items())
    if not isinstance(mapping, str):
        hint = "give a dict from keys to parameters, or a text with one `key -> parameter[axes]` a line"
        raise ArgumentError("NL0550", f"a mapping is a dict or a text, not {type(mapping).__name__}", hint=hint)
    return tuple(_rule(line) for line in _lines(Source(mapping, "<mapping>")))


def _line(key: object, targets: object) -> str:
    """An entry of a dict as a line of text."""
    several = [targets] if isinstance(targets, str) else targets
    if several is None:
        return f"{key} -> _"
    if not isinstance(several, Sequence) or not all(isinstance(one, str) for one in (key, *several)):
        hint = "an entry is `key: parameter[axes]`, a tuple of these for parts, or None to leave the tensor out"
        raise ArgumentError("NL0550", f"the mapping has the entry {key!r}: {targets!r}", hint=hint)
    return f"{key} -> {', '.join(several)}".replace("\n", " ")


def _lines(source: Source) -> Iterator[Span]:
    """The lines that say something, without comments and blanks around them."""
    for found in re.finditer(r"[^\n]+", source.text):
        line = re.sub(r"(^|\s)#.*", "", found[0]).rstrip()
        if line.strip():
            start = found.start() + len(line) - len(line.lstrip())
            yield Span(source, start, found.start() + len(line))


def _rule(line: Span) -> Rule:
    arrow = re.search(r"\s*->\s*", line.text)
    if arrow is None or not arrow.start() or arrow.end() == len(line.text):
        hint = "a line is `key -> parameter[axes]`, or `key -> _` for a tensor that is left out"
        raise ArgumentError("NL0550", "a mapping that is not `key -> parameter[axes]`", Label(line), hint=hint)
    key = read_pattern(_within(line, 0, arrow.start()))
    right = _within(line, arrow.end(), len(line.text))
    targets = () if right.text == "_" else tuple(_target(one) for one in _apart(right))
    known = {one.name for one in key.placeholders}
    for pattern in (one for target in targets for one in (target.path, *(c.coordinate for c in target.chosen))):
        for one in pattern.placeholders:
            if one.name not in known:
                hint = near_miss(one.name, known) or "what stands on the left may be used on the right"
                message = f"`{{{one.name}}}` does not stand on the left"
                raise ArgumentError("NL0551", message, Label(one.span), hint=hint)
    return Rule(key, targets, line)


def _target(span: Span) -> Target:
    found = re.fullmatch(r"((?:\{[^{}]*\}|[^\s\[\]{}])+)\s*(?:\[([^\[\]]*)\])?", span.text)
    if found is None:
        hint = "a parameter is a name with dots, followed by the tensor's axes in brackets: `block.{l}.W[out, in]`"
        raise ArgumentError("NL0550", f"`{span.text}` is no parameter", Label(span), hint=hint)
    path = read_pattern(_within(span, *found.span(1)))
    if found[2] is None:
        return Target(path, None, (), span)
    entries = list(_apart(_within(span, *found.span(2)))) if found[2].strip() else []
    places = tuple(_place(entry) for entry in entries if "=" not in entry.text)
    return Target(path, places, tuple(_chosen(entry) for entry in entries if "=" in entry.text), span)


def _chosen(entry: Span) -> Chosen:
    found = re.fullmatch(r"(\S+)\s*=\s*(\d{1,18}|\{[^{}]*\})", entry.text)
    if found is None:
        hint = "`gate = 2`, or `gate = {g}` with a placeholder of the left side"
        raise ArgumentError("NL0550", f"`{entry.text}` is no coordinate of an axis", Label(entry), hint=hint)
    axis = _within(entry, *found.span(1))
    return Chosen(_axis(axis), read_pattern(_within(entry, *found.span(2))))


def _place(entry: Span) -> Place:
    inner = re.fullmatch(r"\((.*)\)", entry.text)
    inside = _within(entry, *inner.span(1)) if inner else entry
    words = [_within(inside, *found.span()) for found in re.finditer(r"[^\s,+]+|\+", inside.text)]
    plus = [at for at, word in enumerate(words) if word.text == "+"]
    if len(plus) > 1:
        raise ArgumentError("NL0550", "`+` stands twice in one dimension", Label(words[plus[1]]))
    axes = tuple(_axis(word) for word in words if word.text not in ("+", "1"))
    before = sum(word.text not in ("+", "1") for word in words[: plus[0]]) if plus else None
    return Place(axes, before, entry)


def _axis(word: Span) -> Axis:
    name = spell(word.text)
    if not name.rstrip("'").isidentifier():
        hint = "a dimension is an axis, several with spaces between them, or 1"
        raise ArgumentError("NL0550", f"`{word.text}` is not a name of an axis", Label(word), hint=hint)
    return Axis(name, word)


def _apart(span: Span) -> Iterator[Span]:
    """The pieces of a text between commas that are not in brackets, without the blanks around them."""
    depth, start = 0, 0
    for at, letter in enumerate(f"{span.text},"):
        depth += (letter in "[({") - (letter in "])}")
        if letter != "," or (depth > 0 and at < len(span.text)):
            continue
        piece = span.text[start:at]
        left = start + len(piece) - len(piece.lstrip())
        if not piece.strip():
            raise ArgumentError("NL0550", "nothing stands before a comma, or after the last one", Label(span))
        yield _within(span, left, start + len(piece.rstrip()))
        start = at + 1


def _within(span: Span, start: int, end: int) -> Span:
    return Span(span.source, span.start + start, span.start + end)
