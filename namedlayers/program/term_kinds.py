"""The kind of a whole term, and of a primitive from all its operands.

In: a term and the kinds of the values that it refers to. Out: the kind of its elements. What always holds: agrees with
`kinds.result_kind`, which knows an operation only by the operands that become its elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.program.kinds import kind_of, result_kind
from namedlayers.program.program import Body, Kind
from namedlayers.program.terms import REDUCE_OF, Const, Leaf, Literal, Operand, Primitive, Ref, operation_name
from namedlayers.program.walk import subterms

BUNDLE = Kind.REAL
"""The kind of a bundle, which has no elements; that of what a `part` takes is `part_kind`."""


def primitive_kind(op: str, attrs: Mapping[str, Any], operands: Sequence[Kind]) -> Kind:
    """The kind of a primitive's result, from the kinds of all its operands."""
    if op in _FIXED:
        return _FIXED[op]
    if op == "random":
        return Kind.BOOL if attrs["distribution"] == "bernoulli" else Kind.REAL
    if op == "cumulative":
        return result_kind(attrs["op"], operands)
    return result_kind(op, [operands[k] for k in _elements(op, attrs, len(operands))])


def part_kind(body: Body, number: int) -> Kind:
    """The kind of an output of a body."""
    wanted = body.outputs[number].value
    return next(value.kind for value in body.values if value.name == wanted)


def term_kind(term: Funsor, kinds: Mapping[str, Kind], bodies: Mapping[str, Body] | None = None) -> Kind:
    """The kind of `term`, given the kinds of inputs and statements by name, and the bodies of bundles by theirs."""
    found: dict[Funsor, Kind] = {}
    for part in subterms(term):
        if isinstance(part, Unary):
            found[part] = result_kind(operation_name(part.op), (found[part.arg],))
        elif isinstance(part, Binary):
            found[part] = result_kind(operation_name(part.op), (found[part.lhs], found[part.rhs]))
        elif isinstance(part, Reduce):
            found[part] = result_kind(REDUCE_OF[part.op], (found[part.arg],))
        elif isinstance(part, Leaf):
            found[part] = kinds[part.name]
        elif isinstance(part, Primitive) and part.op == "part":
            (bundle,) = part.operands
            assert isinstance(bundle, Ref) and bodies is not None
            found[part] = part_kind(bodies[bundle.name], dict(part.attrs)["number"])
        elif isinstance(part, Primitive):
            found[part] = primitive_kind(part.op, dict(part.attrs), [operand_kind(o, kinds) for o in part.operands])
        else:
            found[part] = kind_of(part.value) if isinstance(part, Const) else Kind.INT
    return found[term]


_FIXED = {"finfo": Kind.REAL, "categorical": Kind.INT, "call": BUNDLE, "scan": BUNDLE}


def operand_kind(operand: Operand, kinds: Mapping[str, Kind]) -> Kind:
    if isinstance(operand, Ref):
        return kinds[operand.name]
    return kind_of(operand.value) if isinstance(operand, Literal) else Kind.INT


def _elements(op: str, attrs: Mapping[str, Any], operands: int) -> Sequence[int]:
    """Which operands' elements become the result's."""
    if op == "where":
        return (1, 2)
    if op == "gather":
        return (0, operands - 1) if attrs["fill"] else (0,)
    if op == "dropout":
        return (0,)
    if op == "pad":
        return (0, 1) if attrs["mode"] == "constant" else (0,)
    return range(operands)
