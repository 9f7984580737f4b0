"""Which of several orders runs: told by arithmetic once for each sizes, and by what torch sees where it traces."""

from __future__ import annotations

import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit import choices
from namedlayers.emit.choices import remembered

FORM = """
def form(X[b, i], Y[b, j], Z[b, k], A[i, p], B[j, q], C[k, r], G[p, q, r]) -> [b]:
    return sum[i, j, k, p, q, r](X * Y * Z * A * B * C * G)
"""
SIZES = (
    (30, 5, 30, 5, 1, 3, 8), (5, 5, 30, 30, 3, 5, 3), (8, 2, 3, 1, 16, 1, 30), (30, 8, 3, 1, 30, 8, 1),
    (0, 3, 2, 1, 2, 2, 2), (1, 1, 1, 1, 1, 1, 1),
)  # fmt: skip


def operands(b: int, i: int, j: int, k: int, p: int, q: int, r: int) -> list[Tensor]:
    shapes = ((b, i), (b, j), (b, k), (i, p), (j, q), (k, r), (p, q, r))
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


def by_hand(x: Tensor, y: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, g: Tensor) -> Tensor:
    return torch.einsum("np,nq,nr,pqr->n", x @ a, y @ b, z @ c, g)


def test_each_order_runs_where_it_is_the_cheapest() -> None:
    form = nl.compile(FORM)
    chosen = set()
    for sizes in SIZES:
        given = operands(*sizes)
        made = form.specialize(*given)
        chosen.add(made.compiled.select(*given))
        for _ in range(2):
            torch.testing.assert_close(form(*given), by_hand(*given))
    assert len(chosen) > 1
    assert made.code.count("@remembered") == 1 and made.code.count("cost = ") == 1


def test_what_is_traced_sees_the_arithmetic() -> None:
    form = nl.compile(FORM)
    compiled = torch.compile(form, fullgraph=True, backend="eager", dynamic=True)
    for sizes in SIZES[:2]:
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
