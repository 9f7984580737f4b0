"""What is read round the end of an axis, or from its end, is what stands there, by one call that moves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from tests.helpers import check_calls

R = np.random.default_rng(8)
X = R.normal(size=(3, 5, 4))
NOT_FINITE = np.where(R.random(X.shape) < 0.3, np.inf, np.where(R.random(X.shape) < 0.3, np.nan, X))

ROUND: dict[str, tuple[str, dict[str, Any]]] = {
    "one place on": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + 1) % |t|]", {"X": X}),
    "one place back": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t - 1) % |t|]", {"X": X}),
    "as a definition": ("def f(X[a, t, b]) -> [b, a, t] = roll[t](X; shift = 2)", {"X": X}),
    "further than it is long": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + 13) % |t|]", {"X": X}),
    "further back": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t - 13) % |t|]", {"X": X}),
    "no place": ("def f(X[a, t, b]) -> [a, t, b] = 2 * X[t = (t + 0) % |t|]", {"X": X}),
    "by half of it": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + |t| // 2) % |t|]", {"X": X}),
    "by another's size": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (|b| + t) % |t|]", {"X": X}),
    "by an option": ("def f(X[a, t, b]; n = 2) -> [a, t, b] = X[t = (t - n) % |t|]", {"X": X}),
    "two axes": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + 1) % |t|, b = (b - 1) % |b|]", {"X": X}),
    "three axes": ("def f(X[a, t, b]) = X[b = (b - 1) % |b|, t = (t + 1) % |t|, a = (a + 2) % |a|]", {"X": X}),
    "into another axis": ("def f(X[a, t]) -> [s, a] = X[t = (index[s = |t|] + 2) % |t|]", {"X": X[0]}),
    "never beyond": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + 1) % |t|; fill = 7]", {"X": X}),
    "of size 1": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + 3) % |t|]", {"X": X[:, :1]}),
    "of no size": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + 3) % |t|]", {"X": X[:, :0]}),
    "beside an empty axis": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + 3) % |t|]", {"X": X[:0]}),
    "not finite": ("def f(X[a, t, b]) -> [a, t, b] = X[t = (t + 2) % |t|]", {"X": NOT_FINITE}),
    "whole numbers": ("def f(X[t]) -> [t] = X[t = (t + 2) % |t|]", {"X": np.arange(5)}),
    "truth": ("def f(X[t]) -> [t] = X[t = (t + 2) % |t|]", {"X": np.arange(5) > 2}),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUND)
def test_round_the_end(name: str) -> None:
    check_calls("torch.roll", *ROUND[name], None)


OTHERWISE = {
    "another period": "def f(X[a, t]) -> [a, t] = X[t = (t + 1) % (|t| - 1)]",
    "every other": "def f(X[a, t]) -> [a, t] = X[t = (2 * t + 1) % |t|]",
    "from the end": "def f(X[a, t]) -> [a, t] = X[t = (1 - t) % |t|]",
    "along an axis that it has": "def f(X[a, t]) -> [a] = X[t = (a + 1) % |t|]",
    "both along one": "def f(X[a, t]) -> [k] = X[a = (index[k = 4] + 1) % |a|, t = (k + 2) % |t|]",
    "by data": "def f(X[a, t]) -> [a, t] = X[t = (t + int(sum[a, t](X > 0))) % |t|]",
    "one of two": "def f(X[a, t]) -> [a, t] = X[a = (a + 1) % |a|, t = maximum(t - 1, 1)]",
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_read_otherwise(name: str) -> None:
    check_calls("at", OTHERWISE[name], {"X": X[0, :4]}, None)
    function = nl.compile(OTHERWISE[name])
    function(torch.tensor(X[0, :4]))
    assert "torch.roll" not in function.code


TURNED = {
    "one axis": ("X.flip(1)", "def f(X[a, t, b]) -> [a, t, b] = X[t = |t| - 1 - t]", X),
    "two axes": ("X.flip(0, 1)", "def f(X[a, t, b]) -> [a, t, b] = X[a = |a| - 1 - a, t = |t| - 1 - t]", X),
    "three axes": (
        "X.flip(0, 1, 2)",
        "def f(X[a, t, b]) -> [a, t, b] = X[a = |a| - 1 - a, t = |t| - 1 - t, b = |b| - 1 - b]", X,
    ),
    "a part of one": ("flip(", "def f(X[a, t, b]) -> [a, s, b] = X[a = |a| - 1 - a, t = 3 - index[s = 2]]", X),
    "every other": ("flip(", "def f(X[a, t, b]) -> [s, a, b] = X[t = |t| - 1 - 2 * index[s = 3], b = |b| - 1 - b]", X),
    "with a diagonal": ("flip(", "def f(X[a, t, b]) -> [a, b] = X[b = |b| - 1 - b, t = |t| - 1 - a]", X),
    "two of size 1": ("X.flip(0, 1)", "def f(X[a, t, b]) = X[a = |a| - 1 - a, t = |t| - 1 - t]", X[:1, :1]),
    "two of no size": ("X.flip(0, 1)", "def f(X[a, t, b]) = X[a = |a| - 1 - a, t = |t| - 1 - t]", X[:0, :0]),
}  # fmt: skip


@pytest.mark.parametrize("name", TURNED)
def test_from_the_end(name: str) -> None:
    operation, text, x = TURNED[name]
    check_calls(operation, text, {"X": x}, None)


BOTH: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "round": (ROUND["two axes"][0], lambda x: torch.roll(x, (-1, 1), (1, 2))),
    "turned": (TURNED["two axes"][1], lambda x: x.flip(0, 1)),
}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_of_every_type(name: str, dtype: torch.dtype) -> None:
    text, wanted = BOTH[name]
    x = torch.tensor(X).to(dtype)
    torch.testing.assert_close(nl.compile(text)(x), wanted(x), rtol=0, atol=0)
    turned = x.transpose(0, 2)
    torch.testing.assert_close(nl.compile(text)(turned), wanted(turned), rtol=0, atol=0)


@pytest.mark.parametrize("name", BOTH)
def test_slopes_transforms_and_traces(name: str) -> None:
    text, wanted = BOTH[name]
    f = nl.compile(text)
    x = torch.tensor(X, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: f(x).sin(), x)
    assert torch.autograd.gradgradcheck(lambda x: f(x).sin(), x, fast_mode=True)
    several = torch.stack([x, 2 * x]).detach()
    torch.testing.assert_close(torch.func.vmap(f)(several), torch.stack([wanted(one) for one in several]))
    torch._dynamo.reset()
    compiled = torch.compile(f, backend="aot_eager", fullgraph=True, dynamic=True)
    for size in (4, 3):
        torch.testing.assert_close(compiled(x[:, :size]), wanted(x[:, :size]))


IN_A_LOOP = {
    "round the end": ("h[k = (k + 1) % |k|]", "torch.roll"),
    "beyond the end": ("h[k = k - 1; fill = 0]", "F.pad"),
}


@pytest.mark.parametrize("name", IN_A_LOOP)
def test_a_step_away_in_a_loop(name: str) -> None:
    """The places that are read stay in the loop, where nothing is read by number."""
    read, operation = IN_A_LOOP[name]
    text = f"def f(X[t, k]) -> [t, k]:\n    scan t with h = X[t = 0]:\n        h = tanh({read} + X)\n    return h\n"
    check_calls(operation, text, {"X": X[0]}, None)
    function = nl.compile(text)
    function(torch.tensor(X[0], requires_grad=True)).sum().backward()
    assert not any(one in function.code for one in ("index_select", "arange")), function.code
