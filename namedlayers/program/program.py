"""A program: let-bound statements whose right-hand sides are funsor terms, with what a call has to check.

In: made by `elaborate`. Out: read by the reference interpreter, the printer and the numbering. What always holds: each
statement has its own name and refers to inputs and earlier statements only; all sizes are expressions over `symbols`;
every symbol is found from the inputs' shapes by `recipes`, in their order; `checks` are what sizes must satisfy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from funsor.terms import Funsor

from namedlayers.errors import Label, Span
from namedlayers.program.size import SizeExpr


class Kind(Enum):
    """The kind of an element. `<` is the order in which kinds meet: a boolean and a real make a real."""

    BOOL = 0
    INT = 1
    REAL = 2
    COMPLEX = 3

    def __lt__(self, other: Kind) -> bool:
        return self.value < other.value


AxesOf = tuple[tuple[str, SizeExpr], ...]


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor, or (`role` option) a number that is given at the call; `axes` in the order in which it carries them.

    `lifted` counts the leading axes that the signature does not name. `places` says where it names them, for errors.
    A `param` or `state` is a layer's own: `path` is its name in the module (`up.W`). They are the last inputs.
    """

    name: str
    axes: AxesOf
    role: Literal["data", "parameter", "option", "param", "state"]
    kind: Kind
    span: Span
    lifted: int = 0
    places: tuple[Span, ...] = ()
    path: str = ""

    @property
    def owned(self) -> bool:
        """Whether a module supplies it, and not the caller."""
        return self.role in ("param", "state")

    @property
    def called(self) -> str:
        """What its user calls it."""
        return self.path or self.name


@dataclass(frozen=True, slots=True)
class Statement:
    """`name[axes] = term`; `source` is the piece of the user's text that it computes, `within` the calls around it."""

    name: str
    axes: AxesOf
    kind: Kind
    term: Funsor
    source: Span
    within: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """A result: a statement or an input, with its axes in the order in which torch callers get them."""

    value: str
    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a call finds a symbol: the size of axis number `axis` of input `input`, minus `rest`, divided by `factor`.

    `labels` say where the axis stands and why it must divide, for the error when it does not.
    """

    symbol: str
    input: str
    axis: int
    rest: SizeExpr
    factor: SizeExpr
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on sizes that a call tests: `left` relation `right`. The rest says how to report a failure.

    `message` may contain `{left}` and `{right}`, the two numbers, and `{name}` for any symbol.
    """

    left: SizeExpr
    relation: Literal["==", ">=", "!="]
    right: SizeExpr
    code: str
    message: str
    labels: tuple[Label, ...]
    hint: str = ""

    def holds(self, sizes: Mapping[str, int]) -> bool:
        left, right = self.left.evaluate(sizes), self.right.evaluate(sizes)
        return {"==": left == right, ">=": left >= right, "!=": left != right}[self.relation]


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A block that runs as a whole: what a `scan` does at a step, what a `repeat` does in a round.

    It refers to its inputs and to nothing outside; its sizes are expressions over the symbols of the program around
    it. Bodies are compared by identity.
    """

    name: str
    inputs: tuple[Input, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[Output, ...]
    span: Span

    @property
    def values(self) -> tuple[Input | Statement, ...]:
        """All that has a name: the inputs, then the statements."""
        return (*self.inputs, *self.statements)


@dataclass(frozen=True, slots=True)
class Program:
    """What one definition means for one set of kinds, lifted axes and static options, for all sizes.

    The last outputs are the new values of the states whose paths `writes` lists, in its order.
    """

    name: str
    inputs: tuple[Input, ...]
    statements: tuple[Statement, ...]
    outputs: tuple[Output, ...]
    symbols: tuple[str, ...]
    recipes: tuple[Recipe, ...]
    checks: tuple[Check, ...]
    span: Span
    writes: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[Input | Statement, ...]:
        """All that has a name: the inputs, then the statements."""
        return (*self.inputs, *self.statements)

    @property
    def owned(self) -> tuple[Input, ...]:
        """The parameters and states that a module supplies, the last of the inputs."""
        return tuple(one for one in self.inputs if one.owned)

    def __copy__(self) -> Program:
        return self  # it never changes, and of each term there is one

    def __deepcopy__(self, memo: dict) -> Program:
        return self

    def __reduce__(self) -> tuple:
        raise TypeError(f"the program of `{self.name}` is not pickled: pickle the function or module, which makes it")

    def __str__(self) -> str:
        """The statements, one a line, as text that parses back."""
        from namedlayers.program.printer import print_program

        return print_program(self)
