"""Semirings: what `+`, `*`, `sum` and `prod` of values are, and how an ordinary number becomes a value.

In: nothing; this is the table that `under` reads. Out: `SEMIRINGS`. What always holds: operations are names of `terms`;
`times` distributes over `plus`; `zero` is neutral for `plus`.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass

from funsor.terms import Funsor

from namedlayers.program import terms
from namedlayers.program.program import Kind

Number = bool | int | float | complex


@dataclass(frozen=True, slots=True)
class Semiring:
    """`plus` and `times` with their reductions, by the names in `terms`; `zero` is neutral for plus and absorbs.

    `embed` makes a value of an ordinary term, `literal` of an ordinary number. Values are of `kind`; None: of any.
    """

    name: str
    plus: str
    times: str
    sum: str
    prod: str
    zero: Number
    embed: Callable[[Funsor], Funsor]
    literal: Callable[[Number], Number]
    kind: Kind | None = None


def _log(number: Number) -> Number:
    if isinstance(number, complex):
        return -math.inf if number == 0 else cmath.log(number)
    return -math.inf if number == 0 else math.log(number) if number > 0 else math.nan


def _complex_log(number: Number) -> Number:
    return complex(-math.inf, 0.0) if number == 0 else cmath.log(number)


def _itself(term: Funsor) -> Funsor:
    return term


def _logarithm(term: Funsor) -> Funsor:
    return terms.unary("log", term)


def _complex_logarithm(term: Funsor) -> Funsor:
    return terms.unary("log", terms.binary("add", term, terms.literal(0j)))


def _truth(term: Funsor) -> Funsor:
    return terms.binary("ne", term, terms.literal(0))


SEMIRINGS: dict[str, Semiring] = {
    one.name: one
    for one in (
        Semiring("log", "logaddexp", "add", "logsumexp", "sum", -math.inf, _logarithm, _log, Kind.REAL),
        Semiring(
            "complex-log",
            "logaddexp",
            "add",
            "logsumexp",
            "sum",
            -math.inf,
            _complex_logarithm,
            _complex_log,
            Kind.COMPLEX,
        ),
        Semiring("max-plus", "maximum", "add", "max", "sum", -math.inf, _itself, lambda number: number),
        Semiring("min-plus", "minimum", "add", "min", "sum", math.inf, _itself, lambda number: number),
        Semiring("max-product", "maximum", "mul", "max", "prod", 0.0, _itself, lambda number: number),
        Semiring("min-product", "minimum", "mul", "min", "prod", math.inf, _itself, lambda number: number),
        Semiring("boolean", "or", "and", "any", "all", False, _truth, lambda number: number != 0, Kind.BOOL),
    )
}
"""`sum-product`, the ordinary one, is not here: there a program is as it is."""
