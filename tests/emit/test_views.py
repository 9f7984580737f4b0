"""Dimensions that were split are put together again by looking at what was split, however they were turned since."""

from __future__ import annotations

import pytest
import torch
from torch import fx
from torch.func import vmap

import namedlayers as nl
from namedlayers.emit.views import SPLITS, Dimension, is_whole, seen

FORMULAS = {
    "isometry": "def f(R[a, b, c, d], U[a, b, i, j], V[c, d, k, l]) -> [i, j, k, l] = sum[a, b, c, d](R * U * V)",
    "patch": "def f(A[i, j, k, p], B[k, l, m, q], C[j, n, o, r], D[l, n, s, t]) -> [i, m, o, s, p, q, r, t] = "
    "sum[j, k, l, n](A * B * C * D)",
    "ring": "def f(A[r, i, s], B[s, j, t], C[t, k, r]) -> [i, j, k] = sum[r, s, t](A * B * C)",
    "heads": "def f(X[b, s, i], W[i, h, k], A[i, r], B[r, h, k]) -> [b, s, h, k] = X @[i] W + sum[i, r](X * A * B)",
    "batches": "def f(X[z, a, b, c], Y[z, c, d, e], Z[z, a, d, g]) -> [z, b, e, g] = sum[a, c, d](X * Y * Z)",
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize(
    "changed", [{}, {"a": 1, "j": 1, "s": 1}, {"b": 0, "k": 0}, {"d": 7, "i": 9, "r": 8}, {"l": 6, "c": 5}]
)
def test_values_and_gradients(name: str, changed: dict[str, int]) -> None:
    f = nl.compile(FORMULAS[name])
    given = _given(f, changed)
    found = f(*given)
    torch.testing.assert_close(found, f.reference(*given))
    if not changed:
        if found.numel() < 50:
            assert torch.autograd.gradcheck(f, given)
        dynamic = found.dim() < 8  # what is asked about the sizes of many axes takes a compiler long
        quick = torch.compile(f, fullgraph=True, backend="aot_eager", dynamic=dynamic)
        torch.testing.assert_close(quick(*given), found)
        many = [torch.stack([one, 2 * one]) for one in given]
        torch.testing.assert_close(vmap(f)(*many)[0], found)


def test_what_was_split_is_not_split_and_flattened() -> None:
    code = nl.compile(FORMULAS["isometry"]).code
    assert ".unflatten" not in code and ".flatten" not in code and ".t()" in code


def test_dimensions_through_turned_and_split_views() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    split = graph.call_method("unflatten", (x, 1, (3, 4)))
    turned = graph.call_method("permute", (split, 1, 2, 0))
    assert seen(turned, 3) == (x, [Dimension(1, 0, (3, 4)), Dimension(1, 1, (3, 4)), Dimension(0)])
    assert is_whole(seen(turned, 3)[1][:2]) and not is_whole(seen(turned, 3)[1][1:])
    swapped = graph.call_method("transpose", (turned, 0, -2))
    assert not is_whole(seen(swapped, 3)[1][:2])
    again = graph.call_method("unflatten", (turned, 0, (3, 1)))
    assert seen(again, 4) == (turned, [Dimension(0, 0, (3, 1)), Dimension(0, 1, (3, 1)), Dimension(1), Dimension(2)])
    both = graph.call_method("reshape", (x, 2, 1, 3, 4))
    both.meta[SPLITS] = [(2, 1), (3, 4)]
    assert seen(graph.call_method("permute", (both, 2, 3, 0, 1)), 4)[1] == [
        Dimension(1, 0, (3, 4)), Dimension(1, 1, (3, 4)), Dimension(0, 0, (2, 1)), Dimension(0, 1, (2, 1)),
    ]  # fmt: skip


def _given(f: nl.Function, changed: dict[str, int]) -> list[torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    sizes = {axis: 2 + k % 2 for k, axis in enumerate("abcdeghijklmnopqrstz")} | changed
    return [
        torch.randn([sizes[a] for a in one.axes], dtype=torch.float64, generator=source, requires_grad=True)
        for one in f.inputs
    ]
