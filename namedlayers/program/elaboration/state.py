"""What is shared while one program is elaborated: names, counts, and what has been found so far.

In: nothing. Out: `State`, on which `lets`, `operations`, `statics` and `context` stand, one upon the other. What always
holds: names of statements and of axes are unique; sizes that must be equal are an equation of the solver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from namedlayers.errors import FormulaSyntaxError, Label, Span
from namedlayers.program.elaboration.owned import Owned
from namedlayers.program.elaboration.values import (
    AxisSizes,
    Draft,
    DraftStatement,
    Environment,
    Evaluated,
    Value,
)
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr
from namedlayers.program.solver import Solver
from namedlayers.syntax import tree

MOST_STEPS = 400_000
"""Expressions that are evaluated for one program, where a call counts for `CALL` of them."""

CALL = 20


@dataclass(frozen=True, slots=True)
class Source:
    """What a leaf may refer to that no statement computes: an input of the program or of a body."""

    axes: AxisSizes
    kind: Kind
    role: Literal["data", "parameter", "option"]


@dataclass(frozen=True, slots=True)
class Stepping:
    """A `scan` whose block is being elaborated: values along `axis` are `seen` at the current step, each as an input of
    the body that stands for a leaf `around` it."""

    axis: str
    size: SizeExpr
    span: Span
    around: dict[str, DraftStatement]
    seen: dict[Draft, str]


@dataclass(slots=True)
class State:
    """`evaluate`, `run` (a whole definition's body) and `run_block` are the elaborator's own functions, for those that
    it calls and that call it back.

    `statements` are those of the block that is elaborated; `outer` those of the blocks around it.
    """

    evaluate: Callable[[tree.Expr, Environment], Evaluated]
    run: Callable[[tuple[tree.Statement, ...], Environment], Evaluated | None]
    run_block: Callable[[tuple[tree.Statement, ...], Environment], Evaluated | None]
    solver: Solver = field(default_factory=Solver)
    statements: dict[str, DraftStatement] = field(default_factory=dict)
    outer: list[dict[str, DraftStatement]] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    aliases: dict[str, Draft] = field(default_factory=dict)
    """Inputs of bodies that stand for a value outside, seen at the current step."""
    carried: dict[str, str] = field(default_factory=dict)
    """Inputs of bodies that go from step to step, with the names that the text has for them."""
    scans: tuple[Stepping, ...] = ()
    lifted: AxisSizes = field(default_factory=dict)
    """The extra axes over which the definitions around are lifted."""
    uses: tuple[Span, ...] = ()
    """Where the instances around are applied."""
    round: tuple[str, ...] = ()
    """The path of the round of a `repeat` that is elaborated as a body: names inside leave it out."""
    owned: Owned = field(default_factory=Owned)
    builtins: frozenset[str] = frozenset()
    modes: Mapping[str, bool] = field(default_factory=dict)
    """What `training` is in parts where it differs from the whole, by path."""
    sites: int = 0
    """How many random draws there are so far."""
    scalars: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    axes: set[str] = field(default_factory=set)
    display: dict[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    calling: tuple[tree.Definition, ...] = ()
    sized: dict[str, Span] = field(default_factory=dict)
    """Where the user's text gave an axis its size."""
    numbers: dict[tuple[str, str, int], int] = field(default_factory=dict)
    steps: int = 0
    places: dict[str, Span] = field(default_factory=dict)
    """Where the user's text named an axis last: in the brackets of a call, or where a size was given."""

    def new_name(self, hint: str) -> str:
        name = self._unique(hint, self.names, self.axes) if hint in self.names else hint
        self.names.add(name)
        return name

    def new_axis(self, hint: str) -> str:
        axis = self._unique(hint, self.axes)
        self.axes.add(axis)
        self.display[axis] = hint
        return axis

    def _unique(self, hint: str, *taken: set[str]) -> str:
        """`hint`, or `hint_2`, `hint_3`, … if that is taken; the search goes on where the last one ended."""
        if not any(hint in names for names in taken):
            return hint
        stem, primes = re.fullmatch(r"(.*?)(?:_\d+)?('*)", hint, re.DOTALL).groups()  # type: ignore[union-attr]
        number = self.numbers.get((stem, primes, len(taken)), 1) + 1
        while any(f"{stem}_{number}{primes}" in names for names in taken):
            number += 1
        self.numbers[stem, primes, len(taken)] = number
        return f"{stem}_{number}{primes}"

    def step(self, span: Span, cost: int = 1) -> None:
        """Count what is evaluated. Raises FormulaSyntaxError when it is too much: blocks and definitions multiply."""
        self.steps += cost
        if self.steps > MOST_STEPS:
            raise FormulaSyntaxError(
                "NL0604", "the formula is too large once its blocks and definitions are written out", Label(span)
            )

    def shown(self, axes: Iterable[str]) -> str:
        """Axes as messages name them: `` `key` and `seq` ``."""
        listed = [f"`{self.display.get(axis, axis)}`" for axis in axes]
        return " and ".join(listed) if len(listed) < 3 else ", ".join(listed[:-1]) + f" and {listed[-1]}"

    def axes_of(self, value: Value) -> str:
        """What axes a value has, in words."""
        return f"has {self.shown(value.axes)}" if value.axes else "has no axes"

    def place(self, axis: str, span: Span) -> None:
        """Note where an axis is named, for errors about it; the user's own text only."""
        if not span.source.shipped:
            self.places[axis] = span

    def same_size(
        self, axis: str, left: SizeExpr, right: SizeExpr, one: Span, other: Span, hint: str = ""
    ) -> None:  # fmt: skip
        if left is right:
            return
        shown = self.display.get(axis, axis)
        labels = (Label(other, f"`{shown}` here is {{right}}"),) * (one != other)
        self.solver.require(
            Check(
                left, "==", right, "NL0402", f"axis `{shown}` has size {{left}} on one side and {{right}} on the other",
                (Label(one, f"`{shown}` here is {{left}}"), *labels), hint,
            )
        )  # fmt: skip
