"""The kinds of results: boolean, integer, real, complex, by operation and the kinds of operands.

In: operation names of `terms` and `primitives`. Out: kinds. A boolean counts as 0/1 in arithmetic, so what adds or
multiplies makes at least integers; what divides or transcends makes at least reals.
"""

from __future__ import annotations

from collections.abc import Sequence

from namedlayers.program.program import Kind

_SAME = frozenset(
    "conj detach max min maximum minimum where expand index gather merge split pad concat stack sort".split()
)
_BOOL = frozenset("lt le gt ge eq ne and or not any all isnan isinf isfinite".split())
_INT = frozenset("argreduce argsort int".split())
_AT_LEAST_INT = frozenset(
    "neg add sub mul floordiv mod pow sign sum prod floor ceil round abs fold cumulative contract".split()
)
_REAL_OF_COMPLEX = frozenset("abs real imag angle eigenvalues".split())
_ORDERED = frozenset(
    "lt le gt ge floordiv mod maximum minimum max min floor ceil round int "
    "argreduce sort argsort atan2 erf lgamma".split()
)


def result_kind(op: str, operands: Sequence[Kind]) -> Kind:
    """The kind of `op` on operands of these kinds (for `where`: of the branches; for gather and pad: of values)."""
    if op in _BOOL:
        return Kind.BOOL
    if op in _INT:
        return Kind.INT
    met = max(operands, key=lambda kind: kind.value, default=Kind.REAL)
    if op in _REAL_OF_COMPLEX and met is Kind.COMPLEX:
        return Kind.REAL
    if op in _SAME:
        return met
    if op in _AT_LEAST_INT:
        return max(met, Kind.INT, key=lambda kind: kind.value)
    if op == "fft":
        return Kind.COMPLEX
    return max(met, Kind.REAL, key=lambda kind: kind.value)


def orders(op: str) -> bool:
    """Whether `op` compares or rounds, so that complex numbers have no such thing."""
    return op in _ORDERED


def kind_of(value: bool | int | float | complex) -> Kind:
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int):
        return Kind.INT
    return Kind.REAL if isinstance(value, float) else Kind.COMPLEX
