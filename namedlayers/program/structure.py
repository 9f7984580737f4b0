"""What a layer owns: its parameters and states, and the instances of layers inside it.

In: made by `elaborate.structure`. Out: read by the modules that hold the tensors. What always holds: everything is in
the order of the text; paths are unique, with dots between the names of instances (`block.0.attention.Wq`); sizes are
expressions over symbols that a call's inputs determine, or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from namedlayers.errors import Span
from namedlayers.program.program import AxesOf, Kind, Program
from namedlayers.program.size import SizeExpr
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class Initial:
    """How a tensor begins: by an entry of `INITIALISERS`, or (`function` empty) by the value of an expression.

    `program` has no inputs; its outputs are the options that `names` lists (scalars), or the one value, whose axes are
    those dimensions of the tensor that `places` lists (it is constant along the others). `words` are the options that
    are strings.
    """

    function: str
    fans: tuple[SizeExpr, ...]
    program: Program | None
    names: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    span: Span | None = None
    places: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """A `param` or `state`. `dimensions`: for each dimension of the stored tensor its axes (several where they are
    stored merged, the last varying fastest), with sizes."""

    path: str
    kind: Literal["param", "state"]
    dimensions: tuple[AxesOf, ...]
    element: Kind
    initial: Initial
    span: Span

    @property
    def sizes(self) -> tuple[SizeExpr, ...]:
        """The size of each dimension."""
        found = []
        for group in self.dimensions:
            size = group[0][1]
            for _, other in group[1:]:
                size = size * other
            found.append(size)
        return tuple(found)

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes in order, merged ones one by one."""
        return tuple(axis for group in self.dimensions for axis, _ in group)

    def __str__(self) -> str:
        """As it stands in the text, under its path: `up.W[(heads, key), layer]`."""
        shown = [
            group[0][0] if len(group) == 1 else f"({', '.join(axis for axis, _ in group)})" for group in self.dimensions
        ]
        return f"{self.path}[{', '.join(shown)}]"


@dataclass(frozen=True, slots=True)
class Part:
    """An instance of a layer inside a layer (a round of a `repeat`: `definition` None), and what it is called with.

    `options` are the static ones that its brackets give; `sizes` those of its own axes, by the names in `definition`.
    """

    path: str
    definition: tree.Definition | None
    namespace: Any
    options: Mapping[str, Any]
    sizes: AxesOf
    span: Span


@dataclass(frozen=True, slots=True)
class Structure:
    """`program` has the layer's inputs without what it owns, no statements and no outputs: its recipes find the symbols
    that are in the sizes of `declared`, from the shapes of a call's data. `stars`: starred axis parameters over which
    something declared lies, so that they cannot be read off the rank of a bare tensor."""

    declared: tuple[Declared, ...]
    parts: tuple[Part, ...]
    program: Program
    stars: frozenset[str]
    free: Mapping[str, tuple[str, Span]]
    """Symbols that no input determines, with the axis of the signature or `param` that each is the size of."""
