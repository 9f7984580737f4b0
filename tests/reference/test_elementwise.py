"""The reference's elementwise operations and reductions against plain formulas, element by element."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from namedlayers.errors import ArgumentError
from namedlayers.program import terms
from namedlayers.program.program import Kind
from namedlayers.reference import evaluate, trace
from namedlayers.reference.elementwise import BINARY, UNARY
from namedlayers.reference.reductions import REDUCE
from tests.programs import BOOL, COMPLEX, INT, REAL, Builder

inf, nan = math.inf, math.nan


def run(build: Callable[[Builder], Any], dtype: Any = np.float64, **inputs: Any) -> np.ndarray:
    """The value of one term over inputs that all have the axis `i` (or none)."""
    b = Builder()
    kinds = {"b": BOOL, "i": INT, "f": REAL, "c": COMPLEX}
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    for name, array in arrays.items():
        b.input(name, " ".join("ijk"[: array.ndim]), kinds[array.dtype.kind])
    b.let("Y", build(b))
    (result,) = evaluate(b.program("Y"), arrays, dtype)
    return result


REALS = [-2.5, -1.0, -0.5, -0.0, 0.0, 0.3, 0.5, 1.0, 1.5, 2.5, 3.0, inf, -inf, nan]


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of Python numbers, NaN where it has no value."""

    def value(*numbers: Any) -> Any:
        try:
            return function(*numbers)
        except (ValueError, ZeroDivisionError, OverflowError):
            return nan

    return value


# Each entry was written from the definition; None: no finite value is expected where Python's own function refuses.
ELEMENT: dict[str, Callable[[float], Any]] = {
    "neg": lambda x: 0.0 - x if x else -x,
    "not": lambda x: x == 0,
    "exp": lambda x: math.exp(x),
    "expm1": lambda x: math.expm1(x),
    "log": lambda x: -inf if x == 0 else math.log(x),
    "log1p": lambda x: -inf if x == -1 else math.log(1 + x),
    "log2": lambda x: -inf if x == 0 else math.log(x) / math.log(2),
    "sqrt": lambda x: math.sqrt(x),
    "rsqrt": lambda x: math.copysign(inf, x) if x == 0 else 1 / math.sqrt(x),
    "sin": math.sin,
    "cos": math.cos,
    "tan": lambda x: math.sin(x) / math.cos(x),
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": lambda x: (math.exp(x) - math.exp(-x)) / 2,
    "cosh": lambda x: (math.exp(x) + math.exp(-x)) / 2,
    "tanh": math.tanh,
    "asinh": math.asinh,
    "acosh": math.acosh,
    "atanh": lambda x: math.copysign(inf, x) if abs(x) == 1 else math.atanh(x),
    "erf": math.erf,
    "lgamma": lambda x: inf if math.isinf(x) or (x <= 0 and x == int(x)) else math.lgamma(x),
    "abs": lambda x: x if x > 0 else -x,
    "sign": lambda x: (x > 0) - (x < 0),
    "floor": lambda x: x if math.isinf(x) else math.floor(x),
    "ceil": lambda x: x if math.isinf(x) else math.ceil(x),
    "round": lambda x: x if math.isinf(x) else round(x),
    "int": lambda x: -(2**63) if math.isnan(x) or math.isinf(x) else int(x),
    "real": lambda x: x,
    "imag": lambda x: 0,
    "conj": lambda x: x,
    "angle": lambda x: nan if math.isnan(x) else math.pi if x < 0 else 0,
    "isnan": math.isnan,
    "isinf": math.isinf,
    "isfinite": math.isfinite,
    "detach": lambda x: x,
}


@pytest.mark.parametrize("op", terms.UNARY_NAMES)
def test_unary(op: str) -> None:
    got = run(lambda b: getattr(b, op)(b.leaf("X")), X=REALS)
    expected = [guarded(ELEMENT[op])(x) for x in REALS]
    np.testing.assert_allclose(np.asarray(got, float), np.asarray(expected, float), rtol=1e-14, atol=0)


@pytest.mark.parametrize("op", terms.UNARY_NAMES)
@pytest.mark.parametrize("values", [[True, False], [-2, 0, 3]], ids=["bool", "int"])
def test_unary_of_whole_numbers(op: str, values: list) -> None:
    got = run(lambda b: getattr(b, op)(b.leaf("X")), X=values)
    expected = [guarded(ELEMENT[op])(x) for x in values]
    np.testing.assert_allclose(np.asarray(got, float), np.asarray(expected, float), rtol=1e-14)


COMPLEXES = [1 + 2j, -0.5 + 0.25j, 2j, -1.5 + 0j]


@pytest.mark.parametrize(
    ("op", "function"),
    [
        *((name, getattr(cmath, name)) for name in "exp log sqrt sin cos tan asin acos atan sinh cosh tanh".split()),
        ("neg", lambda z: -z),
        ("rsqrt", lambda z: 1 / cmath.sqrt(z)),
        ("log2", lambda z: cmath.log(z) / math.log(2)),
        ("expm1", lambda z: cmath.exp(z) - 1),
        ("log1p", lambda z: cmath.log(1 + z)),
        ("abs", abs),
        ("sign", lambda z: z / abs(z)),
        ("real", lambda z: z.real),
        ("imag", lambda z: z.imag),
        ("conj", lambda z: z.conjugate()),
        ("angle", cmath.phase),
        ("isnan", cmath.isnan),
        ("not", lambda z: z == 0),
    ],
)
def test_unary_of_complex_numbers(op: str, function: Callable[[complex], Any]) -> None:
    got = run(lambda b: getattr(b, op)(b.leaf("X")), X=COMPLEXES)
    np.testing.assert_allclose(got, [function(z) for z in COMPLEXES], rtol=1e-13)


PAIR: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y if y else nan if x == 0 or x != x else math.copysign(inf, x) * math.copysign(1, y),
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "and": lambda x, y: bool(x) and bool(y),
    "or": lambda x, y: bool(x) or bool(y),
    "maximum": lambda x, y: nan if x != x or y != y else max(x, y),
    "minimum": lambda x, y: nan if x != x or y != y else min(x, y),
    "atan2": math.atan2,
}


@pytest.mark.parametrize("op", PAIR)
def test_binary(op: str) -> None:
    xs, ys = zip(*product(REALS, REALS), strict=True)
    got = run(lambda b: getattr(b, op)(b.leaf("X"), b.leaf("Y")), X=xs, Y=ys)
    expected = [PAIR[op](x, y) for x, y in zip(xs, ys, strict=True)]
    np.testing.assert_allclose(np.asarray(got, float), np.asarray(expected, float), rtol=1e-15)


@pytest.mark.parametrize("op", ["floordiv", "mod"])
def test_division_rounds_down(op: str) -> None:
    pairs = [(7, 2), (-7, 2), (7, -2), (-7, -2), (6, 3), (0, 5)]
    xs, ys = zip(*pairs, strict=True)
    function = {"floordiv": lambda x, y: x // y, "mod": lambda x, y: x % y}[op]
    for kind in (int, float):
        X, Y = np.asarray(xs, kind), np.asarray(ys, kind)
        got = run(lambda b: getattr(b, op)(b.leaf("X"), b.leaf("Y")), X=X, Y=Y)
        assert got.tolist() == [function(x, y) for x, y in pairs]
        assert got.dtype == (np.int64 if kind is int else np.float64)


def test_powers() -> None:
    assert run(lambda b: b.pow(b.leaf("X"), 2), X=[3, -2]).tolist() == [9, 4]
    assert run(lambda b: b.pow(b.leaf("X"), 0), X=[0.0, inf, nan]).tolist() == [1, 1, 1]
    assert run(lambda b: b.pow(b.leaf("X"), -1), X=[2.0, -4.0, 0.0]).tolist() == [0.5, -0.25, inf]
    assert run(lambda b: b.pow(b.leaf("X"), -1), X=[1, -1, 2]).tolist() == [1, -1, 0]
    assert np.isnan(run(lambda b: b.pow(b.leaf("X"), 0.5), X=[-1.0])).all()


def test_logaddexp() -> None:
    x, y = np.array([0.0, -1000.0, 1000.0, -inf, -inf, inf]), np.array([1.0, -1000.0, 999.0, 2.0, -inf, inf])
    got = run(lambda b: b.logaddexp(b.leaf("X"), b.leaf("Y")), X=x, Y=y)
    expected = [math.log(1 + math.e), -1000 + math.log(2), 1000 + math.log1p(math.exp(-1)), 2, -inf, inf]
    np.testing.assert_allclose(got, expected, rtol=1e-15)
    z, w = np.array([1 + 1j]), np.array([0.5 - 2j])
    got = run(lambda b: b.logaddexp(b.leaf("X"), b.leaf("Y")), X=z, Y=w)
    np.testing.assert_allclose(got, np.log(np.exp(z) + np.exp(w)))


def test_booleans_count_in_arithmetic() -> None:
    for op, expected in {"add": [2, 1, 0], "mul": [1, 0, 0], "sub": [0, 1, 0]}.items():
        got = run(
            lambda b, op=op: getattr(b, op)(b.leaf("X"), b.leaf("Y")), X=[True, True, False], Y=[True, False, False]
        )
        assert got.tolist() == expected
        assert got.dtype == np.int64
    assert run(lambda b: b.neg(b.leaf("X")), X=[True]).tolist() == [-1]


def test_axes_meet_by_name() -> None:
    b = Builder()
    X, Y = b.input("X", "i j"), b.input("Y", "k i")
    b.let("Z", b.sub(X, Y))
    x, y = np.arange(6.0).reshape(2, 3), np.arange(8.0).reshape(4, 2)
    (z,) = evaluate(b.program("Z: k j i"), {"X": x, "Y": y})
    for i, j, k in np.ndindex(2, 3, 4):
        assert z[k, j, i] == x[i, j] - y[k, i]


# --- reductions -------------------------------------------------------------------------------------------------------

OVER: dict[str, Callable[[list], Any]] = {
    "sum": lambda xs: math.fsum(xs) if all(map(math.isfinite, xs)) else sum(xs),
    "prod": lambda xs: math.prod(xs),
    "max": lambda xs: nan if any(x != x for x in xs) else max(xs, default=-inf),
    "min": lambda xs: nan if any(x != x for x in xs) else min(xs, default=inf),
    "logsumexp": lambda xs: nan if any(x != x for x in xs) else _logsumexp(xs),
    "any": lambda xs: any(x != 0 for x in xs),
    "all": lambda xs: all(x != 0 for x in xs),
}

ROWS = [
    [1.0, 2.0, 3.0],
    [0.0, -1.5, 0.25],
    [-inf, 1.0, 2.0],
    [-inf, -inf, -inf],
    [inf, 0.5, -1.0],
    [1000.0, 1000.0, 999.0],
    [-1000.0, -1001.0, -2000.0],
    [nan, 1.0, 0.0],
]


def _logsumexp(xs: list) -> float:
    top = max(xs, default=-inf)
    return top if math.isinf(top) else top + math.log(math.fsum(math.exp(x - top) for x in xs))


@pytest.mark.parametrize("op", terms.REDUCE_NAMES)
def test_reductions(op: str) -> None:
    got = run(lambda b: getattr(b, op)("j", b.leaf("X")), X=ROWS)
    np.testing.assert_allclose(np.asarray(got, float), np.asarray([OVER[op](row) for row in ROWS], float), rtol=1e-14)


@pytest.mark.parametrize("op", terms.REDUCE_NAMES)
def test_reductions_over_several_axes(op: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    got = run(lambda b: getattr(b, op)("i k", b.leaf("X")), X=x)
    expected = [OVER[op](list(x[:, j].flat)) for j in range(4)]
    np.testing.assert_allclose(np.asarray(got, float), np.asarray(expected, float), rtol=1e-13)


@pytest.mark.parametrize(
    ("op", "neutral"),
    list(zip(terms.REDUCE_NAMES, [0, 1, -inf, inf, -inf, False, True], strict=True)),
)
def test_reductions_of_nothing(op: str, neutral: Any) -> None:
    assert run(lambda b: getattr(b, op)("j", b.leaf("X")), X=np.zeros((2, 0))).tolist() == [neutral, neutral]
    assert run(lambda b: getattr(b, op)("j", b.leaf("X")), X=np.zeros((0, 3))).tolist() == []


@pytest.mark.parametrize(
    ("op", "values", "expected"),
    [
        ("sum", [True, True, False], 2),
        ("prod", [True, True], 1),
        ("max", [False, True], True),
        ("min", [False, True], False),
        ("any", [0, 3], True),
        ("all", [0, 3], False),
        ("sum", [2, 3], 5),
        ("logsumexp", [0, 0], math.log(2)),
    ],
)
def test_reductions_of_whole_numbers(op: str, values: list, expected: Any) -> None:
    assert run(lambda b: getattr(b, op)("i", b.leaf("X")), X=values).item() == expected


def test_logsumexp_of_complex_numbers() -> None:
    z = np.array([1 + 1j, 0.5 - 2j, -3 + 0j])
    got = run(lambda b: b.logsumexp("i", b.leaf("X")), X=z)
    np.testing.assert_allclose(got, np.log(np.exp(z).sum()))


def test_a_large_sum_of_products_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("namedlayers.reference.machine._HELD", 10)
    rng = np.random.default_rng(1)
    x, w, v = rng.normal(size=(3, 4)), rng.normal(size=(4, 5)), rng.normal(size=(4,))
    b = Builder()
    X, W, V = b.input("X", "i j"), b.input("W", "j k"), b.input("V", "j")
    b.let("Y", b.sum("j", b.mul(b.mul(X, W), V)))
    b.let("Z", b.max("j", b.mul(X, W)))
    got = trace(b.program("Y: i k"), {"X": x, "W": w, "V": v}).values
    np.testing.assert_allclose(got["Y"], np.einsum("ij,jk,j->ik", x, w, v), rtol=1e-13)
    np.testing.assert_allclose(got["Z"], (x[:, :, None] * w).max(1))


# --- kinds and precision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_reals_have_the_precision_asked_for(dtype: Any) -> None:
    third = run(lambda b: b.div(b.leaf("X"), 3), dtype, X=[1])
    assert third.dtype == dtype
    assert third[0] == dtype(1) / dtype(3)
    assert run(lambda b: b.mul(b.leaf("X"), 0.1), dtype, X=[1.0]).dtype == dtype
    assert run(lambda b: b.exp(b.coord("i", 3)), dtype).dtype == dtype


def test_complex_numbers_have_the_precision_asked_for() -> None:
    assert run(lambda b: b.mul(b.leaf("X"), 2), np.float32, X=[1j]).dtype == np.complex64
    assert run(lambda b: b.mul(b.leaf("X"), 1j), np.complex128, X=[1.0]).dtype == np.complex128


def test_kinds_agree_with_the_program() -> None:
    values = {BOOL: [True, False], INT: [2, 3], REAL: [0.5, 2.0]}
    letters = {Kind.BOOL: "b", Kind.INT: "i", Kind.REAL: "f", Kind.COMPLEX: "c"}
    for (x, xs), (y, ys), op in product(values.items(), values.items(), terms.BINARY_NAMES):
        if op in ("floordiv", "mod") and y is BOOL:
            continue  # False divides nothing
        b = Builder()
        b.let("Z", getattr(b, op)(b.input("X", "i", x), b.input("Y", "i", y)))
        program = b.program("Z")
        (z,) = evaluate(program, {"X": xs, "Y": ys})
        assert z.dtype.kind == letters[program.statements[0].kind], (op, x, y)


def test_no_operation_is_left_out() -> None:
    assert UNARY.keys() == set(terms.UNARY_NAMES) == ELEMENT.keys()
    assert BINARY.keys() == set(terms.BINARY_NAMES)
    assert REDUCE.keys() == set(terms.REDUCE_NAMES) == OVER.keys()


@pytest.mark.parametrize("op", ["floor", "erf", "lgamma"])
def test_some_operations_have_no_complex_meaning(op: str) -> None:
    with pytest.raises(ArgumentError, match="NL0584.*complex") as caught:
        run(lambda b: getattr(b, op)(b.leaf("X")), X=[1j])
    assert caught.value.spans[0].text == "Y = …"


@pytest.mark.parametrize("op", ["floordiv", "mod"])
def test_no_integer_is_divided_by_0(op: str) -> None:
    with pytest.raises(ArgumentError, match="NL0585"):
        run(lambda b: getattr(b, op)(b.leaf("X"), 0), X=[1, 2])


# --- traces -----------------------------------------------------------------------------------------------------------


def test_a_trace_tells_which_statements_stay_finite() -> None:
    b = Builder()
    X = b.input("X", "i")
    b.let("fine", b.mul(X, 2.0))
    b.let("hidden", b.exp(b.neg(b.exp(b.mul(X, 1000.0)))))
    b.let("after", b.add(b.leaf("hidden"), 1.0))
    found = trace(b.program("after"), {"X": np.array([1.0, 2.0])})
    assert found.finite == {"fine": True, "hidden": False, "after": True}
    assert found.values["hidden"].tolist() == [0, 0]
    assert found.sizes == {"i": 2}


def test_a_statement_keeps_its_own_order_of_axes() -> None:
    b = Builder()
    X = b.input("X", "i j")
    b.let("T", b.exp(X), "j i")
    b.let("S", b.add(b.leaf("T", j="a", i="b"), 0.0), "a b")
    x = np.arange(6.0).reshape(2, 3)
    found = trace(b.program("S: a b"), {"X": x})
    np.testing.assert_array_equal(found.values["T"], np.exp(x).T)
    np.testing.assert_array_equal(found.outputs[0], np.exp(x).T)
