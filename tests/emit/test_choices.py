"""Which of several orders runs: told by arithmetic once for each sizes, and by what torch sees where it traces."""

from __future__ import annotations

import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit import choices
from namedlayers.emit.choices import remembered

FORM = """
def form(X[query, l], Y[seq, m], Z[seq, n], Wq[key, l], Wk[key, m], Wv[val, n]) -> [query, val]:
    return sum[l, m, n, key, seq](X * Y * Z * Wq * Wk * Wv)
"""


def operands(query: int, seq: int, features: int, key: int) -> list[Tensor]:
    shapes = ((query, features), (seq, features), (seq, features), (key, features), (key, features), (key, features))
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


def by_hand(x: Tensor, y: Tensor, z: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
    return x @ wq.T @ wk @ y.T @ z @ wv.T


def test_each_order_runs_where_it_is_the_cheapest() -> None:
    form = nl.compile(FORM)
    chosen = set()
    for sizes in ((2, 50, 40, 30), (50, 2, 40, 30), (50, 60, 3, 40), (50, 60, 40, 3), (0, 3, 2, 1), (1, 1, 1, 1)):
        given = operands(*sizes)
        made = form.specialize(*given)
        chosen.add(made.compiled.select(*given))
        for _ in range(2):
            torch.testing.assert_close(form(*given), by_hand(*given))
    assert chosen == set(range(len(made.compiled.variants)))
    assert made.code.count("@remembered") == 1 and made.code.count("cost = ") == 1


def test_what_is_traced_sees_the_arithmetic() -> None:
    form = nl.compile(FORM)
    compiled = torch.compile(form, fullgraph=True, backend="eager", dynamic=True)
    for sizes in ((2, 50, 40, 30), (50, 60, 3, 40)):
        given = operands(*sizes)
        torch.testing.assert_close(compiled(*given), by_hand(*given))


def test_answers_are_forgotten_when_there_are_many() -> None:
    asked = []

    @remembered
    def parity(size: int) -> int:
        asked.append(size)
        return size % 2

    for _ in range(2):
        assert [parity(size) for size in range(choices.MOST)] == [size % 2 for size in range(choices.MOST)]
    assert len(asked) == choices.MOST
    assert parity(choices.MOST) == choices.MOST % 2 and parity(0) == 0
    assert asked[choices.MOST :] == [choices.MOST, 0]


def test_only_numbers_are_kept() -> None:
    seen = []

    @remembered
    def first(size: object) -> int:
        seen.append(size)
        return 0

    symbol = torch.tensor(3)
    assert first(symbol) == first(symbol) == 0
    assert len(seen) == 2
