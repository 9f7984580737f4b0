"""Rows of a table by number: by whichever way, what is no row is 0, in values and in slopes of any order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from namedlayers.emit.kernels.rows import rows

INDICES = {
    "rows": [[0, 2, 1], [2, 2, 0]],
    "some are none": [[0, -1, 4], [-100, 2, 2**40]],
    "none": [[7, -7]],
    "no numbers": [],
}
Rows = Callable[[Tensor], Tensor]


def plain(table: Tensor, index: Tensor) -> Tensor:
    """By definition."""
    return (index.unsqueeze(-1) == torch.arange(len(table))).to(table.dtype) @ table


def compiled(backend: str) -> Callable[[Rows], Rows]:
    def way(function: Rows) -> Rows:
        torch._dynamo.reset()
        return torch.compile(function, backend=backend, fullgraph=True)

    return way


WAYS: dict[str, Callable[[Rows], Rows]] = {
    "as it is": lambda function: function,
    "compiled": compiled("aot_eager"),
    "by the inductor": compiled("inductor"),
    "vmap": lambda function: lambda table: torch.func.vmap(function)(table[None])[0],
    "compiled, vmap": lambda function: compiled("aot_eager")(lambda table: torch.func.vmap(function)(table[None])[0]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", INDICES)
def test_values_and_slopes(name: str, way: str) -> None:
    index = torch.tensor(INDICES[name], dtype=torch.int64)
    here, there = (torch.randn(3, 2, generator=torch.Generator().manual_seed(0)).requires_grad_() for _ in range(2))
    found, wanted = WAYS[way](lambda table: rows(table, index))(here), plain(there, index)
    torch.testing.assert_close(found, wanted)
    slopes = (torch.autograd.grad(one.sin().sum(), table)[0] for one, table in ((found, here), (wanted, there)))
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("way", ["as it is", "compiled"])
def test_second_slopes(way: str) -> None:
    index, table = torch.tensor(INDICES["some are none"]), torch.randn(3, 2, dtype=torch.float64)

    def second(pick: Callable[[Tensor, Tensor], Tensor]) -> Rows:
        slope = torch.func.grad(lambda table: pick(table, index).sin().sum())
        return torch.func.grad(lambda table: (slope(table) ** 2).sum())

    torch.testing.assert_close(WAYS[way](second(rows))(table), second(plain)(table))


@pytest.mark.parametrize("way", ["as it is", "compiled", "by the inductor", "vmap"])
@pytest.mark.parametrize("name", INDICES)
def test_a_table_without_rows(name: str, way: str) -> None:
    index = torch.tensor(INDICES[name], dtype=torch.int64)
    table = torch.zeros(0, 2, requires_grad=True)
    found = WAYS[way](lambda table: rows(table, index))(table)
    torch.testing.assert_close(found, torch.zeros(*index.shape, 2))
    assert torch.autograd.grad(found.sum(), table)[0].shape == (0, 2)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_any_integers(dtype: torch.dtype) -> None:
    index, table = torch.tensor([[0, 2, 3]], dtype=dtype), torch.randn(3, 2)
    torch.testing.assert_close(rows(table, index), plain(table, index))
