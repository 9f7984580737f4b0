"""The lines of a printed definition, and the names in it: which are taken, and which sizes their axes have.

In: names of values and axes as the program has them, and lines. Out: names for the text. What always holds: one name is
one thing in the whole definition; an axis whose size is asked for has one, on a line of its own before it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from namedlayers.program import mentioned, spelling
from namedlayers.program.mentioned import Block
from namedlayers.program.printed_runs import Names
from namedlayers.program.size import SizeExpr
from namedlayers.program.spelling import Piece

# Names that mean something where a value stands, and words that are no names of values.
RESERVED = frozenset("inf nan pi True False training def return if elif else and or not".split())


class Lines:
    """What is written of one definition.

    `names`: what the values of the block are called that is being written, and what their axes are (`shown`: all that
    values are called anywhere). `sizes`: the axes that have one stated size in the whole definition. `taken`: names
    that are used, `later`: names that may be. Lines stand `depth` deep in scans, which begin at line `opening`.
    """

    def __init__(self, block: Block) -> None:
        self.lines: list[str] = []
        self.depth = self.opening = 0
        self.used = mentioned.axis_names(block)
        self.names = Names({}, {})
        self.shown: set[str] = set()
        self.sizes: dict[str, SizeExpr] = {}
        self.scanned: tuple[str, ...] = ()
        self.taken = {*self.used, *RESERVED}
        self.later = {value.name for value in mentioned.values(block, calls=False)}
        self.aliases: dict[tuple[str, SizeExpr], str] = {}

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def inside(self, names: Names, axis: str) -> Iterator[None]:
        """The lines of the block of a scan along `axis`, whose first line has just been written."""
        outer = self.names, self.scanned
        if not self.depth:
            self.opening = len(self.lines) - 1
        self.names, self.scanned, self.depth = names, (*self.scanned, axis), self.depth + 1
        try:
            yield
        finally:
            (self.names, self.scanned), self.depth = outer, self.depth - 1

    # --- names --------------------------------------------------------------------------------------------------------

    def stated(self, axis: str, size: SizeExpr, avoid: Iterable[str] = ()) -> str:
        """An axis that has `size` in the whole text: `axis` itself if it can be, else one made for it."""
        if axis not in avoid:
            if self.sizes.get(axis) == size:
                return axis
            if axis not in self.sizes and self.used.get(axis, set()) <= {size}:
                return self.state(axis, size)
        if (axis, size) not in self.aliases:
            self.aliases[axis, size] = self.state(self.fresh(axis), size)
        return self.aliases[axis, size]

    def state(self, axis: str, size: SizeExpr) -> str:
        """A line that gives an axis its size; before a scan, not in it."""
        line = f"|{axis}| = {self.size(size).text}"
        if self.depth:
            self.lines.insert(self.opening, line)
            self.opening += 1
        else:
            self.lines.append(line)
        self.sizes[axis] = size
        return axis

    def claim(self, name: str) -> str:
        """What a value of this name is called."""
        shown = self.fresh(name) if name in self.taken else name
        self.taken.add(shown)
        self.shown.add(shown)
        return shown

    def fresh(self, name: str) -> str:
        number = 2
        while f"{name}_{number}" in self.taken or f"{name}_{number}" in self.later:
            number += 1
        self.taken.add(f"{name}_{number}")
        return f"{name}_{number}"

    def size(self, expr: SizeExpr) -> Piece:
        return spelling.size(expr)
