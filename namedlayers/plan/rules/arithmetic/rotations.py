"""Pairs that are turned, as positions turn queries and keys: a product of complex numbers, written in reals.

`stack[two](x * c - y * s, x * s + y * c)`, x and y being both parts of one axis, in any order of terms and factors;
with the signs of s exchanged it turns the other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as pairs

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.view import Product, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class _Term:
    """One way to see a term: so many times the part `number` of `source` (-1 at the axis of which it is a part), times
    the one other factor."""

    sign: int
    part: Arg
    source: Arg
    number: int
    factor: Arg


def _rotation(scope: Scope, node: Node) -> Outcome:
    """The two turned parts, stacked"""
    if node.kind is not Kind.REAL or len(node.args) != 2:
        return None
    first, second = (_terms(scope, arg) for arg in node.args)
    if first is None or second is None:
        return None
    for a, b in (first, first[::-1]):
        for x, y in pairs(a, b):
            if (x.number, y.number) != (0, 1) or x.source != y.source:
                continue
            for one, other in (second, second[::-1]):
                for u, v in pairs(one, other):
                    if (u.part, u.factor, v.part, v.factor) == (x.part, y.factor, y.part, x.factor):
                        if (x.sign, v.sign, u.sign) != (1, 1, -y.sign):
                            return Near("the signs are not those of `x * c - y * s` and `x * s + y * c`")
                        return _covering(node, x, y)
    return None


def _covering(node: Node, x: _Term, y: _Term) -> Outcome:
    """If the parts have all axes of the result that cosines and sines have."""
    axis = node.attr("axis")
    if set(x.part.axes) == set(range(node.rank)) - {axis} and len(set(x.part.axes)) == len(x.part.axes):
        return Match((x.source, x.factor, y.factor, -y.sign), (x.part.node, y.part.node))
    return None


def _terms(scope: Scope, arg: Arg) -> tuple[list[_Term], list[_Term]] | None:
    """Each of two terms in all ways in which it is a part times a factor."""
    if not scope.once(arg.node):
        return None
    total = scope.own_sum(arg)
    if total.number != 0 or len(total.terms) != 2:
        return None
    first, second = (_ways(scope, sign, term) for sign, term in total.terms)
    return (first, second) if first and second else None


def _ways(scope: Scope, sign: int, term: Arg) -> list[_Term]:
    product: Product = scope.product(term, scope.once)
    if abs(product.number) != 1 or len(product.top) != 2 or product.bottom or isinstance(product.number, complex):
        return []
    sign = sign if product.number > 0 else -sign
    found = []
    for part, factor in (product.top, product.top[::-1]):
        source, number = _part(scope, part)
        if source is not None and factor.node.kind is not Kind.COMPLEX:
            found.append(_Term(sign, part, source, number, factor))
    return found


def _part(scope: Scope, arg: Arg) -> tuple[Arg | None, int]:
    """Of which pairs `arg` is the first (0) or the second (1): `P[two = 0]`, `P[two = 1]`."""
    node = arg.node
    entries = node.attr("entries") if node.op == "index" else ()
    if not isinstance(entries, tuple) or len(entries) != 1 or node.kind is not Kind.REAL:
        return None, 0
    own, terms, offset = entries[0]
    (source,) = scope.operands(arg)
    if terms or offset not in (0, 1) or source.node.sizes[own] != 2:
        return None, 0
    return source, int(offset == 1)


def _build(scope: Scope, node: Node, found: tuple[Arg, Arg, Arg, int]) -> Arg:
    source, cos, sin, sign = found
    sin = sin if sign > 0 else negative(scope, sin)
    return scope.build(
        "rotation", (source, cos, sin), range(node.rank), kind=node.kind, attrs={"axis": node.attr("axis")}
    )


RULES = (Rule("rotation", "exact", ("stack",), _rotation, _build),)
