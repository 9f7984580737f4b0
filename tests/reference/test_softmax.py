"""The promise of the all -inf row: a softmax of it is 0, in every spelling, and nothing else is touched."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from namedlayers.reference import evaluate
from tests.programs import Builder

inf = math.inf
ROWS = np.array([[1.0, 2.0, -inf], [-inf, -inf, -inf], [0.0, 0.0, 0.0]])


def two_statements(b: Builder, X: Any) -> Any:
    norm = b.let("norm", b.logsumexp("j", X))
    return b.exp(b.sub(X, norm))


def three_statements(b: Builder, X: Any) -> Any:
    b.let("norm", b.logsumexp("j", X))
    b.let("shifted", b.sub(X, b.leaf("norm")), "j i")
    return b.exp(b.leaf("shifted"))


def renamed(b: Builder, X: Any) -> Any:
    b.let("norm", b.logsumexp("q", b.leaf("X", i="p", j="q")))
    return b.exp(b.sub(X, b.leaf("norm", p="i")))


def computed_twice(b: Builder, X: Any) -> Any:
    b.let("A", b.add(X, 0.0))
    b.let("B", b.add(X, 0.0))
    return b.exp(b.sub(b.leaf("A"), b.logsumexp("j", b.leaf("B"))))


def quotient(b: Builder, X: Any) -> Any:
    E = b.let("E", b.exp(X))
    Z = b.let("Z", b.sum("j", E))
    return b.div(E, Z)


def quotient_of_terms(b: Builder, X: Any) -> Any:
    return b.div(b.exp(X), b.sum("j", b.exp(X)))


def shifted_quotient(b: Builder, X: Any) -> Any:
    E = b.let("E", b.exp(b.sub(X, b.max("j", X))))
    return b.div(E, b.sum("j", E))


SPELLINGS: list[Callable[[Builder, Any], Any]] = [
    lambda b, X: b.exp(b.sub(X, b.logsumexp("j", X))),
    two_statements,
    three_statements,
    renamed,
    computed_twice,
    quotient,
    quotient_of_terms,
    shifted_quotient,
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda f: f.__name__)
def test_an_all_masked_row_is_0(spelling: Callable[[Builder, Any], Any], dtype: Any) -> None:
    b = Builder()
    b.let("Y", spelling(b, b.input("X", "i j")))
    (y,) = evaluate(b.program("Y: i j"), {"X": ROWS}, dtype)
    e = math.e
    np.testing.assert_allclose(y, [[1 / (1 + e), e / (1 + e), 0], [0, 0, 0], [1 / 3] * 3], rtol=1e-6)


def test_over_two_axes() -> None:
    b = Builder()
    X = b.input("X", "i j k", k=3, j=3)
    norm = b.let("norm", b.logsumexp("j k", X))
    b.let("Y", b.exp(b.sub(X, norm)))
    x = np.full((2, 3, 3), -inf)
    x[0, 1, 2], x[0, 2, 1] = 0.0, 0.0
    (y,) = evaluate(b.program("Y: i j k"), {"X": x})
    expected = np.zeros((2, 3, 3))
    expected[0, 1, 2], expected[0, 2, 1] = 0.5, 0.5
    np.testing.assert_allclose(y, expected)


def other_operand(b: Builder, X: Any) -> Any:
    return b.exp(b.sub(X, b.logsumexp("j", b.mul(X, 2.0))))


def other_reduction(b: Builder, X: Any) -> Any:
    return b.exp(b.sub(X, b.min("j", X)))


def log_softmax(b: Builder, X: Any) -> Any:
    return b.sub(X, b.logsumexp("j", X))


def plain_difference(b: Builder, X: Any) -> Any:
    return b.exp(b.sub(X, X))


@pytest.mark.parametrize("formula", [other_reduction, log_softmax, plain_difference], ids=lambda f: f.__name__)
def test_what_is_no_softmax_keeps_ieee_arithmetic(formula: Callable[[Builder, Any], Any]) -> None:
    b = Builder()
    b.let("Y", formula(b, b.input("X", "i j")))
    (y,) = evaluate(b.program("Y: i j"), {"X": ROWS})
    assert np.isnan(y[1]).all()


def test_underflow_is_no_mask() -> None:
    """Finite exponents that all underflow make 0 / 0, which the quotient form does not promise to mend."""
    b = Builder()
    b.let("Y", quotient(b, b.input("X", "i j")))
    (y,) = evaluate(b.program("Y: i j"), {"X": [[-1e6, -1e6]]})
    assert np.isnan(y).all()


@pytest.mark.parametrize("formula", [other_operand], ids=lambda f: f.__name__)
def test_softmax_is_told_by_values(formula: Callable[[Builder, Any], Any]) -> None:
    """exp(X - logsumexp(2 X)) is no softmax: its rows of -inf stay NaN, as long as the rest tells X from 2 X."""
    b = Builder()
    b.let("Y", formula(b, b.input("X", "i j")))
    (y,) = evaluate(b.program("Y: i j"), {"X": ROWS})
    assert np.isnan(y[1]).all()
