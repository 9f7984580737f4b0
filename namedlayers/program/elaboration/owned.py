"""What a layer owns, while it is elaborated: parameters and states, by their paths.

In: declarations. Out: values, and in the end `Declared`s. What always holds: a path is declared once, however often the
instance around it is applied; its axes and sizes are the same at each application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from namedlayers.errors import Span
from namedlayers.program.elaboration.values import AxisSizes, DraftStatement, Value
from namedlayers.program.program import Kind, Output
from namedlayers.program.size import SizeExpr
from namedlayers.syntax import tree

Group = tuple[tuple[str, SizeExpr], ...]


@dataclass(frozen=True, slots=True)
class DraftInitial:
    """An `Initial` to be."""

    function: str
    fans: tuple[SizeExpr, ...]
    statements: tuple[DraftStatement, ...]
    outputs: tuple[Output, ...]
    names: tuple[str, ...]
    words: tuple[tuple[str, str], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class DraftDeclared:
    """A `Declared` to be. `input` is the program's input for it; `groups` its dimensions with the axes of each, under
    the names of the elaboration; `stored` one axis for each dimension."""

    path: tuple[str, ...]
    order: tuple[int, ...]
    kind: Literal["param", "state"]
    input: str
    groups: tuple[Group, ...]
    stored: AxisSizes
    element: Kind
    initial: DraftInitial
    span: Span
    places: tuple[Span, ...]

    @property
    def axes(self) -> dict[str, SizeExpr]:
        """All axes with their sizes, merged ones one by one."""
        return {axis: size for group in self.groups for axis, size in group}


@dataclass(slots=True)
class DraftPart:
    """A `Part` to be; `sizes` become known when the instance is applied."""

    path: tuple[str, ...]
    order: tuple[int, ...]
    definition: tree.Definition | None
    namespace: Any
    options: Mapping[str, Any]
    span: Span
    sizes: dict[str, SizeExpr] = field(default_factory=dict)


Snapshot = tuple[dict[str, DraftDeclared], dict[str, DraftPart], dict[str, Value]]


@dataclass(slots=True)
class Owned:
    """By path: what is declared, which instances there are, and what states have become (`written`)."""

    declared: dict[str, DraftDeclared] = field(default_factory=dict)
    parts: dict[str, DraftPart] = field(default_factory=dict)
    written: dict[str, Value] = field(default_factory=dict)
    names: dict[tuple[tuple[str, ...], int], str] = field(default_factory=dict)
    """Names of instances whose places the text alone does not name: by the path around them and their place."""
    places: dict[int, dict[int, str]] = field(default_factory=dict)
    """The names of places of each definition (by identity)."""

    def snapshot(self) -> Snapshot:
        """What is owned so far, for a block that may have to be elaborated again."""
        return dict(self.declared), dict(self.parts), dict(self.written)

    def restore(self, kept: Snapshot) -> None:
        """What was owned then; what has been declared since is forgotten."""
        declared, parts, written = kept
        self.declared, self.parts, self.written = dict(declared), dict(parts), dict(written)

    def in_order(self) -> list[DraftDeclared]:
        """What is declared, in the order of the text."""
        return sorted(self.declared.values(), key=lambda one: one.order)
