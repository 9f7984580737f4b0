"""The right-hand sides of statements: funsor terms, with opaque terms of our own at the leaves.

In: names, axes with sizes, operations. Out: hash-consed funsor terms, built under `reflect` only: `Unary`, `Binary` and
`Reduce` of funsor over the leaves below. What always holds: axes are `Bint` variables named as in the program; a
statement's axes are referred to by position, so a `Leaf` may give them other names (that is all that renaming is);
an operation that is not elementwise and not a reduction is a `Primitive`, whose operands are leaves.

Terms are built inside `building()` and nowhere else: funsor's interpretation stack is global to the process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from funsor import ops
from funsor.domains import Array, Bint, Real, find_domain
from funsor.interpretations import reflect
from funsor.terms import Binary, Funsor, Reduce, Unary, Variable

from namedlayers.program.dressed import Size
from namedlayers.program.size import SizeExpr

Axes = tuple[tuple[str, Size], ...]

_lock = threading.RLock()


@contextmanager
def building() -> Iterator[None]:
    """Where terms may be built: one thread at a time, under funsor's `reflect`. Never yield to other code inside."""
    with _lock, reflect:
        yield


class Leaf(Funsor):
    """An input or an earlier statement, its axes in their order, under the names that they bear here."""

    def __init__(self, name: str, axes: Axes) -> None:
        super().__init__(_inputs(axes), Real, frozenset(axis for axis, _ in axes), {})
        self.name = name
        self.axes = axes

    def eager_subs(self, subs: tuple) -> Leaf:
        return Leaf(self.name, _renamed(self.axes, subs))


class Const(Funsor):
    """A literal, kept by type and digits: `-0.0` is not `0.0`, and `True` is not `1`."""

    def __init__(self, kind: str, digits: str) -> None:
        super().__init__(OrderedDict(), Real, frozenset(), {})
        self.kind = kind
        self.digits = digits

    @property
    def value(self) -> bool | int | float | complex:
        return _KINDS[self.kind](self.digits)


class SizeOf(Funsor):
    """A size as a number."""

    def __init__(self, size: Size) -> None:
        super().__init__(OrderedDict(), Real, frozenset(), {})
        self.size = size


class Coord(Funsor):
    """The coordinates 0 … size-1 of an axis, along that axis."""

    def __init__(self, axis: str, size: Size) -> None:
        super().__init__(_inputs(((axis, size),)), Real, frozenset({axis}), {})
        self.axis = axis
        self.size = size

    def eager_subs(self, subs: tuple) -> Coord:
        ((axis, size),) = _renamed(((self.axis, self.size),), subs)
        return Coord(axis, size)


class Ref(NamedTuple):
    """An operand of a primitive: an earlier value under local axis names, plain data (funsor does not look inside)."""

    name: str
    axes: Axes


class Literal(NamedTuple):
    """An operand of a primitive that is a literal; `kind` and `digits` as in `Const`."""

    kind: str
    digits: str

    @property
    def value(self) -> bool | int | float | complex:
        return _KINDS[self.kind](self.digits)


class SizeRef(NamedTuple):
    """An operand of a primitive that is a size."""

    size: Size


Operand = Ref | Literal | SizeRef


class Primitive(Funsor):
    """An operation that stays whole; `program/primitives.py` lists them and says what each means.

    `attrs` is a sorted tuple of (name, value); axes in it and in `operands` bear local names. `axes` are the result's
    axes under local names, in order; `names` are the names that they bear outside.
    """

    def __init__(self, op: str, attrs: tuple, operands: tuple, axes: Axes, names: tuple[str, ...]) -> None:
        outer = tuple((name, size) for name, (_, size) in zip(names, axes, strict=True))
        super().__init__(_inputs(outer), Real, frozenset(names), {})
        self.op = op
        self.attrs = attrs
        self.operands: tuple[Operand, ...] = operands
        self.axes = axes
        self.names = names

    def eager_subs(self, subs: tuple) -> Primitive:
        new = {old: variable.name for old, variable in subs}
        return Primitive(self.op, self.attrs, self.operands, self.axes, tuple(new.get(n, n) for n in self.names))


def literal(value: bool | int | float | complex) -> Const:
    """The term of a Python number."""
    return Const(*literal_key(value))


def literal_key(value: bool | int | float | complex) -> tuple[str, str]:
    """`(kind, digits)`, equal exactly for the same type and the same bits."""
    if isinstance(value, bool):
        return "bool", str(value)
    if isinstance(value, int):
        return "int", hex(int(value))
    if isinstance(value, float):
        return "float", value.hex()
    return "complex", f"{value.real.hex()} {value.imag.hex()}"


def unary(op: str, operand: Funsor) -> Funsor:
    return Unary(UNARY[op], operand)


def binary(op: str, left: Funsor, right: Funsor) -> Funsor:
    """An elementwise operation; the caller has made sure that common axes have one size."""
    return Binary(BINARY[op], left, right)


def reduction(op: str, operand: Funsor, axes: frozenset[str]) -> Funsor:
    """A reduction; the caller has made sure that the operand has the axes."""
    if not axes:
        return operand
    return Reduce(REDUCE[op], operand, frozenset(Variable(axis, operand.inputs[axis]) for axis in axes))


def operation_name(op: ops.Op) -> str:
    """The name under which an operation stands in `UNARY`, `BINARY` or `REDUCE`."""
    return _NAMES[op]


# --- the operations, by the names that the rest of the project uses ---------------------------------------------------


def _make_unary(name: str) -> ops.UnaryOp:
    def op(x: object) -> object:
        raise TypeError(f"{name} is a symbol, not a function: terms are evaluated by the reference interpreter")

    op.__name__ = op.__qualname__ = f"nl_{name}"
    return ops.UnaryOp.make(op, module_name=__name__)


def _make_binary(name: str, kind: Any = ops.BinaryOp) -> ops.BinaryOp:
    def op(x: object, y: object) -> object:
        raise TypeError(f"{name} is a symbol, not a function: terms are evaluated by the reference interpreter")

    op.__name__ = op.__qualname__ = f"nl_{name}"
    return kind.make(op, module_name=__name__)


UNARY_NAMES = (
    "neg not exp expm1 log log1p log2 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf "
    "lgamma abs sign floor ceil round int real imag conj angle isnan isinf isfinite detach"
).split()
"""Elementwise operations of one operand. `round` goes to the even neighbour; `int` makes integers, towards zero."""

BINARY_NAMES = ("add sub mul div floordiv mod pow lt le gt ge eq ne and or maximum minimum logaddexp atan2").split()
"""Elementwise operations of two operands."""

REDUCE_NAMES = "sum prod max min logsumexp any all".split()
"""Reductions over a set of axes. Empty sets of values give 0, 1, -inf, inf, -inf, False, True."""

# What funsor has is used as it is; the rest are symbols of ours that denote reals (kinds are not funsor's business).
UNARY: dict[str, ops.Op] = {name: _make_unary(name) for name in UNARY_NAMES} | {"exp": ops.exp, "log": ops.log}
BINARY: dict[str, ops.Op] = {name: _make_binary(name) for name in BINARY_NAMES} | {
    "add": ops.add, "sub": ops.sub, "mul": ops.mul, "div": ops.truediv, "maximum": ops.max, "minimum": ops.min,
    "logaddexp": ops.logaddexp, "pow": ops.pow,
}  # fmt: skip
REDUCE: dict[str, ops.Op] = {
    "sum": ops.add, "prod": ops.mul, "max": ops.max, "min": ops.min, "logsumexp": ops.logaddexp,
    "any": ops.or_, "all": ops.and_,
}  # fmt: skip

_NAMES: dict[ops.Op, str] = {op: name for table in (UNARY, BINARY) for name, op in table.items()}
REDUCE_OF: dict[ops.Op, str] = {op: name for name, op in REDUCE.items()}


def _real(op: ops.Op, *domains: object) -> Array:
    return Real


for _op in {*UNARY.values(), *BINARY.values()}:
    if _op.__module__ == __name__ or type(_op).__module__ == __name__:
        find_domain.register(type(_op))(_real)

_KINDS = {
    "bool": lambda digits: digits == "True",
    "int": lambda digits: int(digits, 16),
    "float": float.fromhex,
    "complex": lambda digits: complex(*map(float.fromhex, digits.split())),
}


def _inputs(axes: Axes) -> OrderedDict:
    return OrderedDict((name, Bint[_Length(size)]) for name, size in axes)


class _Length(Size):
    """The size of an axis: >= 0 by the checks of its program, which is all that `Bint` asks."""

    def __ge__(self, other: int) -> bool:
        return (isinstance(other, int) and not isinstance(other, Size) and other == 0) or super().__ge__(other)


def _renamed(axes: Axes, subs: tuple) -> Axes:
    new = {old: variable.name for old, variable in subs}
    return tuple((new.get(name, name), size) for name, size in axes)


def sizes_of(axes: Axes) -> dict[str, SizeExpr]:
    return {name: size.expr for name, size in axes}
