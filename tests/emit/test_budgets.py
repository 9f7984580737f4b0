"""Budgets of memory: what users meet is held within them, forward and backward, or refused.

What is measured is what torch's allocator was asked for in a call and its backward pass, results and slopes included.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.call.budget import MOST_BUDGETS
from namedlayers.errors import ArgumentError, SizeError
from namedlayers.inspect.timing import peak_bytes

Shapes = tuple[tuple[int, ...] | Tensor, ...]

TOLERANCE = 1.1

PAIR = "exp(-sum[d]((X - Y) ^ 2))"
SINKHORN = (
    "def f(X[i, d], Y[j, d], u[i], v[j]) -> {}:\n    C = sum[d]((X - Y) ^ 2)\n    g = v - logsumexp[i](u - C)\n"
    "    h = u - logsumexp[j](g - C)\n    return {}"
)
POINTS: Shapes = ((400, 3), (300, 3))
HEADS: Shapes = ((4, 160, 8), (4, 160, 8), (4, 160, 8))

FORMULAS: dict[str, tuple[str, Shapes, dict[str, Any], int, int]] = {
    # name: (text, shapes, how it is compiled, by how much less than whole it can be made, and with slopes; 1: not at
    # all, since what it gives, with slopes what it takes, too, is as large)
    "attention with a softcap": (
        "def f(Q[h, q, k], K[h, s, k], V[h, s, v]) -> [h, q, v] = softmax[s](tanh(Q @[k] K)) @[s] V", HEADS, {}, 8, 4,
    ),
    "attention by distances": (
        "def f(Q[q, k], K[s, k], V[s, v]) -> [q, v] = softmax[s](-sum[k](abs(Q - K))) @[s] V",
        ((200, 4), (200, 4), (200, 4)), {}, 16, 16,
    ),
    "a kernel": (f"def f(X[i, d], Y[j, d]; b[j]) -> [i] = sum[j]({PAIR} * b)", (*POINTS, (300,)), {}, 16, 16),
    "a kernel of points with themselves": (
        "def f(X[i, d]; b[i]) -> [i] = sum[j](exp(-sum[d](abs(X - X[i -> j]))) * b[i -> j])",
        ((300, 3), (300,)), {}, 16, 16,
    ),
    "sums of a kernel": (f"def f(X[i, d], Y[j, d]) -> [] = sum[i, j]({PAIR})", POINTS, {}, 16, 16),
    "a normalised kernel": (
        f"def f(X[i, d], Y[j, d]; b[j]) -> [i]:\n    K = {PAIR}\n    return (K @[j] b) / sum[j](K)",
        (*POINTS, (300,)), {}, 16, 16,
    ),
    "a step of Sinkhorn's": (SINKHORN.format("[i]", "h"), (*POINTS, (400,), (300,)), {}, 16, 16),
    "a distance of Sinkhorn's": (
        SINKHORN.format("[]", "sum[i, j](exp(g + h - C) * C)"), (*POINTS, (400,), (300,)), {}, 16, 16,
    ),
    "a loss of covariances": (
        "def f(X[n, d]) -> []:\n    Z = X - mean[n](X)\n    return sum[d, e]((Z @[n] Z[d -> e] / |n|) ^ 2)",
        ((20, 300),), {}, 8, 8,
    ),
    "a log product, summed": (
        "def f(A[i, j], B[j, k]) -> [k] = sum[i](prod[j](A + B))", ((60, 20), (20, 50)), {"semiring": "log"}, 8, 8,
    ),
    "a product in max-plus": (
        "def f(A[i, j], B[j, k]) -> [i, k] = sum[j](A * B)", ((60, 60), (60, 60)), {"semiring": "max-plus"}, 8, 8,
    ),
    "the nearest": ("def f(X[i, d], Y[j, d]) -> [i] = argmin[j](sum[d]((X - Y) ^ 2))", POINTS, {}, 4, 1),
    "the nearest by other distances": (
        "def f(X[i, d], Y[j, d]) -> [i] = argmin[j](sum[d](abs(X - Y)))", POINTS, {}, 16, 1,
    ),
    "the largest of all": (
        "def f(X[d], Y[j, d]) -> [] = argmax[j](sum[d](tanh(exp(Y) * X)))", ((8,), (4000, 8)), {}, 16, 1,
    ),
    "Chamfer's distance": (
        "def f(X[i, d], Y[j, d]) -> []:\n    D = sum[d]((X - Y) ^ 2)\n"
        "    return mean[i](min[j](D)) + mean[j](min[i](D))",
        POINTS, {}, 4, 4,
    ),
    "the five nearest": (
        "def f(X[i, d], Y[j, d]) -> [i] = mean[k](topk[j, k = 5](-sum[d](abs(X - Y))))", POINTS, {}, 16, 16,
    ),
    "losses of many classes": (
        "def f(X[b, d], T[b]; W[c, d]) -> [] = mean[b](-log_softmax[c](X @[d] W)[c = T])",
        ((300, 8), torch.arange(300), (600, 8)), {}, 16, 8,
    ),
    "a bilinear form": (
        "def f(X[b, i], Y[b, j]; W[o, i, j]) -> [b, o] = W @[i] X @[j] Y",
        ((300, 16), (300, 24), (12, 16, 24)), {}, 8, 4,
    ),
    "a wide network": (
        "def f(X[b, i]; W[i, h], V[h, o]) -> [b, o] = relu(X @[i] W) @[h] V", ((800, 8), (8, 200), (200, 4)), {}, 16, 8,
    ),
    "attention with a bias of pairs": (
        "def f(Q[h, q, k], K[h, s, k], V[h, s, v], Z[q, s, c]; B[h, c]) -> [h, q, v]:\n"
        "    return softmax[s](Q @[k] K + B @[c] Z) @[s] V",
        ((4, 100, 8), (4, 100, 8), (4, 100, 8), (100, 100, 3), (4, 3)), {}, 8, 2,
    ),
    "a convolution, averaged": (
        "def f(X[b, c, t]; W[o, c, k]) -> [b, o] = mean[t](relu(W @[c, k] unroll[t, k](X)))",
        ((16, 6, 300), (24, 6, 5)), {}, 8, 8,
    ),
    "a convolution alone": (
        "def f(X[b, c, t]; W[o, c, k]) -> [b, o, t] = W @[c, k] unroll[t, k](X)", ((8, 6, 300), (24, 6, 5)), {}, 1, 1,
    ),
    "a recurrence": (
        "def f(A[t, b, h], X[t, b, h]) -> [b]:\n    scan t with s = 0:\n        s = sigmoid(A) * s + tanh(X)\n"
        "    return sum[h](max[t](s))",
        ((64, 8, 32), (64, 8, 32)), {}, 8, 2,
    ),
    "a space of states": (
        "def f(D[t, b, d], A[d, n], X[t, b, d], B[t, b, n], C[t, b, n]) -> [t, b, d]:\n"
        "    scan t reversed with h = zeros[b, d, n]:\n        h = exp(D * A) * h + D * B * X\n"
        "        y = C @[n] h\n    return y",
        ((64, 4, 32), (32, 8), (64, 4, 32), (64, 4, 8), (64, 4, 8)), {}, 8, 8,
    ),
    "a loop": (
        "def f(X[t, b, h]; U[h, g]) -> [b]:\n    scan t with s = zeros[b, h]:\n"
        "        s = tanh(X + (U @[h] s)[g -> h])\n    return sum[h](max[t](s))",
        ((64, 8, 32), (32, 32)), {}, 1, 1,
    ),
}  # fmt: skip


def _made(shapes: Shapes, slopes: bool) -> list[Tensor]:
    given = [torch.randn(one) if isinstance(one, tuple) else one for one in shapes]
    return [one.requires_grad_(slopes and one.is_floating_point()) for one in given]


def _call(function: Callable[..., Any], args: list[Tensor], slopes: bool, budget: int | None) -> object:
    found = function(*args, max_memory=budget)
    if not slopes:
        return found
    return found, torch.autograd.grad(found.sum(), [one for one in args if one.requires_grad])


@pytest.mark.parametrize("share", [2, 8])
@pytest.mark.parametrize("slopes", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("name", FORMULAS)
def test_what_is_held(name: str, slopes: bool, share: int) -> None:
    text, shapes, options, *least = FORMULAS[name]
    function, args = nl.compile(text, **options), _made(shapes, slopes)
    if slopes and not function(*args).requires_grad:
        return
    whole = peak_bytes(lambda: _call(function, args, slopes, None))
    budget = whole // share
    try:
        taken = peak_bytes(lambda: _call(function, args, slopes, budget))
    except SizeError as error:
        assert error.code == "NL0431" and share > least[slopes]
    else:
        assert taken <= TOLERANCE * budget


AMOUNTS: dict[object, int | None] = {
    # None: no amount
    4096: 4096, "4096": 4096, "4096 B": 4096, "512 MB": 512_000_000, "512MB": 512_000_000, "0.5GiB": 1 << 29,
    np.int64(4096): 4096, " 2 KiB ": 2048, "12.5 KiB": 12_800, "1e6": 1_000_000,
    0: None, -1: None, "0": None, "-2GB": None, "0.1B": None, "": None, "GB": None, "5 mb": None, "5 KiBs": None,
    "nan": None, "inf": None, "2 gigs": None, True: None, 1.5: None, torch.tensor(1.5): None,
}  # fmt: skip


@pytest.mark.parametrize(("given", "amount"), AMOUNTS.items(), ids=repr)
def test_amounts(given: Any, amount: int | None) -> None:
    """Said when a formula is compiled, and at the call."""
    text = "def f(X[i]) -> [i] = 2 * X"
    if amount is not None:
        assert nl.compile(text, max_memory=given).manner.max_memory == amount
        assert nl.compile(text)(torch.ones(2), max_memory=given).tolist() == [2, 2]
        return
    for call in (lambda: nl.compile(text, max_memory=given), lambda: nl.compile(text)(torch.ones(2), max_memory=given)):
        with pytest.raises(ArgumentError, match="NL0547"):
            call()


@pytest.mark.parametrize("slopes", [False, True], ids=["forward", "backward"])
def test_a_call_holds_the_same_wherever_its_budget_is_said(slopes: bool) -> None:
    text, shapes, *_ = FORMULAS["a kernel"]
    args = _made(shapes, slopes)
    compiled, called = nl.compile(text, max_memory="150 KiB"), nl.compile(text)

    def taken(function: Callable[..., Any], **how: Any) -> int:
        def call() -> object:
            found = function(*args, **how)
            return torch.autograd.grad(found.sum(), args) if slopes else found

        call()
        return peak_bytes(call)

    held = taken(compiled)
    assert held == taken(called, max_memory=150 << 10) == taken(called, max_memory="153.6 KB")
    assert held <= TOLERANCE * (150 << 10)


@pytest.mark.parametrize("slopes", [False, True], ids=["forward", "backward"])
def test_torch_compile_sees_pieces_wherever_the_budget_is_said(slopes: bool) -> None:
    text, shapes, *_ = FORMULAS["a kernel"]
    args = _made(shapes, slopes)
    layer = "layer L(X[i, d], Y[j, d]) -> [i]:\n    param b[j] ~ normal\n" + text.partition("=")[2].join(
        ("    return", "")
    )
    function, module = nl.compile(text), nl.compile(layer)(j=shapes[1][0])
    cases: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
        # name: (what is traced, what gives the same)
        "compiled": (function.within("150 KiB"), function),
        "at the call of a function": (lambda *args: function(*args, max_memory="150 KiB"), function),
        "at the call of a module": (
            lambda *args: module(*args[:2], max_memory="150 KiB"),
            lambda *args: module(*args[:2]),
        ),
    }
    for name, (call, whole) in cases.items():
        seen: list[str] = []
        traced = torch.compile(
            call, backend=lambda graph, _, seen=seen: seen.append(graph.code) or graph, fullgraph=True
        )
        torch.testing.assert_close(traced(*args), whole(*args), msg=name)
        assert len(seen) == 1 and "namedlayers.pieces" in seen[0], name


def test_a_function_keeps_what_the_newest_budgets_need() -> None:
    function = nl.compile("def f(X[i]) -> [i] = 2 * X")
    kept = [weakref.ref(function._budgets.taken_out({"max_memory": amount})) for amount in range(100, 140)]
    gc.collect()
    assert [one() is not None for one in kept] == [False] * (40 - MOST_BUDGETS) + [True] * MOST_BUDGETS


REFUSED: dict[str, tuple[str, tuple[int, ...], bool, tuple[str, ...]]] = {
    # name: (text, shape, with slopes, what is told)
    "running": ("def f(X[t]) -> [] = max[t](cumsum[t](X) ^ 2)", (4000,), False, ("cumsum[t](X)", "`t` cannot be cut")),
    "a variance": ("def f(X[t]) -> [] = var[t](tanh(X))", (4000,), False, ("var[t]", "`t` cannot be cut")),
    "the result": ("def f(X[t]) -> [t] = tanh(X)", (4000,), False, ("its results alone take 15.6 KiB: allow more",)),
    "slopes": ("def f(X[t]) -> [] = sum[t](tanh(X))", (4000,), True, ("its inputs' slopes alone take 15.6 KiB",)),
    "both": (
        "def f(X[t]) -> [t] = tanh(X)", (1500,), True, ("its results and its inputs' slopes alone take 11.7 KiB",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_tell_what_stands_against(name: str) -> None:
    text, shape, slopes, told = REFUSED[name]
    with pytest.raises(SizeError, match="NL0431") as caught:
        nl.compile(text)(torch.randn(shape, requires_grad=slopes), max_memory="10 KiB")
    assert all(one in str(caught.value) for one in told)
