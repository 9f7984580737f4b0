"""A summand joins the last step of a contraction of three and more operands, in whatever order it is."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl

JOINED = {
    "a bias": "def f(X[b, i], U[o, r], V[i, r], c[o]) -> [b, o] = sum[i, r](X * V * U) + c",
    "a residual": "def f(X[b, i], U[i, r], V[r, o], Z[b, o]) -> [b, o] = Z + X @[i] U @[r] V",
    "axes on both sides": "def f(X[b, s, i], A[i, r], B[r, h, k], Z[b, s, h, k]) -> [b, s, h, k] = "
    "sum[i, r](X * A * B) + Z",
    "four operands": "def f(X[b, i, j], A[i, p], B[j, q], C[p, q, o], c[o]) -> [b, o] = sum[i, j, p, q](X*A*B*C) + c",
    "a linear map and one of low rank": "def f(X[b, i], W[i, o], A[i, r], B[r, o], c[o]) -> [b, o] = "
    "X @[i] W + sum[i, r](X * A * B) + c",
}  # fmt: skip
NOT_JOINED = {
    "a summand of fewer axes": "def f(X[b, s, i], U[i, r], V[r, o], Z[b]) -> [b, s, o] = sum[i, r](X * U * V) + Z",
    "a batch": "def f(X[b, i], U[b, i, r], V[b, r, o], Z[b, o]) -> [b, o] = sum[i, r](X * U * V) + Z",
    "what is used again": "def f(X[b, i], U[i, r], V[r, o], c[o]):\n"
    "    Y = sum[i, r](X * U * V)\n    return Y + c, Y",
}  # fmt: skip
SIZES = ({}, {"b": 1}, {"r": 0}, {"b": 0}, {"i": 40, "o": 1}, {"r": 50, "b": 60})


@pytest.mark.parametrize("name", [*JOINED, *NOT_JOINED])
def test_values_and_gradients(name: str) -> None:
    f = nl.compile({**JOINED, **NOT_JOINED}[name])
    assert ("F.linear" in f.code and ", c)" in f.code or "add_product" in f.code) == (name in JOINED)
    plain = {"b": 3, "s": 2, "i": 4, "j": 2, "o": 5, "r": 3, "h": 2, "k": 3, "p": 2, "q": 3}
    for k, changed in enumerate(SIZES):
        source = torch.Generator().manual_seed(k)
        sizes = plain | changed
        given = [
            torch.randn([sizes[axis] for axis in one.axes], dtype=torch.float64, generator=source, requires_grad=True)
            for one in f.inputs
        ]
        found, wanted = f(*given), f.reference(*given)
        torch.testing.assert_close(found, wanted)
        if k < 2:
            assert torch.autograd.gradcheck(f, given)
