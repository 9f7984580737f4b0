"""What calls cost: operations, bytes moved and bytes held, as formulas in the sizes and as numbers."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl
from namedlayers.inspect.timing import peak_bytes
from namedlayers.plan.cost import Figures

# Operations by hand: a multiplication and an addition count each, a softmax five an element.
OPERATIONS = {
    "a matrix product": (
        "def f(X[a, b], Y[b, c]) = X @[b] Y", "2 * |a| * |b| * |c|", {"a": 2, "b": 3, "c": 5}, 60,
    ),
    "a linear map with its bias": (
        "def f(X[a, b]; W[c, b], v[c]) = W @[b] X + v", "2 * |a| * |b| * |c| + |a| * |c|", {"a": 2, "b": 3, "c": 5}, 70,
    ),
    "two elementwise operations": ("def f(X[a]) = sin(cos(X))", "2 * |a|", {"a": 7}, 14),
    "a sum": ("def f(X[a, b]) = sum[b](X)", "|a| * |b|", {"a": 2, "b": 3}, 6),
    "a convolution": (
        "def f(X[c, t]; W[o, c, k]) -> [o, t] = W @[c, k] unroll[t, k](X)",
        "2 * |c| * |k| * |o| * (|t| - |k| + 1)", {"c": 2, "t": 9, "o": 3, "k": 4}, 288,
    ),
    "attention": (
        "def f(Q[q, d], K[s, d], V[s, v]) -> [q, v] = softmax[s](Q @[d] K) @[s] V",
        "2 * |d| * |q| * |s| + 2 * |q| * |s| * |v| + 5 * |q| * |s|", {"q": 2, "d": 3, "s": 5, "v": 7}, 250,
    ),
    "rounds": ("def f(X[a]) -> [a]:\n    repeat 20:\n        X = sin(X)\n    return X", "20 * |a|", {"a": 3}, 60),
    "views": ("def f(X[a, b]) = X[(a, b) -> c][c -> a']", "0", {"a": 3, "b": 2}, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "views"])
def test_operations(name: str) -> None:
    text, formula, sizes, count = OPERATIONS[name]
    function = nl.compile(text)
    assert str(function.cost().flops) == formula
    assert function.cost(**sizes).flops == count


def test_bytes_are_read_and_written() -> None:
    cost = nl.compile("def f(X[a, b], Y[b, c]) = X @[b] Y").cost(a=2, b=3, c=5)
    assert isinstance(cost, Figures)
    assert cost == (60, 4 * (6 + 15 + 10), 4 * 10) and cost.intensity == 60 / 124


def test_what_is_held_at_most() -> None:
    text = "def f(X[a]; W[a, b], V[b]) -> []:\n    H = sin(W @[a] X)\n    return H @[b] V"
    assert nl.compile(text).cost(a=2, b=9).peak == 2 * 36


def test_a_specialised_call_knows_its_sizes() -> None:
    function = nl.compile("def f(X[a, b], Y[b, c]) = X @[b] Y")
    made = function.specialize(torch.zeros(2, 3), torch.zeros(3, 5))
    assert made.cost() == function.cost(a=2, b=3, c=5)


def test_a_module_has_its_sizes() -> None:
    linear = nl.load("linear").Linear(input=3, output=5)
    assert str(linear.cost().flops) == "35"  # of one vector: 2 * 3 * 5 + 5
    linear(torch.zeros(2, 3))
    assert linear.cost(batch=2).flops == 2 * 2 * 3 * 5 + 2 * 5


CHAIN = "def f(A[a, b], B[b, c], C[c, d], D[d, e]) -> [a, e] = A @[b] B @[c] C @[d] D"
TURNED = "def f(D[d, e], B[b, c], A[z, a, b], C[z, c, d]) -> [e, z, a] = D @[d] (C @[c] (B @[b] A))"


@pytest.mark.parametrize(
    ("text", "sizes", "flops"),
    [
        (CHAIN, {"a": 9, "b": 9, "c": 9, "d": 9, "e": 1}, 2 * 3 * 9 * 9),
        (CHAIN, {"a": 1, "b": 9, "c": 9, "d": 9, "e": 9}, 2 * 3 * 9 * 9),
        (CHAIN, {"a": 9, "b": 9, "c": 1, "d": 9, "e": 9}, 2 * (9 * 9 + 9 * 9 + 9 * 9)),
        (TURNED, {"z": 3, "a": 2, "b": 5, "c": 7, "d": 4, "e": 1}, 2 * 3 * (7 * 4 + 5 * 7 + 2 * 5)),
        (CHAIN, {"a": 0, "b": 9, "c": 9, "d": 9, "e": 9}, 0),
    ],
)
def test_a_chain_costs_what_the_call_takes(text: str, sizes: dict[str, int], flops: int) -> None:
    """Its order is found at the call, for the sizes that are there."""
    assert nl.compile(text).cost(**sizes).flops == flops


@pytest.mark.parametrize(
    ("sizes", "said"), [({"a": 2}, "`b`, `c` are needed"), ({"a": 2, "b": 3, "c": 5, "d": 1}, "no axis `d`")]
)
def test_sizes_that_are_missing_or_not_there(sizes: dict[str, int], said: str) -> None:
    with pytest.raises(nl.SizeError, match=said):
        nl.compile("def f(X[a, b], Y[b, c]) = X @[b] Y").cost(**sizes)


SPACE = """def f(D[t, d], A[d, n], X[t, d], B[t, n], C[t, n]) -> [t, d]:
    scan t with h = zeros[d, n]:
        h = exp(D * A) * h + D * B * X
        y = C @[n] h
    return y
"""


def test_long_recurrences_hold_one_stretch() -> None:
    function = nl.compile(SPACE)
    short, long, longer = (function.cost(t=t, d=64, n=16).peak for t in (16, 1 << 15, 1 << 16))
    assert short == 3 * 4 * 16 * 64 * 16  # all there is
    assert longer - long == 4 * 64 * (1 << 15)  # the result alone
    assert longer < 4 * (1 << 16) * 64 * 16 // 4
    assert "if that is less" in str(function.cost())
    assert "by stretches of steps" in function.explain()


OUTER = """def f(G[t, k], K[t, k], V[t, v], Q[t, k]) -> [t, v]:
    scan t with S = zeros[k, v]:
        S = sigmoid(G) * S + K * V
        y = Q @[k] S
    return y
"""
GATED = """def f(X[t, b, i]; Wz[h, i], Wn[h, i], H[b, h]) -> [t, b, h]:
    scan t with s = H:
        z = sigmoid(Wz @[i] X)
        s = (1 - z) * s + z * (Wn @[i] X)
    return s
"""


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        (SPACE, {"t": 4096, "d": 64, "n": 16}),
        (OUTER, {"t": 4096, "k": 32, "v": 32}),
        (GATED, {"t": 4096, "b": 16, "i": 8, "h": 16}),
    ],
)
def test_stretches_hold_what_is_said(text: str, sizes: dict[str, int]) -> None:
    function = nl.compile(text)
    given = [torch.rand([sizes[axis] for axis in one.axes]) for one in function.inputs]
    function(*given)
    found, said = peak_bytes(lambda: function(*given)), function.cost(**sizes).peak
    assert 0.9 * said <= found <= said


def test_a_budget_knows_of_stretches() -> None:
    t, d, n = 1 << 13, 64, 16
    given = torch.rand(t, d), -torch.rand(d, n), torch.randn(t, d), torch.randn(t, n), torch.randn(t, n)
    function = nl.compile(SPACE)
    found = function(*given, max_memory="8MiB")  # an eighth of what the states of all steps take with their factors
    torch.testing.assert_close(found, function(*given))
