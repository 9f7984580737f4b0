"""A program's value by definition, in numpy: what every fast path is checked against.

In: a program and its inputs. Out: the results as arrays, or every statement's value. What always holds: each term is
computed as it stands, its operands first; nothing is rewritten, reordered or fused. (A sum of products too large to be
held is the one thing computed without being held.) Bad data raise the FormulaError that a compiled call raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.errors import ArgumentError, Label
from namedlayers.program.kinds import result_kind
from namedlayers.program.primitives import PRIMITIVES
from namedlayers.program.program import Kind, Program
from namedlayers.program.size import Size, size_expr
from namedlayers.program.sizes_at_call import error_class, solve_sizes
from namedlayers.program.terms import (
    REDUCE_OF,
    Const,
    Coord,
    Leaf,
    Literal,
    Operand,
    Primitive,
    Ref,
    SizeOf,
    operation_name,
)
from namedlayers.program.walk import subterms
from namedlayers.reference import algebra, elementwise, moving, ordering, reductions
from namedlayers.reference.named import Named, Origin, Precision, Trouble, common_kind, kind_of, union
from namedlayers.reference.softmax import masked_exponent, masked_quotient

Inputs = Mapping[str, Any]


def evaluate(program: Program, inputs: Inputs, dtype: object = np.float64) -> tuple[np.ndarray, ...]:
    """The results, each with its axes in the order of the program's outputs. Reals are computed as `dtype`.

    Raises FormulaError when the inputs do not fit the program or have no value under it.
    """
    return trace(program, inputs, dtype).outputs


@dataclass(frozen=True, slots=True)
class Trace:
    """`values` of all statements, axes in their order; `finite`: whether all that a statement computed was finite."""

    outputs: tuple[np.ndarray, ...]
    values: dict[str, np.ndarray]
    finite: dict[str, bool]
    sizes: dict[str, int]


def trace(program: Program, inputs: Inputs, dtype: object = np.float64) -> Trace:
    """The results and every statement's value. Raises as `evaluate` does."""
    precision = Precision.of(dtype)
    arrays = _arrays(program, inputs, precision)
    sizes = solve_sizes(program, {name: array.shape for name, array in arrays.items()})
    scope = {i.name: Named(arrays[i.name], tuple(axis for axis, _ in i.axes)) for i in program.inputs}
    orders = {one.name: tuple(axis for axis, _ in one.axes) for one in program.values}
    values: dict[str, np.ndarray] = {}
    finite: dict[str, bool] = {}
    machine = _Machine(scope, orders, sizes, precision)
    for statement in program.statements:
        try:
            with np.errstate(all="ignore"):
                scope[statement.name], finite[statement.name] = machine.run(statement.term)
        except Trouble as trouble:
            raise error_class(trouble.code)(trouble.code, trouble.message, Label(statement.source)) from None
        values[statement.name] = scope[statement.name].over(orders[statement.name])
    outputs = tuple(scope[output.value].over(output.axes) for output in program.outputs)
    return Trace(outputs, values, finite, sizes)


# --- one statement ----------------------------------------------------------------------------------------------------

_HELD = 1 << 24
"""A product of more elements than this, when it is only summed, is not held as a whole."""


@dataclass(frozen=True, slots=True)
class _Product:
    """A product that has not been computed yet."""

    left: Named | _Product
    right: Named | _Product

    def factors(self) -> list[Named]:
        return [*_factors(self.left), *_factors(self.right)]


def _factors(value: Named | _Product) -> list[Named]:
    return value.factors() if isinstance(value, _Product) else [value]


@dataclass(frozen=True, slots=True)
class _Machine:
    """What evaluating a term needs: the values so far, the order of their axes, the sizes, the precision."""

    scope: dict[str, Named]
    orders: dict[str, tuple[str, ...]]
    sizes: dict[str, int]
    precision: Precision

    def run(self, term: Funsor) -> tuple[Named, bool]:
        """A statement's value, and whether all its parts are finite."""
        found: dict[Funsor, Named | _Product] = {}
        finite = True
        for part in subterms(term):
            value = self.step(part, found)
            found[part] = value
            finite = finite and (isinstance(value, _Product) or bool(np.isfinite(value.array).all()))
        return self.held(found[term]), finite

    def step(self, term: Funsor, found: Mapping[Funsor, Named | _Product]) -> Named | _Product:
        if isinstance(term, Unary):
            return self.unary(operation_name(term.op), self.held(found[term.arg]))
        if isinstance(term, Binary):
            op, left, right = operation_name(term.op), found[term.lhs], found[term.rhs]
            if op == "mul" and self.elements(left, right) > _HELD:
                return _Product(left, right)
            return self.binary(op, self.held(left), self.held(right))
        if isinstance(term, Reduce):
            gone = frozenset(variable.name for variable in term.reduced_vars)
            return self.reduction(REDUCE_OF[term.op], found[term.arg], gone)
        return self.leaf(term)

    def leaf(self, term: Funsor) -> Named:
        if isinstance(term, Leaf):
            return self.renamed(term.name, term.axes)
        if isinstance(term, Const):
            return self.number(term.value)
        if isinstance(term, SizeOf):
            return self.number(self.integer(term.size))
        if isinstance(term, Coord):
            return Named(np.arange(self.integer(term.size)), (term.axis,))
        assert isinstance(term, Primitive), f"no term of a program: {type(term).__name__}"
        return self.primitive(term)

    # --- operations -------------------------------------------------------------------------------------------------

    def unary(self, op: str, x: Named) -> Named:
        array = elementwise.unary(op, x.array, self.precision)
        if op != "exp":
            return x.with_array(array)
        masked = masked_exponent(x)
        array = array if masked is None else np.where(masked, array.dtype.type(0), array)
        return Named(array, x.axes, Origin("exp", (x,), x.axes))

    def binary(self, op: str, x: Named, y: Named) -> Named:
        axes = union(x, y)
        array = elementwise.binary(op, x.over(axes), y.over(axes), self.precision)
        if op == "div" and (masked := masked_quotient(x, y, axes)) is not None:
            array = np.where(masked, array.dtype.type(0), array)
        return Named(array, axes, Origin(op, (x, y), axes) if op == "sub" else None)

    def reduction(self, op: str, x: Named | _Product, gone: frozenset[str]) -> Named:
        if isinstance(x, _Product):
            factors = x.factors()
            kept = tuple(axis for axis in union(*factors) if axis not in gone)
            if op == "sum":
                return Named(self.sum_of_products(factors, kept), kept)
            x = self.held(x)
        kept = tuple(axis for axis in x.axes if axis not in gone)
        array = reductions.reduction(op, x.array, tuple(k for k, a in enumerate(x.axes) if a in gone), self.precision)
        return Named(array, kept, Origin(op, (x,), kept))

    def primitive(self, term: Primitive) -> Named:
        sizes = {axis: self.integer(size) for axis, size in term.axes}
        attrs = {name: self.integers(value) for name, value in term.attrs}
        operands = [self.operand(operand) for operand in term.operands]
        result = _PRIMITIVES[term.op](attrs, operands, sizes, self.precision)
        kind = kind_of(result.array)
        # Over an axis of the result that no operand has, it is constant.
        array = np.broadcast_to(self.precision.cast(result.over(tuple(sizes)), kind), tuple(sizes.values()))
        return Named(array, term.names)

    # --- pieces -----------------------------------------------------------------------------------------------------

    def operand(self, operand: Operand) -> Named:
        if isinstance(operand, Ref):
            return self.renamed(operand.name, operand.axes)
        return self.number(operand.value if isinstance(operand, Literal) else self.integer(operand.size))

    def renamed(self, name: str, axes: tuple[tuple[str, Size], ...]) -> Named:
        value = self.scope[name]
        new = dict(zip(self.orders[name], (axis for axis, _ in axes), strict=True))
        return Named(value.array, tuple(new[axis] for axis in value.axes), value.made)

    def number(self, value: bool | int | float | complex) -> Named:
        array = np.asarray(value)
        if array.dtype.kind not in "bifc":
            raise Trouble("NL0587", f"the integer {_shortened(value)} does not fit into 64 bits")
        return Named(self.precision.cast(array, kind_of(array)), ())

    def integer(self, size: int) -> int:
        return size_expr(size).evaluate(self.sizes)

    def integers(self, value: Any) -> Any:
        """An attribute with its sizes evaluated."""
        if isinstance(value, tuple):
            return tuple(map(self.integers, value))
        return self.integer(value) if isinstance(value, Size) else value

    def elements(self, *operands: Named | _Product) -> int:
        return prod({axis: f.size(axis) for x in operands for f in _factors(x) for axis in f.axes}.values())

    def held(self, value: Named | _Product) -> Named:
        if isinstance(value, Named):
            return value
        return self.binary("mul", self.held(value.left), self.held(value.right))

    def sum_of_products(self, factors: list[Named], kept: tuple[str, ...]) -> np.ndarray:
        kind = result_kind("sum", (common_kind(*(f.array for f in factors)),))
        number = {axis: k for k, axis in enumerate(union(*factors))}
        pairs = [part for f in factors for part in (self.precision.cast(f.array, kind), [number[a] for a in f.axes])]
        return np.einsum(*pairs, [number[axis] for axis in kept])


_Rule = Callable[[Mapping[str, Any], list[Named], Mapping[str, int], Precision], Named]

_PRIMITIVES: dict[str, _Rule] = {
    name: rule for module in (moving, ordering, algebra) for name, rule in vars(module).items() if name in PRIMITIVES
}


# --- inputs -----------------------------------------------------------------------------------------------------------


def _arrays(program: Program, inputs: Inputs, precision: Precision) -> dict[str, np.ndarray]:
    """The inputs as arrays of their kinds. Raises ArgumentError."""
    wanted = {given.name: given for given in program.inputs}
    missing, unknown = sorted(wanted.keys() - inputs.keys()), sorted(inputs.keys() - wanted.keys())
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        labels = (Label(wanted[name].span, "not given") for name in missing)
        raise ArgumentError("NL0583", f"`{program.name}` needs {names}", *labels)
    if unknown:
        names = ", ".join(f"`{name}`" for name in unknown)
        raise ArgumentError("NL0583", f"`{program.name}` has no input {names}", Label(program.span))
    arrays = {}
    for name, given in wanted.items():
        array = np.asarray(inputs[name])
        if array.dtype.kind not in "biufc":
            raise ArgumentError("NL0584", f"`{name}` must be numbers, but is {array.dtype}", Label(given.span))
        if given.kind < kind_of(array):
            raise ArgumentError(
                "NL0584", f"`{name}` is {_WORDS[given.kind]}, but {array.dtype} is given", Label(given.span)
            )
        arrays[name] = precision.cast(array, given.kind)
    return arrays


_WORDS = {Kind.BOOL: "boolean", Kind.INT: "integer", Kind.REAL: "real", Kind.COMPLEX: "complex"}


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:17]}…"
