"""Coordinates that are read one by one are cut at once, where all are read and none of them is a result."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl

CUT = {
    "gates": """
        def f(X[seq, parts]) -> [seq, h]:
            P = X[parts -> (two = 2, h)]
            return P[two = 0] * silu(P[two = 1])
    """,
    "read twice": "def f(X[seq, parts = 4]) -> [seq] = X[parts = 0] * X[parts = 1] + X[parts = 2] - X[parts = 3]",
    "of what is computed": """
        def f(X[seq, parts = 4]) -> [seq]:
            Y = exp(X)
            return Y[parts = 0] * Y[parts = 1] / Y[parts = 2] + Y[parts = 3] * Y[parts = 0]
    """,
}
NOT_CUT = {
    "not all are read": "def f(X[seq, parts = 4]) -> [seq] = X[parts = 0] * X[parts = 2]",
    "one is a result": """
        def f(X[seq, parts]) -> [seq, h], [seq, h]:
            P = 2 * X[parts -> (two = 2, h)]
            return P[two = 0], P[two = 0] * P[two = 1]
    """,
    "a view of one is a result": """
        def f(X[seq, parts]) -> [both], [seq, h]:
            P = 2 * X[parts -> (two = 2, h)]
            return P[two = 0][(seq, h) -> both], P[two = 0] * P[two = 1]
    """,
}


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(5, 4, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("name", CUT)
def test_cut_at_once(name: str, x: torch.Tensor) -> None:
    function = nl.compile(CUT[name])
    torch.testing.assert_close(function(x).detach(), function.reference(x.detach()))
    assert torch.autograd.gradcheck(function, x) and torch.autograd.gradgradcheck(function, x)
    assert function.code.count("torch.unbind") == 1 and ".select" not in function.code


@pytest.mark.parametrize("name", NOT_CUT)
def test_read_by_itself(name: str, x: torch.Tensor) -> None:
    function = nl.compile(NOT_CUT[name])
    found, wanted = function(x), function.reference(x.detach())
    for one, other in zip(*((y if isinstance(y, tuple) else (y,)) for y in (found, wanted)), strict=True):
        torch.testing.assert_close(one.detach(), other)
        one.add_(1)  # a user may write to a result
    assert "torch.unbind" not in function.code and torch.autograd.gradcheck(function, x)
