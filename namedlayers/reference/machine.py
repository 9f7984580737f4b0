"""One block of statements by definition: the values of terms, one after another, and the bodies that they run.

In: the values of the block's inputs, and integers for the sizes. Out: the value of every statement. What always holds:
a term is computed as it stands, its operands first; a body runs as often as its definition says, each time on values of
its own. Bad data raise the FormulaError that a compiled call raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.errors import Label
from namedlayers.program.dressed import Size
from namedlayers.program.kinds import result_kind
from namedlayers.program.primitives import PRIMITIVES
from namedlayers.program.program import Body, Statement
from namedlayers.program.size import SizeExpr, size_expr
from namedlayers.program.sizes_at_call import error_class
from namedlayers.program.term_kinds import part_kind
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
from namedlayers.reference import algebra, bodies, drawing, elementwise, moving, ordering, reductions
from namedlayers.reference.bodies import Bundle
from namedlayers.reference.named import Named, Origin, Precision, Trouble, common_kind, kind_of, union
from namedlayers.reference.softmax import masked_exponent, masked_quotient

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
class Machine:
    """What evaluating a block needs: the sizes, the precision; the values so far, the order of their axes, bundles."""

    sizes: Mapping[str, int]
    precision: Precision
    scope: dict[str, Named] = field(default_factory=dict)
    orders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bundles: dict[str, Bundle] = field(default_factory=dict)

    def give(self, name: str, value: Named, axes: Sequence[str]) -> None:
        """A value, with the order in which others refer to its axes."""
        self.scope[name], self.orders[name] = value, tuple(axes)

    def statement(self, statement: Statement) -> bool:
        """Give the statement its value; whether all that it computed was finite."""
        term = statement.term
        try:
            with np.errstate(all="ignore"):
                if isinstance(term, Primitive) and term.op in bodies.RUNS:
                    self.bundles[statement.name], finite = self.bundle(term)
                    return finite
                value, finite = self.run(term)
        except Trouble as trouble:
            raise error_class(trouble.code)(trouble.code, trouble.message, Label(statement.source)) from None
        self.give(statement.name, value, [axis for axis, _ in statement.axes])
        return finite

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
        if term.op == "part":
            return self.part(term)
        sizes = {axis: self.integer(size) for axis, size in term.axes}
        attrs = {name: self.integers(value) for name, value in term.attrs}
        operands = [self.operand(operand) for operand in term.operands]
        result = PRIMITIVE_RULES[term.op](attrs, operands, sizes, self.precision)
        kind = kind_of(result.array)
        # Over an axis of the result that no operand has, it is constant.
        array = np.broadcast_to(self.precision.cast(result.over(tuple(sizes)), kind), tuple(sizes.values()))
        return Named(array, term.names)

    # --- bodies -----------------------------------------------------------------------------------------------------

    def bundle(self, term: Primitive) -> tuple[Bundle, bool]:
        attrs = {name: self.integers(value) for name, value in term.attrs}
        scanned = attrs.get("axis")
        given = [bodies.placed(operand, self.operand(operand), scanned) for operand in term.operands]
        return bodies.RUNS[term.op](self, attrs, given)

    def once(self, body: Body, given: Sequence[Named]) -> tuple[Bundle, bool]:
        inside = Machine(self.sizes, self.precision)
        for declared, value in zip(body.inputs, given, strict=True):
            names = [axis for axis, _ in declared.axes]
            raised = self.precision.cast(value.array, declared.kind)
            made = value.made if raised is value.array else None
            inside.give(declared.name, bodies.into(Named(raised, value.axes, made), names), names)
        finite = [inside.statement(statement) for statement in body.statements]
        return tuple(bodies.out_of(inside.scope[one.value], one.axes) for one in body.outputs), all(finite)

    def empty(self, body: Body, number: int) -> np.ndarray:
        output = body.outputs[number]
        sizes = next(dict(value.axes) for value in body.values if value.name == output.value)
        shape = (0, *(self.integer(sizes[axis]) for axis in output.axes))
        return np.zeros(shape, self.precision.dtype(part_kind(body, number)))

    def part(self, term: Primitive) -> Named:
        (bundle,) = term.operands
        assert isinstance(bundle, Ref)
        return bodies.into(self.bundles[bundle.name][dict(term.attrs)["number"]], term.names)

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

    def integer(self, size: int | SizeExpr) -> int:
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

PRIMITIVE_RULES: dict[str, _Rule] = {
    name: rule
    for module in (moving, ordering, algebra, drawing)
    for name, rule in vars(module).items()
    if name in PRIMITIVES
}


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 20 else f"{text[:17]}…"
