"""Calls and scans of the reference against loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from namedlayers.errors import ArgumentError
from namedlayers.program.elaborate import default_spec, structure
from namedlayers.program.namespace import load_text
from namedlayers.program.program import Body, Program
from namedlayers.program.size import symbol
from namedlayers.program.verify import verify_program
from namedlayers.reference import evaluate, trace
from tests.programs import BOOL, INT, REAL, Builder

i, j, time = map(symbol, ("i", "j", "time"))
RNG = np.random.default_rng(0)


def step() -> Body:
    """h[i] becomes tanh(h + sum over j of X * W); the sum is given out too, and so is X."""
    b = Builder()
    h, X, W = b.input("h", "i"), b.input("X", "j"), b.input("W", "i j")
    b.let("m", b.sum("j", b.mul(X, W)))
    b.let("h2", b.tanh(b.add(h, b.leaf("m"))))
    return b.body("h2", "m", "X")


def recurrence(reverse: bool) -> Program:
    b = Builder()
    b.input("X", "j time")
    b.input("W", "i j")
    b.input("h0", "i")
    b.scan("s", step(), b.ref("h0"), b.ref("X"), b.ref("W"), reverse=reverse)
    b.part("h", "s", 0, "time i")
    b.part("m", "s", 1, "time i")
    b.part("seen", "s", 2, "time j")
    return b.program("h", "m: i time", "seen: j time")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("steps", "width"), [(5, 3), (1, 3), (0, 3), (4, 1), (4, 0), (0, 0)])
def test_a_scan_runs_step_by_step(reverse: bool, steps: int, width: int) -> None:
    X, W, h = RNG.normal(size=(2, steps)), RNG.normal(size=(width, 2)), RNG.normal(size=width)
    program = recurrence(reverse)
    verify_program(program)
    hs, m, seen = evaluate(program, {"X": X, "W": W, "h0": h})
    expected = np.zeros((steps, width))
    for t in reversed(range(steps)) if reverse else range(steps):
        h = expected[t] = np.tanh(h + W @ X[:, t])
    np.testing.assert_allclose(hs, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(m, W @ X, rtol=1e-12, atol=1e-14)
    assert np.array_equal(seen, X)


def test_several_values_are_carried_at_once() -> None:
    """Fibonacci: (a, b) becomes (b, a + b), each of them from the old ones."""
    inside = Builder()
    a, b = inside.input("a", "", INT), inside.input("b", "", INT)
    inside.let("c", inside.add(a, b))
    outside = Builder()
    outside.input("X", "time")
    outside.scan("s", inside.body("b", "c"), 0, 1, carries=2)
    outside.part("f", "s", 0, "time")
    (found,) = evaluate(outside.program("f"), {"X": np.zeros(8)})
    assert found.tolist() == [1, 1, 2, 3, 5, 8, 13, 21]
    assert found.dtype == np.int64


def test_an_operand_is_raised_to_the_kind_of_its_input() -> None:
    inside = Builder()
    h, x = inside.input("h", "", REAL), inside.input("x", "", INT)
    inside.let("h2", inside.add(inside.mul(h, 0.5), x))
    outside = Builder()
    outside.input("M", "time", BOOL)
    outside.scan("s", inside.body("h2", "x"), 1, outside.ref("M"))
    outside.part("h", "s", 0, "time")
    outside.part("x", "s", 1, "time")
    program = outside.program("h", "x")
    verify_program(program)
    h, x = evaluate(program, {"M": np.array([True, False])})
    assert (h.tolist(), h.dtype) == ([1.5, 0.75], np.float64)
    assert (x.tolist(), x.dtype) == ([1, 0], np.int64)
    h, x = evaluate(program, {"M": np.zeros(0, bool)})
    assert (h.shape, h.dtype, x.dtype) == ((0,), np.float64, np.int64)


def nested(reverse: bool) -> Program:
    """Along rows inside along time: each step begins with the maximum of the sums so far."""
    inner = Builder()
    s, x = inner.input("s"), inner.input("x")
    inner.let("s2", inner.add(s, x))
    outer = Builder()
    outer.input("t")
    outer.input("X", "i")
    outer.scan("rows", inner.body("s2"), outer.ref("t"), outer.ref("X"), axis="i", reverse=reverse)
    sums = outer.part("sums", "rows", 0, "i")
    outer.let("t2", outer.max("i", sums))
    b = Builder()
    b.input("X", "time i")
    b.scan("steps", outer.body("t2", "sums"), 0.0, b.ref("X"))
    b.part("all", "steps", 1, "time i")
    return b.program("all")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (3, 1), (1, 4), (0, 4)])
def test_scans_nest(reverse: bool, shape: tuple[int, int]) -> None:
    X = RNG.normal(size=shape)
    (found,) = evaluate(nested(reverse), {"X": X})
    start, rows = 0.0, []
    for x in X:
        x = x[::-1] if reverse else x
        sums = start + np.cumsum(x)
        rows.append(sums[::-1] if reverse else sums)
        start = sums.max()
    np.testing.assert_allclose(found, np.reshape(rows, shape), rtol=1e-12, atol=1e-14)


def called(body: Body, times: int) -> Program:
    b = Builder()
    b.input("X", "i j")
    before = "X"
    for k in range(times):
        b.call(f"c{k}", body, b.ref(before))
        b.part(f"p{k}", f"c{k}", 0, "i j")
        before = f"p{k}"
    return b.program(f"{before}: j i")


def test_a_call_runs_its_body() -> None:
    """Inside, the axes are called otherwise, and the result has them in another order."""
    inside = Builder()
    A = inside.input("A", "a b", a=i, b=j)
    inside.let("B", inside.add(A, inside.sum("a", A)))
    b = Builder()
    b.input("X", "i j")
    b.call("c", inside.body("B: b a"), b.ref("X"))
    b.part("Y", "c", 0, "j i")
    program = b.program("Y")
    verify_program(program)
    X = RNG.normal(size=(2, 3))
    assert np.array_equal(evaluate(program, {"X": X})[0], (X + X.sum(0)).T)


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_call_of_a_scan(rounds: int) -> None:
    """Each round takes sums along axis i."""
    inner = Builder()
    s, x = inner.input("s", "j"), inner.input("x", "j")
    inner.let("s2", inner.add(s, x))
    outer = Builder()
    outer.input("X", "i j")
    outer.let("zero", outer.primitive("expand", (0.0,), "j", axes=(("j", j),)))
    outer.scan("s", inner.body("s2"), outer.ref("zero"), outer.ref("X"), axis="i")
    outer.part("sums", "s", 0, "i j")
    program = called(outer.body("sums"), rounds)
    verify_program(program)
    X = RNG.normal(size=(4, 2))
    (found,) = evaluate(program, {"X": X})
    for _ in range(rounds):
        X = np.cumsum(X, 0)
    np.testing.assert_allclose(found, X.T, rtol=1e-12, atol=1e-14)


def test_a_softmax_that_is_cut_by_a_call_is_0_where_a_row_is_masked() -> None:
    inside = Builder()
    X, norm = inside.input("X", "i j"), inside.input("n", "i")
    inside.let("Y", inside.exp(inside.sub(X, norm)))
    b = Builder()
    X = b.input("X", "i j")
    b.let("norm", b.logsumexp("j", X))
    b.call("c", inside.body("Y"), b.ref("X"), b.ref("norm"))
    b.part("Y", "c", 0, "i j")
    (found,) = evaluate(b.program("Y"), {"X": np.array([[-np.inf, -np.inf], [0.0, 0.0]])})
    np.testing.assert_allclose(found, [[0, 0], [0.5, 0.5]])


@pytest.mark.parametrize("quotient", [False, True])
def test_a_softmax_that_is_cut_by_a_scan_is_0_where_a_row_is_masked(quotient: bool) -> None:
    """The maximum is taken around the scan, for all steps at once, or the exponentials are; the rest inside."""
    inside = Builder()
    X, norm = inside.input("X", "j"), inside.input("n", "")
    inside.let("Y", inside.div(X, norm) if quotient else inside.exp(inside.sub(X, norm)))
    b = Builder()
    X = b.input("X", "time j")
    b.let("E", b.exp(b.sub(X, b.max("j", X))))
    b.let("norm", b.sum("j", b.leaf("E")) if quotient else b.logsumexp("j", X))
    b.scan("s", inside.body("Y"), b.ref("E" if quotient else "X"), b.ref("norm"), carries=0)
    b.part("Y", "s", 0, "time j")
    (found,) = evaluate(b.program("Y"), {"X": np.array([[-np.inf, -np.inf], [0.0, 0.0]])})
    np.testing.assert_allclose(found, [[0, 0], [0.5, 0.5]])


def test_what_is_not_finite_inside_shows_in_the_trace() -> None:
    program = recurrence(False)
    inputs: dict[str, Any] = {"X": np.zeros((2, 3)), "W": np.ones((1, 2)), "h0": np.zeros(1)}
    assert trace(program, inputs).finite["s"]
    inputs["X"] = np.full((2, 3), np.inf)
    found = trace(program, inputs)
    assert not found.finite["s"]
    assert found.values.keys() == {"h", "m", "seen"}


def test_what_is_wrong_with_the_data_inside_is_shown_there() -> None:
    inside = Builder()
    n = inside.input("n", "", INT)
    inside.let("q", inside.floordiv(1, n))
    b = Builder()
    b.input("N", "time", INT)
    b.scan("s", inside.body("q"), b.ref("N"), carries=0)
    b.part("Q", "s", 0, "time")
    with pytest.raises(ArgumentError, match="NL0585") as caught:
        evaluate(b.program("Q"), {"N": np.array([1, 0])})
    assert caught.value.labels[0].span.text == "q = …"


def test_sizes_may_be_given() -> None:
    """A program without inputs over sizes that are known."""
    b = Builder()
    b.let("X", b.add(b.coord("i"), b.size(j)))
    (found,) = evaluate(b.program("X"), {}, sizes={"i": 3, "j": 10})
    assert found.tolist() == [10, 11, 12]


def test_initial_values_of_a_layer() -> None:
    """Programs without inputs, over the sizes of what they begin."""
    namespace = load_text(
        """
        layer S[chans -> state](X[chans]) -> [state]:
            param A[state] ~ log(state + 1)
            param B[state, chans] ~ uniform(-1 / sqrt(|chans|), 1 / sqrt(|chans|))
            return B @[chans] X * A
        """
    )
    (definition,) = namespace.definitions.values()
    declared = structure(namespace, definition, default_spec(namespace, definition)).declared
    programs = [one.initial.program for one in declared]
    found = []
    for program in programs:
        assert program is not None
        verify_program(program, {"state", "chans"})
        found.append(evaluate(program, {}, sizes={"state": 3, "chans": 4}))
    np.testing.assert_allclose(found[0][0], np.log([1, 2, 3]))
    assert found[1] == (-0.5, 0.5)
