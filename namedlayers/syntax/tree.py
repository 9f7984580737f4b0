"""The tree: what a text says, before anything is known about its names.

In: nothing; these are the nodes that `parser` makes, `formatter` prints and `program` reads. All are immutable, compare
by content (spans and comments do not count), and carry the span of the text that they came from.

Axes are written in brackets. One shape serves axis arguments (`pool[seq, kernel = 3]`), renames (`X[seq -> seq']`),
splits, merges and indices (`X[seq = 2 * seq + kernel]`): a tuple of `Entry`; whoever reads it knows which is meant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from namedlayers.errors import Span


@dataclass(frozen=True, slots=True)
class Node:
    span: Span = field(compare=False, repr=False)


# --- axes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Axis(Node):
    """`seq`, `*space` (star), or, where an axis is introduced, `heads = 8` (size)."""

    name: str
    star: bool = False
    size: Expr | None = None


@dataclass(frozen=True, slots=True)
class Group(Node):
    """`(height, width)`: several axes taken as one, the last varying fastest."""

    items: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Slice(Node):
    """`2:8`, `::2`: start, stop and step, each of which may be missing."""

    start: Expr | None
    stop: Expr | None
    step: Expr | None


@dataclass(frozen=True, slots=True)
class Entry(Node):
    """One item between brackets: `seq`, `seq = value`, `source -> target`; `[a, b -> c, d]` is `a`, `b -> c`, `d`."""

    source: Axis | Group
    target: Axis | Group | None = None
    value: Expr | Slice | None = None


# --- expressions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A literal: int, float or complex (`1j`); `True` and `False` are names."""

    value: int | float | complex


@dataclass(frozen=True, slots=True)
class String(Node):
    value: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A value, an option, a definition, a constant, or the coordinates of an axis."""

    name: str


@dataclass(frozen=True, slots=True)
class Attribute(Node):
    """`norm.LayerNorm`: a definition of an imported module."""

    base: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Tuple(Node):
    """`(1, 2)`: the value of an option that differs by axis."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-A`, `+A`, `not A`."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`+ - * / // % ^ and or`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """`a < b <= c`: operands a, b, c and ops `<`, `<=`."""

    operands: tuple[Expr, ...]
    ops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contract(Node):
    """`A @[i, j] B`."""

    left: Expr
    axes: tuple[Axis, ...]
    right: Expr


@dataclass(frozen=True, slots=True)
class SizeOf(Node):
    """`|key|`, `|h, w|`."""

    axes: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """An argument of a call, with its name when it was given by name."""

    name: str | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`X[entries; options]`; before a call the same brackets are the call's axes."""

    base: Expr
    entries: tuple[Entry, ...]
    options: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`f[entries; settings](args; options)`; `entries` is None where no brackets were written."""

    function: Expr
    entries: tuple[Entry, ...] | None
    settings: tuple[Argument, ...]
    args: tuple[Argument, ...]
    options: tuple[Argument, ...]


Expr: TypeAlias = (
    Number | String | Name | Attribute | Tuple | Unary | Binary | Compare | Contract | SizeOf | Index | Call
)


# --- statements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """`a = …` or `p, q = f(X)`."""

    targets: tuple[Name, ...]
    value: Expr


@dataclass(frozen=True, slots=True)
class Equation(Node):
    """`|key| = |layer| // |heads|`."""

    size: SizeOf
    value: Expr


@dataclass(frozen=True, slots=True)
class Require(Node):
    """`require condition, "text"`; the text may be missing."""

    condition: Expr
    message: str | None


@dataclass(frozen=True, slots=True)
class Return(Node):
    values: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class If(Node):
    """`if … elif … else`: an `elif` is an `If` alone in `otherwise`."""

    condition: Expr
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeat(Node):
    """`repeat n as i:`."""

    count: Expr
    index: Name | None
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Carry(Node):
    """`h = h0` in the head of a scan."""

    name: str
    start: Expr


@dataclass(frozen=True, slots=True)
class Scan(Node):
    """`scan time reversed with h = h0:`; `scan step = 10 with x = x0:`."""

    axis: Axis
    backwards: bool
    carries: tuple[Carry, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Declare(Node):
    """`param W[output, input] ~ kaiming_uniform(input)`, `state mean[chans] ~ zeros`; `kind` is `param` or `state`."""

    kind: str
    name: str
    axes: tuple[Axis | Group, ...]
    initial: Expr


Statement: TypeAlias = Assign | Equation | Require | Return | If | Repeat | Scan | Declare


# --- definitions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """An input `W[chans', chans]` (`b[]` a scalar tensor) or, where `axes` is None, an option `k = 2`."""

    name: str
    axes: tuple[Axis | Group, ...] | None
    default: Expr | None = None


@dataclass(frozen=True, slots=True)
class Result(Node):
    """One `[seq, val]` after `->`."""

    axes: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Definition(Node):
    """A `def` or a `layer`. `name = expression` definitions have `body` = one `Return`, and `inline` True."""

    kind: str
    name: str
    axes: tuple[Entry, ...]
    data: tuple[Parameter, ...]
    parameters: tuple[Parameter, ...]
    results: tuple[Result, ...] | None
    body: tuple[Statement, ...]
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Import(Node):
    """`import norm` (`names` None) or `from conv import conv1d, conv2d`."""

    module: str
    names: tuple[Name, ...] | None


@dataclass(frozen=True, slots=True)
class Module(Node):
    """A whole text, in its order. `comments` are `(line, column, text)`, for the formatter."""

    items: tuple[Import | Definition, ...]
    comments: tuple[tuple[int, int, str], ...] = field(default=(), compare=False)
