"""What several numbers read is what stands there: none that is out of its range, however large, reads another place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.kernels.placing import place
from tests.helpers import check_calls

R = np.random.default_rng(6)
SIZES = (3, 5)
LEAST, MOST = -(2**63), 2**63 - 1
OUTSIDE = (-1, LEAST, MOST, 2**62, -(2**62), 2**32, 2**61 + 1)
DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _by_definition(rows: list[int], columns: list[int], sizes: tuple[int, int] = SIZES) -> list[int]:
    n, m = sizes
    return [p * m + q if 0 <= p < n and 0 <= q < m else -1 for p, q in zip(rows, columns, strict=True)]


def test_numbers_within_their_ranges() -> None:
    rows, columns = zip(*itertools.product(range(3), range(5)), strict=True)
    assert place([torch.tensor(rows), torch.tensor(columns)], SIZES).tolist() == list(range(15))


@pytest.mark.parametrize("outside", OUTSIDE)
def test_a_number_out_of_its_range(outside: int) -> None:
    rows, columns = [0, outside, 2, outside, 1], [outside, 0, 4, outside, 1]
    for one, other in ((rows, columns), (columns, rows)):
        found = place([torch.tensor(one), torch.tensor(other)], SIZES)
        assert found.tolist() == _by_definition(one, other)


@pytest.mark.parametrize("pair", [(0, 5), (0, -1), (3, 0), (2, 5), (1, -5), (-1, 5), (-1, 10), (2**62, 2**62)], ids=str)
def test_numbers_that_together_would_be_within(pair: tuple[int, int]) -> None:
    """Row 0, column 5 is no column, though row 1 begins there."""
    (row, column) = pair
    assert place([torch.tensor([row]), torch.tensor([column])], SIZES).tolist() == [-1]


@pytest.mark.parametrize("factor", [2**31, 2**32, 2**62, 2**63 // 3])
def test_products_that_wrap_round(factor: int) -> None:
    rows = [(k * factor) % 2**64 - 2**63 for k in range(-4, 5)]
    columns = [k % 7 - 1 for k in range(9)]
    for sizes in ((3, 5), (4, 4), (1, 8)):
        found = place([torch.tensor(rows), torch.tensor(columns)], sizes)
        assert found.tolist() == _by_definition(rows, columns, sizes)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sizes", [(3, 5), (200, 300), (70000, 3)], ids=str)
def test_every_width(dtype: torch.dtype, sizes: tuple[int, int]) -> None:
    limits = torch.iinfo(dtype)
    some = [k for k in (0, 1, 2, 4, 127, 199, 255, -1, limits.min, limits.max) if limits.min <= k <= limits.max]
    rows, columns = (list(one) for one in zip(*itertools.product(some, some), strict=True))
    within = [(p, q) for p, q in zip(rows, columns, strict=True) if 0 <= p < sizes[0] and 0 <= q < sizes[1]]
    for pairs in (list(zip(rows, columns, strict=True)), within):
        one, other = (list(k) for k in zip(*pairs, strict=True))
        found = place([torch.tensor(one, dtype=dtype), torch.tensor(other)], sizes)
        assert found.dtype is torch.int64
        assert found.tolist() == _by_definition(one, other, sizes)


def test_of_three_and_of_one() -> None:
    a, b, c = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 3]), torch.tensor([1, 1, 0])
    assert place([a, b, c], (2, 3, 2)).tolist() == [5, 7, -1]
    assert place([b], (3,)).tolist() == [2, 0, -1]


def test_nothing_is_read_by_no_numbers() -> None:
    none, some = torch.zeros(0, dtype=torch.int64), torch.tensor([[7], [1]])
    assert place([none, some], SIZES).shape == (2, 0)
    assert place([none, none], (0, 0)).shape == (0,)
    assert place([torch.tensor([0]), torch.tensor([0])], (0, 5)).tolist() == [-1]


def test_traced_and_lifted() -> None:
    rows, columns = torch.tensor([0, 2, 3, -1, 2**62]), torch.tensor([4, 0, 1, 2, 3])
    wanted = _by_definition(rows.tolist(), columns.tolist())
    torch._dynamo.reset()
    compiled = torch.compile(lambda p, q: place([p, q], SIZES), backend="aot_eager", fullgraph=True, dynamic=True)
    assert compiled(rows, columns).tolist() == wanted
    assert torch.func.vmap(lambda p: place([p, columns[1:2]], SIZES))(rows)[:, 0].tolist() == [0, 10, -1, -1, -1]


# --- formulas ---------------------------------------------------------------------------------------------------------

TABLE, ROWS = R.normal(size=(3, 5)), R.normal(size=(3, 5, 2))
BATCH = R.normal(size=(2, 3, 5))
P, Q = R.integers(0, 3, size=(2, 4)), R.integers(0, 5, size=(2, 4))
OUT_P, OUT_Q = R.integers(-1, 5, size=(2, 4)), R.integers(-2, 7, size=(2, 4))
FAR = np.array([[0, 2**62, -(2**63), 2**63 - 1], [1, 2, 2**61, -1]])

READS = {
    "numbers": ("X[i, j], p[a, b], q[a, b]", "[a, b]", {"X": TABLE}),
    "rows": ("X[i, j, d], p[a, b], q[a, b]", "[a, b, d]", {"X": ROWS}),
    "rows, the other way round": ("X[j, i, d], p[a, b], q[a, b]", "[d, b, a]", {"X": ROWS.swapaxes(0, 1)}),
    "columns": ("X[d, i, j], p[a, b], q[a, b]", "[a, d, b]", {"X": np.moveaxis(ROWS, 2, 0)}),
    "every with every": ("X[i, j], p[a, b], q[c, b]", "[a, c, b]", {"X": TABLE}),
    "of each": ("X[a, i, j], p[a, b], q[a, b]", "[a, b]", {"X": BATCH}),
    "of each, with what is kept": ("X[a, d, i, j], p[a, b], q[a, b]", "[a, b, d]", {"X": np.stack([BATCH, -BATCH], 1)}),
    "a row for all": ("X[i, j], p[a, b], q[]", "[a, b]", {"X": TABLE}),
    "an empty table": ("X[i, j], p[a, b], q[a, b]", "[a, b]", {"X": TABLE[:0]}),
    "of one element": ("X[i, j], p[a, b], q[a, b]", "[a, b]", {"X": TABLE[:1, :1]}),
    "whole numbers": ("X[i, j], p[a, b], q[a, b]", "[a, b]", {"X": np.arange(15).reshape(3, 5)}),
}  # fmt: skip
FILLS = {"": (P, Q), "; fill = 0": (OUT_P, OUT_Q), "; fill = -2": (FAR, Q), "; fill = inf": (P, FAR)}


NOTHING_IT_COULD_BE = {("an empty table", ""), ("whole numbers", "; fill = inf")}


@pytest.mark.parametrize(
    ("name", "fill"), [pair for pair in itertools.product(READS, FILLS) if pair not in NOTHING_IT_COULD_BE]
)
def test_what_is_read(name: str, fill: str) -> None:
    inputs, result, arrays = READS[name]
    p, q = FILLS[fill]
    if not fill and name == "of one element":
        p, q = p * 0, q * 0
    q = q[1, 2] if "q[]" in inputs else q
    check_calls("place", f"def f({inputs}) -> {result} = X[i = p, j = q{fill}]", {**arrays, "p": p, "q": q}, None)


@pytest.mark.parametrize("name", READS)
def test_a_number_of_the_call_where_nothing_is(name: str) -> None:
    inputs, result, arrays = READS[name]
    q = FAR[0, 1] if "q[]" in inputs else FAR
    given = {**arrays, "p": OUT_P, "q": q, "v": np.array(1.5)}
    check_calls("place", f"def f({inputs}, v[]) -> {result} = X[i = p, j = q; fill = v]", given, None)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_a_narrow_number_of_one_axis(dtype: type) -> None:
    """300 is no number of 8 bits, and is compared with."""
    given = {"X": R.normal(size=(300, 2)), "p": np.array([0, 100, 44, 127]).astype(dtype), "v": np.array(1.5)}
    check_calls("place", "def f(X[i, d], p[a], v[]) = X[i = p; fill = v]", given, None)


@pytest.mark.parametrize("name", [name for name in READS if name not in ("an empty table", "whole numbers")])
@pytest.mark.parametrize("fill", ["; fill = 0", "; fill = v"])
def test_slopes(name: str, fill: str) -> None:
    inputs, result, arrays = READS[name]
    more = ", v[]" if "v" in fill else ""
    f = nl.compile(f"def f({inputs}{more}) -> {result} = sin(X[i = p, j = q{fill}])")
    x, v = torch.tensor(arrays["X"], requires_grad=True), torch.tensor(1.5, dtype=torch.float64)
    q = torch.tensor(OUT_Q[1, 2]) if "q[]" in inputs else torch.tensor(OUT_Q)
    given = {"p": torch.tensor(OUT_P), "q": q, **({"v": v} if more else {})}
    assert torch.autograd.gradcheck(lambda x: f(X=x, **given), x)
    assert torch.autograd.gradgradcheck(lambda x: f(X=x, **given), x, fast_mode=True)


@pytest.mark.parametrize("wrong", [-1, 3, 2**62, LEAST, MOST])
@pytest.mark.parametrize("name", ["numbers", "rows", "columns", "of each"])
def test_what_is_out_of_range_is_refused(name: str, wrong: int) -> None:
    inputs, result, arrays = READS[name]
    f = nl.compile(f"def f({inputs}) -> {result} = X[i = p, j = q]")
    p = torch.tensor(P)
    p[1, 2] = wrong
    with pytest.raises((nl.FormulaError, IndexError, RuntimeError)):
        f(X=torch.tensor(arrays["X"]), p=p, q=torch.tensor(Q))
    with pytest.raises((nl.FormulaError, IndexError, RuntimeError)):
        f(X=torch.tensor(arrays["X"]), p=torch.tensor(P), q=torch.where(p == wrong, 5 if wrong == 3 else wrong, 0))


def test_a_table_that_lies_otherwise() -> None:
    f = nl.compile("def f(X[i, j, d], p[a], q[a]) -> [a, d] = X[i = p, j = q]")
    x = torch.tensor(ROWS)
    for one in (x.transpose(0, 2).contiguous().transpose(0, 2), x[..., :1].expand(3, 5, 4)):
        torch.testing.assert_close(f(one, torch.tensor(P[0]), torch.tensor(Q[0])), one[P[0], Q[0]])
