"""A matrix times each of many: values, derivatives of every order, transformations, and which of two ways it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels.columns import matrix_columns

SIZES = {"wide": (2, 3, 4, 50), "narrow": (3, 9, 8, 1), "no batch": (4, 5, 6), "no rows": (0, 3, 4, 5),
         "no columns": (2, 3, 4, 0), "nothing summed": (2, 3, 0, 5)}  # fmt: skip
"""[batch,] row, inner, column."""


def _given(size: tuple[int, ...]) -> list[Tensor]:
    *batch, rows, inner, columns = size
    source = torch.Generator().manual_seed(0)
    shapes = ((rows, inner), (*batch, inner, columns), (rows,))
    return [torch.randn(one, dtype=torch.float64, generator=source).requires_grad_() for one in shapes]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_values_and_slopes(size: tuple[int, ...], bias: bool) -> None:
    matrix, columns, summand = _given(size)
    given = (matrix, columns, *([summand] if bias else []))
    found = matrix_columns(*given)
    expected = torch.einsum("ri,...ic->...rc", matrix, columns) + (summand[:, None] if bias else 0)
    slopes = torch.randn_like(expected)
    got, want = (torch.autograd.grad(one, given, slopes) for one in (found, expected))
    torch.testing.assert_close([found, *got], [expected, *want])


@pytest.mark.parametrize("name", ["wide", "narrow", "no batch"])
def test_derivatives_of_derivatives(name: str) -> None:
    assert torch.autograd.gradgradcheck(matrix_columns, _given(SIZES[name]))


@pytest.mark.parametrize("name", ["wide", "narrow"])
def test_under_vmap(name: str) -> None:
    matrix, columns, summand = (one.detach() for one in _given(SIZES[name]))
    found = torch.func.vmap(lambda x: matrix_columns(matrix, x, summand))(columns.expand(3, *columns.shape))
    torch.testing.assert_close(found, matrix_columns(matrix, columns, summand).expand_as(found))


def test_the_slope_at_the_matrix_is_never_much_more_than_the_data() -> None:
    """A batch of so many slopes would be."""
    matrix, columns = torch.randn(64, 64, requires_grad=True), torch.randn(32, 64, 2)
    assert "Bmm" not in type(matrix_columns(matrix, columns).grad_fn).__name__
    assert matrix_columns(matrix.detach(), columns).is_contiguous()


FORMS = {
    "tokens": ("def f(X[b, s, d]; W[t, s], c[t]) -> [b, t, d] = W @[s] X + c", True),
    "two axes before": ("def f(X[a, b, s, d]; W[t, s], c[t]) -> [a, b, t, d] = c + sum[s](X * W)", True),
    "two axes behind": ("def f(X[b, s, d, e]; W[t, s], c[t]) -> [b, t, d, e] = W @[s] X + c", True),
    "heads that talk": ("def f(S[b, h, s, d]; W[t, h]) -> [b, t, s, d] = softmax[d](W @[h] S)", True),
    "projected positions": (
        "def f(Q[b, q, d], K[b, s, d], X[b, s, e]; W[t, s]) -> [b, q, e]:\n"
        "    return softmax[t](Q @[d] (W @[s] K)) @[t] (W @[s] X)",
        True,
    ),
    "features last": ("def f(X[b, s, d]; W[t, d], c[t]) -> [b, s, t] = W @[d] X + c", False),
    "for a norm": ("def f(X[b, s, d]; W[t, s], c[t]) -> [b, d, t] = standardize[t](W @[s] X + c)", False),
}


@pytest.mark.parametrize(("text", "around"), FORMS.values(), ids=FORMS)
def test_nothing_is_turned(text: str, around: bool) -> None:
    function = nl.compile(text)
    sizes = {"a": 2, "b": 3, "s": 4, "d": 5, "e": 2, "t": 6, "h": 3, "q": 2}
    given = [torch.randn([sizes[axis] for axis in port.axes]) for port in function.inputs]
    torch.testing.assert_close(function(*given).double(), function.reference(*given), atol=1e-5, rtol=1e-5)
    assert ("matrix_columns" in function.code) == around


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_compiler_gets_the_bias_where_the_sum_ends(size: tuple[int, ...]) -> None:
    """It adds it in the loop of what comes next, where a product that begins with it copies it first."""
    names: list[str] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        names.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    given = _given(size)
    found = torch.compile(matrix_columns, backend=backend, fullgraph=True)(*given)
    expected = matrix_columns(*given)
    slopes = torch.randn_like(expected)
    got, want = (torch.autograd.grad(one, given, slopes) for one in (found, expected))
    torch.testing.assert_close([found, *got], [expected, *want])
    assert not any("baddbmm" in name for name in names)
