"""A program under a semiring: the same formula with another sum and another product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.errors import ArgumentError
from namedlayers.program.elaborate import default_program, elaborate
from namedlayers.program.namespace import load_text
from namedlayers.program.program import Kind, Program
from namedlayers.program.semirings import SEMIRINGS
from namedlayers.program.spec import Given, Spec
from namedlayers.program.under import under
from namedlayers.reference import evaluate

R = np.random.default_rng(5)
X, W, P = R.random((4, 3)), R.random((3, 2)), R.random(3)


def made(text: str, semiring: str) -> Program:
    """The last definition of a text, its data being the semiring's values."""
    space = load_text(text)
    spec, program = default_program(space, list(space.definitions.values())[-1])
    assert program is not None
    if semiring in ("complex-log", "boolean"):
        kind = Kind.COMPLEX if semiring == "complex-log" else Kind.BOOL
        data = {one.name for one in program.inputs if one.role == "data"}
        given = tuple((n, Given(kind if n in data else one.kind, one.axes)) for n, one in spec.given)
        program = elaborate(space, list(space.definitions.values())[-1], Spec(given, spec.options, spec.scalars))
    return under(program, SEMIRINGS[semiring], [one.name for one in program.inputs if one.role == "data"])


# The plain numbers behind a semiring's values, where there is a map that carries one to the other.
MAPS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "log": (np.log, np.exp),
    "complex-log": (lambda x: np.log(x.astype(complex)), np.exp),
}

FORMULAS = {
    "a contraction": ("def f(X[b, i]; W[i, o]) = X @[i] W", {"X": X, "W": W}),
    "sums, products and literals": ("def f(X[b, i]) = sum[b](2 * X + 3) * prod[i](X)", {"X": X}),
    "a power": ("def f(X[b, i]) = sum[i](X ^ 3)", {"X": X}),
    "weights computed ordinarily": ("def f(X[b, i]; W[i, o]) = X @[i] softmax[i](W - 1)", {"X": X, "W": W}),
    "moved": ("def f(X[b, i]) -> [k] = X[(b, i) -> k][k = ::2]", {"X": X}),
    "padded by the zero of the semiring": ("def f(X[b, i]) = sum[i](pad[i](X; before = 1))", {"X": X}),
    "a choice": ("def f(X[b, i]) = sum[i](where(i < 2, X, 0))", {"X": X}),
    "running": ("def f(X[b, i]) = cumsum[i](X) + cumprod[b](X)", {"X": X}),
    "joined with weights": ("def f(X[b, i]; P[i]) = sum[k](stack[k](X, P))", {"X": X, "P": P}),
    "a recurrence": (
        "def f(X[b, i]; A[i, i'], p[i]) -> []:\n    scan b with a = p:\n        a = (A @[i] a)[i' -> i] * X\n"
        "    return sum[i](a[b = -1])",
        {"X": X, "A": R.random((3, 3)), "p": P},
    ),
    "rounds": (
        "def f(X[b, i]; A[i, i']) -> [b, i]:\n    repeat 10:\n        X = (A @[i] X)[i' -> i] + 0.1\n    return X",
        {"X": X, "A": R.random((3, 3))},
    ),
}


@pytest.mark.parametrize("semiring", MAPS)
@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_commutes_with_the_map_to_the_semiring(name: str, semiring: str) -> None:
    text, inputs = FORMULAS[name]
    space = load_text(text)
    _, plain = default_program(space, list(space.definitions.values())[-1])
    assert plain is not None
    (expected,) = evaluate(plain, inputs)
    there, back = MAPS[semiring]
    program = made(text, semiring)
    given = {one.name: there(inputs[one.name]) if one.role == "data" else inputs[one.name] for one in program.inputs}
    (found,) = evaluate(program, given)
    np.testing.assert_allclose(back(found), expected, rtol=1e-9)


EXTREMES = {
    "max-plus": (X[:, :, None] + W).max(1),
    "min-plus": (X[:, :, None] + W).min(1),
    "max-product": (X[:, :, None] * W).max(1),
    "min-product": (X[:, :, None] * W).min(1),
}


@pytest.mark.parametrize("semiring", EXTREMES)
def test_extremes_in_the_place_of_sums(semiring: str) -> None:
    text, inputs = FORMULAS["a contraction"]
    np.testing.assert_allclose(evaluate(made(text, semiring), inputs)[0], EXTREMES[semiring])


ZEROS = {"max-plus": -np.inf, "min-plus": np.inf, "max-product": 0.0, "min-product": np.inf}


@pytest.mark.parametrize("semiring", ZEROS)
@pytest.mark.parametrize(
    ("body", "last"),
    [
        ("pad[i](X; after = 1)", "zero"),
        ("X[i = i + 1; fill = 0]", "zero"),
        ("unroll[i, k = 2](X; padding = 1)[k = 1]", "zero"),
        ("pad[i](X; after = 1, value = 2)", 2.0),
        ("X[i = i + 1; fill = 2]", 2.0),
        ("where(i < 2, X, 0)", 0.0),
    ],
)
def test_where_there_is_nothing_a_0_is_the_zero(semiring: str, body: str, last: float | str) -> None:
    text, expected = f"def f(X[b, i]) -> [b, i] = {body}", ZEROS[semiring] if last == "zero" else last
    assert (evaluate(made(text, semiring), {"X": X})[0][:, -1] == expected).all()
    compiled = nl.compile(text, semiring=semiring)(torch.from_numpy(X))
    assert (compiled[:, -1] == expected).all()


def test_windows_beyond_an_edge_are_never_the_largest() -> None:
    text = 'def f(X[i]; W[k]) -> [i] = W @[k] unroll[i, k](X; padding = "same")'
    below = torch.tensor([-1.0, -2.0, -3.0])
    assert nl.compile(text, semiring="max-plus")(below, torch.zeros(3)).tolist() == [-1, -1, -2]


def test_truth() -> None:
    edges, start = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]]), np.array([True, False, False])
    text = "def reached(X[i]; A[i, i']) = X + (A @[i] X)[i' -> i]"
    found = evaluate(made(text, "boolean"), {"X": start, "A": edges})[0]
    assert found.dtype == bool and found.tolist() == [True, True, False]


def test_truth_so_far() -> None:
    text = "def f(X[b, i]) -> [b, i] = cumsum[i](X) * cumprod[b](X + cumsum[i](X))"
    given = X > 0.5
    so_far = np.logical_or.accumulate(given, 1)
    expected = so_far & np.logical_and.accumulate(given | so_far, 0)
    found = evaluate(made(text, "boolean"), {"X": given})[0]
    assert found.dtype == bool and found.tolist() == expected.tolist()
    compiled = nl.compile(text, semiring="boolean")(torch.from_numpy(given))
    assert compiled.dtype is torch.bool and compiled.tolist() == expected.tolist()


def test_negative_weights_have_complex_logarithms() -> None:
    inputs = {"X": np.log(X.astype(complex)), "W": W - 0.5}
    (found,) = evaluate(made("def f(X[b, i]; W[i, o]) = X @[i] W", "complex-log"), inputs)
    np.testing.assert_allclose(np.exp(found), X @ (W - 0.5), atol=1e-12)


REFUSED = {
    # an expression: what is said to have no meaning, in words of the language
    "sin(X)": "`sin`", "X - 1": "`-`", "X / 2": "`/`", "max[i](X)": "`max`", "X < 1": "`<`", "sort[i](X)": "`sort`",
    "2 ^ X": "`^`", "X ^ 0.5": "a power that is not a positive literal integer", "argmin[i](X)": "`argmin`",
    "W[o = X]": "an index made of values", "where(X, 1, 2)": "a condition made of values",
}  # fmt: skip


@pytest.mark.parametrize(("body", "told"), REFUSED.items())
def test_what_a_semiring_has_not(body: str, told: str) -> None:
    with pytest.raises(ArgumentError) as error:
        nl.compile(f"def f(X[i]; W[o]) = {body}", semiring="log")(torch.ones(2, dtype=torch.int64), torch.ones(3))
    assert error.value.code == "NL0261"
    assert error.value.message == f"{told} has no meaning for values of the semiring `log`"
