"""What is read by number is what stands there, or the text's number, in values and slopes, by whichever way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from namedlayers.emit.kernels import reading
from tests.helpers import check_calls

R = np.random.default_rng(4)
TABLE, TABLES = R.normal(size=(5, 4)), R.normal(size=(3, 5, 4))
AT, EACH = R.integers(-1, 6, size=(3, 6)), R.integers(-1, 6, size=(3, 6))

FORMULAS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "rows, else 0": ("rows", "def f(E[v, d], I[b, t]) = E[v = I; fill = 0]", {"E": TABLE, "I": AT}),
    "rows, else a number": ("rows", "def f(E[v, d], I[b, t]) = E[v = I; fill = -2.5]", {"E": TABLE, "I": AT}),
    "columns": ("select", "def f(E[d, v], I[b, t]) = one_hot[v](I) @[v] E", {"E": TABLE.T, "I": AT}),
    "numbers": ("select", "def f(w[v], I[b, t]) = one_hot[v](I) @[v] w", {"w": TABLE[:, 0], "I": AT}),
    "of three axes": ("select", "def f(E[v, h, d], I[t]) -> [h, t, d] = E[v = I; fill = 3]",
                      {"E": TABLE.reshape(5, 2, 2), "I": AT[0]}),
    "one of each": ("gather", "def f(X[b, v], I[b]) = one_hot[v](I) @[v] X", {"X": TABLES[..., 0], "I": AT[:, 0]}),
    "rows of each": ("rows_of_each", "def f(X[b, v, d], I[b, t]) = one_hot[v](I) @[v] X", {"X": TABLES, "I": EACH}),
    "rows of each, refused": ("rows_of_each", "def f(X[b, v, d], I[b, t]) = X[v = I]", {"X": TABLES, "I": EACH % 5}),
    "integers": ("select", "def f(E[v, d], I[t]) = E[v = I; fill = -1]", {"E": np.arange(8).reshape(4, 2), "I": AT[0]}),
    "truth": ("select", "def f(E[v, d], I[t]) = sum[d](E[v = I; fill = False])", {"E": TABLE > 0, "I": AT[0]}),
    "of nothing": ("rows", "def f(E[v, d], I[b, t]) = E[v = I; fill = 2]", {"E": TABLE[:0], "I": AT}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    operation, text, inputs = FORMULAS[name]
    check_calls(operation, text, inputs, None)


def _plain(x: Tensor, index: Tensor, fill: float) -> Tensor:
    """Rows of each table, by definition."""
    valid = (index >= 0) & (index < x.shape[1])
    found = torch.stack([one[at] for one, at in zip(x, torch.where(valid, index, 0), strict=True)])
    return torch.where(valid.unsqueeze(-1), found, fill)


@pytest.mark.parametrize("wide", [4, 12])
@pytest.mark.parametrize("low", [-1, 0])
def test_rows_of_each(wide: int, low: int) -> None:
    x = torch.randn(3, 5, wide, dtype=torch.float64, requires_grad=True)
    index = torch.tensor(EACH).clamp(low, 5 + low)
    read: Callable[[Tensor], Tensor] = lambda x: reading.rows_of_each(x, index, 0).sin()  # noqa: E731
    index = index if low else index.clamp(max=4)
    torch.testing.assert_close(read(x), _plain(x, index, 0).sin())
    assert torch.autograd.gradcheck(read, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(read, x, fast_mode=True)
    several = torch.stack([x, 2 * x]).detach()
    lifted = torch.func.vmap(lambda x: reading.rows_of_each(x, index, 0))(several)
    torch.testing.assert_close(lifted, torch.stack([_plain(one, index, 0) for one in several]))
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: reading.rows_of_each(x, index, 0), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), _plain(x, index, 0))


@pytest.mark.parametrize("wide", [4, 12])
@pytest.mark.parametrize("wrong", [-1, 5])
def test_rows_of_each_are_refused(wide: int, wrong: int) -> None:
    index = torch.tensor(EACH).clamp(0, 4)
    index[1, 2] = wrong
    with pytest.raises((IndexError, RuntimeError), match="out of (range|bounds)"):
        reading.rows_of_each(torch.randn(3, 5, wide), index, None)


@pytest.mark.parametrize("kernel", [reading.select, reading.gather, reading.rows])
def test_traced_and_lifted(kernel: Callable[..., Tensor]) -> None:
    index = torch.tensor([1, 5, -1, 0])
    x = torch.randn(5, 4)
    if kernel is reading.gather:
        index = index.unsqueeze(-1).expand(-1, 4)
    run = (lambda x: kernel(x, index, 2)) if kernel is reading.rows else (lambda x: kernel(x, 0, index, 2))
    wanted = torch.stack([x[1], torch.full((4,), 2.0), torch.full((4,), 2.0), x[0]])
    torch.testing.assert_close(run(x), wanted)
    torch.testing.assert_close(torch.func.vmap(run)(x[None])[0], wanted)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(run, backend="aot_eager", fullgraph=True)(x), wanted)
