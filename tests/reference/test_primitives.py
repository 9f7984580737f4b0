"""Every primitive of the reference against loops, or against numpy used otherwise."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
import pytest

from namedlayers.errors import ArgumentError, FormulaError, SizeError
from namedlayers.program.primitives import PRIMITIVES
from namedlayers.program.size import symbol
from namedlayers.reference import evaluate
from namedlayers.reference.bodies import RUNS
from namedlayers.reference.machine import PRIMITIVE_RULES
from tests.programs import BOOL, COMPLEX, INT, REAL, Builder

i, j, k, n = map(symbol, "ijkn")
RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 3, 2))
KINDS = {"b": BOOL, "i": INT, "f": REAL, "c": COMPLEX}


def run(op: str, operands: dict[str, tuple[str, Any]], axes: str, /, *more: Any, dtype: Any = np.float64,
        **rest: Any) -> np.ndarray:  # fmt: skip
    """A primitive on inputs given as `name: (axes, array)`, then further operands that are numbers."""
    b = Builder()
    arrays = {}
    sizes = rest.pop("given", {})
    for name, (names, array) in operands.items():
        arrays[name] = np.asarray(array)
        b.input(name, names, KINDS[arrays[name].dtype.kind], **{a: sizes[a] for a in names.split() if a in sizes})
    b.let("Y", b.primitive(op, (*(b.ref(name) for name in operands), *more), axes, **rest))
    return evaluate(b.program("Y"), arrays, dtype)[0]


def test_every_primitive_is_there() -> None:
    assert PRIMITIVE_RULES.keys() | RUNS.keys() | {"part"} == PRIMITIVES.keys()


# --- elementwise and broadcast ----------------------------------------------------------------------------------------


def test_where() -> None:
    c = np.array([[True, False], [False, True], [True, True], [False, False]])
    y = run("where", {"C": ("i k", c), "A": ("i j k", A)}, "i j k", 7)
    assert all(y[t] == (A[t] if c[t[0], t[2]] else 7) for t in np.ndindex(A.shape))
    assert run("where", {"C": ("i", [2, 0])}, "i", 1, True).tolist() == [1, 1]


def test_where_hides_what_it_does_not_choose() -> None:
    assert run("where", {"C": ("i", [True, False]), "X": ("i", [1.0, math.nan])}, "i", -math.inf).tolist() == [
        1,
        -math.inf,
    ]


def test_expand() -> None:
    y = run("expand", {"X": ("i", [1.0, 2.0])}, "n i", sizes={"n": 3}, axes=(("n", 3),))
    assert y.tolist() == [[1, 2]] * 3
    assert run("expand", {}, "n", 5, sizes={"n": 2}, axes=(("n", 2),)).tolist() == [5, 5]


# --- indexing ---------------------------------------------------------------------------------------------------------


def test_index_selects_and_slices() -> None:
    assert np.array_equal(run("index", {"A": ("i j k", A)}, "j k", entries=(("i", (), 2),)), A[2])
    assert np.array_equal(run("index", {"A": ("i j k", A)}, "j k", entries=(("i", (), i - 1),)), A[-1])
    y = run("index", {"A": ("i j k", A)}, "i j k", sizes={"i": 2}, entries=(("i", (("i", 2),), 1),))
    assert np.array_equal(y, A[1::2])
    y = run("index", {"A": ("i j k", A)}, "i j k", entries=(("i", (("i", -1),), i - 1),))
    assert np.array_equal(y, A[::-1])


def test_index_makes_windows() -> None:
    x = np.arange(10.0)
    y = run("index", {"X": ("i", x)}, "s w", sizes={"s": 4, "w": 3}, entries=(("i", (("s", 2), ("w", 1)), 1),))
    assert all(y[s, w] == 2 * s + w + 1 for s, w in np.ndindex(4, 3))


def test_index_takes_a_diagonal() -> None:
    x = np.arange(9.0).reshape(3, 3)
    y = run("index", {"X": ("i j", x)}, "i", given={"j": i}, entries=(("j", (("i", 1),), 0),))
    assert y.tolist() == [0, 4, 8]


def test_index_takes_two_axes_at_once() -> None:
    x = np.arange(20.0).reshape(4, 5)
    entries = (("i", (("p", 1), ("q", 1)), 0), ("j", (("q", 2),), 0))
    y = run("index", {"X": ("i j", x)}, "p q", sizes={"p": 2, "q": 3}, entries=entries)
    assert all(y[p, q] == x[p + q, 2 * q] for p, q in np.ndindex(2, 3))


def test_gather() -> None:
    at = np.array([2, 0, 2, 1, 1])
    y = run("gather", {"A": ("i j k", A), "I": ("n", at)}, "i n k", axes=("j",), fill=False)
    assert all(y[p, q, r] == A[p, at[q], r] for p, q, r in np.ndindex(4, 5, 2))


def test_gather_aligns_and_takes_several() -> None:
    p, q = np.array([[0, 1, 2, 0], [1, 1, 1, 1]]), np.array([1, 0])
    y = run("gather", {"A": ("i j k", A), "P": ("n i", p), "Q": ("n", q)}, "n i", axes=("j", "k"), fill=False)
    assert all(y[s, t] == A[t, p[s, t], q[s]] for s, t in np.ndindex(2, 4))


def test_gather_along_its_own_axis() -> None:
    order = np.array([[1, 0, 2, 3, 0], [3, 3, 3, 3, 3]])
    x = RNG.normal(size=(4, 2))
    y = run("gather", {"X": ("i j", x), "I": ("j q", order)}, "q j", axes=("i",), fill=False)
    assert all(y[q, b] == x[order[b, q], b] for q, b in np.ndindex(5, 2))


def test_gather_with_fill() -> None:
    at = np.array([-1, 0, 2, 3])
    y = run("gather", {"A": ("i j k", A), "I": ("n", at)}, "i n k", -9, axes=("j",), fill=True)
    assert (y[:, [0, 3]] == -9).all()
    assert np.array_equal(y[:, 1:3], A[:, [0, 2]])
    empty = run("gather", {"X": ("i", np.zeros(0)), "I": ("n", [0, 1])}, "n", 5.0, axes=("i",), fill=True)
    assert empty.tolist() == [5, 5]


@pytest.mark.parametrize("wrong", [-1, 3, 99])
def test_gather_checks_its_indices(wrong: int) -> None:
    with pytest.raises(ArgumentError, match=f"NL0582: index {wrong} is out of range: axis `j` has size 3"):
        run("gather", {"A": ("i j k", A), "I": ("n", [0, wrong])}, "i n k", axes=("j",), fill=False)


# --- reshaping and joining --------------------------------------------------------------------------------------------


def test_merge_and_split() -> None:
    y = run("merge", {"A": ("i j k", A)}, "j m", sizes={"m": i * k}, axes=("k", "i"), into="m")
    assert all(y[q, r * 4 + p] == A[p, q, r] for p, q, r in np.ndindex(A.shape))
    z = run("split", {"A": ("i j k", A)}, "q j k p", sizes={"p": 2, "q": 2}, axis="i", into=(("p", 2), ("q", 2)))
    assert all(z[q, s, r, p] == A[2 * p + q, s, r] for p, q, s, r in np.ndindex(2, 2, 3, 2))


def test_merge_into_an_axis_that_it_merges() -> None:
    y = run("merge", {"X": ("i c", [[1.0, 2.0], [3.0, 4.0]])}, "i", sizes={"i": 4}, axes=("i", "c"), into="i")
    assert y.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("constant", [9, 9, 1, 2, 3, 9]),
        ("circular", [2, 3, 1, 2, 3, 1]),
        ("reflect", [3, 2, 1, 2, 3, 2]),
        ("replicate", [1, 1, 1, 2, 3, 3]),
    ],
)
def test_pad(mode: str, expected: list) -> None:
    y = run("pad", {"X": ("i", [1.0, 2.0, 3.0])}, "i", 9, sizes={"i": i + 3}, axis="i", before=2, after=1, mode=mode)
    assert y.tolist() == expected


def test_pad_of_edges() -> None:
    pad = {"axis": "i", "before": 1, "after": 1}
    assert run("pad", {"X": ("i", np.zeros(0))}, "i", 4.0, sizes={"i": 2}, mode="constant", **pad).tolist() == [4, 4]
    assert run("pad", {"X": ("i", [7.0])}, "i", 0, sizes={"i": 3}, mode="reflect", **pad).tolist() == [7, 7, 7]
    assert run("pad", {"X": ("i", [7])}, "i", -math.inf, sizes={"i": 3}, mode="constant", **pad).tolist() == [
        -math.inf, 7, -math.inf,
    ]  # fmt: skip
    with pytest.raises(SizeError, match="NL0486"):
        run("pad", {"X": ("i", np.zeros(0))}, "i", 0, sizes={"i": 2}, mode="replicate", **pad)


@pytest.mark.parametrize(
    ("stride", "dilation", "padding", "size"), [(1, 1, 0, 6), (2, 1, 1, 7), (3, 2, 2, 9), (1, 1, 2, 1)]
)
def test_fold(stride: int, dilation: int, padding: int, size: int) -> None:
    x = RNG.normal(size=(4, 3, 2))
    y = run("fold", {"X": ("i j k", x)}, "i k", sizes={"i": size}, axis="i", kernel="j", stride=stride,
            dilation=dilation, padding=padding, size=size)  # fmt: skip
    expected = np.zeros((size, 2))
    for s, w, r in np.ndindex(4, 3, 2):
        t = stride * s + dilation * w - padding
        if t in range(size):
            expected[t, r] += x[s, w, r]
    np.testing.assert_allclose(y, expected)


def test_concat_and_stack() -> None:
    operands = {"X": ("i j", np.ones((2, 3))), "Y": ("i", [5, 6, 7])}
    b = Builder()
    b.input("X", "i j")
    b.input("Y", "i", INT, i=n)
    b.let("Z", b.primitive("concat", (b.ref("X"), b.ref("Y")), "j i", sizes={"i": i + n}, axis="i"))
    b.let("W", b.primitive("stack", (b.ref("X"), 4), "s j i", sizes={"s": 2}, axis="s"))
    arrays = {name: array for name, (_, array) in operands.items()}
    z, w = evaluate(b.program("Z", "W"), arrays)
    assert z.tolist() == [[1, 1, 5, 6, 7]] * 3
    assert z.dtype == np.float64
    assert np.array_equal(w, np.stack([np.ones((3, 2)), np.full((3, 2), 4.0)]))


# --- along an axis ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("sum", [1, 3, 3.5, 2.5]),
        ("prod", [1, 2, 1, -1]),
        ("max", [1, 2, 2, 2]),
        ("min", [1, 1, 0.5, -1]),
        ("logsumexp", [math.log(sum(map(math.exp, [1, 2, 0.5, -1][: m + 1]))) for m in range(4)]),
    ],
)
def test_cumulative(op: str, expected: list) -> None:
    x = np.stack([[1, 2, 0.5, -1], [0, 0, 0, 0]])
    y = run("cumulative", {"X": ("i j", x)}, "i j", axis="j", op=op)
    np.testing.assert_allclose(y[0], expected, rtol=1e-15)
    z = run("cumulative", {"X": ("j i", x.T)}, "i j", axis="j", op=op)
    np.testing.assert_array_equal(y, z)


def test_cumulative_of_infinities_and_booleans() -> None:
    y = run("cumulative", {"X": ("i", [-math.inf, -math.inf, 0.0, math.inf])}, "i", axis="i", op="logsumexp")
    assert y.tolist() == [-math.inf, -math.inf, 0, math.inf]
    assert run("cumulative", {"X": ("i", [True, False, True])}, "i", axis="i", op="sum").tolist() == [1, 1, 2]
    z = np.array([1j, 2.0, -1 + 1j])
    y = run("cumulative", {"X": ("i", z)}, "i", axis="i", op="logsumexp")
    np.testing.assert_allclose(y, np.log(np.cumsum(np.exp(z))))
    assert run("cumulative", {"X": ("i", np.zeros(0))}, "i", axis="i", op="max").shape == (0,)


def test_argreduce_takes_the_first() -> None:
    x = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [5.0, math.nan, 9.0]]
    assert run("argreduce", {"X": ("i j", x)}, "i", axis="j", op="max").tolist() == [1, 0, 1]
    assert run("argreduce", {"X": ("i j", x)}, "i", axis="j", op="min").tolist() == [0, 0, 1]
    assert run("argreduce", {"X": ("i j", np.zeros((0, 0)))}, "i", axis="j", op="min").shape == (0,)
    with pytest.raises(SizeError, match="NL0486"):
        run("argreduce", {"X": ("i j", np.zeros((2, 0)))}, "i", axis="j", op="min")


@pytest.mark.parametrize("descending", [False, True])
def test_sorting_is_stable(descending: bool) -> None:
    x = np.array([2.0, 1.0, math.nan, 2.0, -math.inf, 1.0, 2.0, math.inf])
    keys = [(math.isnan(v), v if not math.isnan(v) else 0) for v in x]
    order = sorted(range(len(x)), key=lambda m: keys[m], reverse=descending)  # reverse keeps ties in order, too
    got = run("argsort", {"X": ("i", x)}, "i", axis="i", descending=descending)
    assert got.tolist() == order
    np.testing.assert_array_equal(run("sort", {"X": ("i", x)}, "i", axis="i", descending=descending), x[order])


def test_sorting_along_one_axis_of_several() -> None:
    y = run("sort", {"A": ("i j k", A)}, "k i j", axis="j", descending=False)
    np.testing.assert_array_equal(y, np.sort(A, axis=1).transpose(2, 0, 1))


@pytest.mark.parametrize("inverse", [False, True])
def test_fft(inverse: bool) -> None:
    x = RNG.normal(size=(5, 2)) + 1j * RNG.normal(size=(5, 2))
    y = run("fft", {"X": ("i j", x)}, "f j", sizes={"f": i}, axis="i", into="f", inverse=inverse)
    sign, scale = (1, 1 / 5) if inverse else (-1, 1)
    for f in range(5):
        terms = [x[t] * cmath.exp(sign * 2j * math.pi * f * t / 5) for t in range(5)]
        np.testing.assert_allclose(y[f], sum(terms) * scale, rtol=1e-12)
    assert (
        run("fft", {"X": ("i", [1.0, 2.0])}, "f", sizes={"f": i}, axis="i", into="f", inverse=False).dtype.kind == "c"
    )


# --- linear algebra ---------------------------------------------------------------------------------------------------

M = RNG.normal(size=(2, 3, 3)) + 3 * np.eye(3)
H = M @ M.transpose(0, 2, 1)
SQUARE = {"given": {"j": i, "k": i}}


def test_inverse_is_at_its_rows_and_columns() -> None:
    y = run("inv", {"M": ("n i j", M)}, "n i j", row="i", column="j", sizes={"j": i}, **SQUARE)
    np.testing.assert_allclose(M @ y, np.stack([np.eye(3)] * 2), atol=1e-12)
    z = run("inv", {"M": ("n i j", M)}, "n i j", row="j", column="i", sizes={"j": i}, **SQUARE)
    np.testing.assert_allclose(y, z, atol=1e-12)


def test_solve() -> None:
    right = RNG.normal(size=(3, 5))
    operands = {"M": ("n i j", M), "B": ("i k", right)}
    x = run("solve", operands, "n j k", row="i", column="j", sizes={"j": i}, given={"j": i})
    np.testing.assert_allclose(np.einsum("nij,njk->nik", M, x), np.stack([right] * 2), atol=1e-12)


def test_solve_aligns_what_both_sides_have() -> None:
    right = RNG.normal(size=(2, 3))
    operands = {"M": ("n i j", M), "B": ("n i", right)}
    x = run("solve", operands, "n j", row="i", column="j", sizes={"j": i}, given={"j": i})
    np.testing.assert_allclose(np.einsum("nij,nj->ni", M, x), right, atol=1e-12)


def test_cholesky() -> None:
    y = run("cholesky", {"H": ("n i j", H)}, "n i j", row="i", column="j", sizes={"j": i}, **SQUARE)
    np.testing.assert_allclose(y @ y.transpose(0, 2, 1), H, atol=1e-12)
    assert np.array_equal(y, np.tril(y))


def test_eigenvalues_and_eigenvectors() -> None:
    options = {"row": "i", "column": "j", "into": "e"}
    w = run("eigenvalues", {"H": ("n i j", H)}, "n e", sizes={"e": i}, **options, **SQUARE)
    v = run("eigenvectors", {"H": ("n i j", H)}, "n i e", sizes={"e": i}, **options, **SQUARE)
    np.testing.assert_allclose(H @ v, v * w[:, None, :], atol=1e-10)
    np.testing.assert_allclose((v**2).sum(1), np.ones((2, 3)))
    assert (np.diff(w) >= 0).all()


def test_determinant() -> None:
    y = run("det", {"M": ("n i j", M)}, "n", row="i", column="j", **SQUARE)
    for m, value in zip(M, y, strict=True):
        expected = sum(
            m[0, a] * (m[1, b] * m[2, c] - m[1, c] * m[2, b]) for a, b, c in [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
        )
        assert value == pytest.approx(expected)


def test_linear_algebra_that_fails_says_so() -> None:
    for op in ("inv", "cholesky"):
        with pytest.raises(FormulaError, match="NL0586"):
            run(op, {"Z": ("i j", -np.zeros((2, 2)))}, "i j", row="i", column="j", sizes={"j": i}, **SQUARE)


def test_linear_algebra_keeps_the_precision() -> None:
    assert run("inv", {"M": ("n i j", M)}, "n i j", row="i", column="j", sizes={"j": i}, dtype=np.float32,
               **SQUARE).dtype == np.float32  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finfo(dtype: Any) -> None:
    y = run("finfo", {"X": ("i", [1.0])}, "", dtype=dtype, which="eps")
    assert dtype(1) + y > 1
    assert dtype(1) + y / dtype(2) == 1
