"""What is read where its place alone says is put together of pieces: held at the ends, each or all several times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from tests.helpers import check_calls

R = np.random.default_rng(9)
X = R.normal(size=(3, 5, 4))
B = R.normal(size=11)
SIX = {"X": X, "B": R.normal(size=10)}
NOT_FINITE = np.where(R.random(X.shape) < 0.3, np.inf, np.where(R.random(X.shape) < 0.3, np.nan, X))

HELD = "def f(X[a, t, b]) -> [a, t, b] = X[t = {}]"
LONGER = "def f(X[a, t, b], B[s]) -> [a, s, b] = X[t = {}] + 0 * B"

ARRANGED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "held at the end": ("held", HELD.format("minimum(t + 1, |t| - 1)"), {"X": X}),
    "held at the beginning": ("held", HELD.format("maximum(t - 2, 0)"), {"X": X}),
    "held at both": ("held", HELD.format("clip(t - 2, 0, |t| - 1)"), {"X": X}),
    "bounds in the other order": ("held", HELD.format("minimum(|t| - 1, maximum(0, t + 3))"), {"X": X}),
    "nothing but the last": ("held", HELD.format("clip(t + 9, 0, |t| - 1)"), {"X": X}),
    "nothing but the first": ("held", HELD.format("clip(t - 9, 0, |t| - 1)"), {"X": X}),
    "a bound that is never reached": ("held", HELD.format("maximum(t - 0, 0)"), {"X": X}),
    "by an option": ("held", "def f(X[a, t]; n = 2) -> [a, t] = X[t = maximum(t - n, 0)]", {"X": X[0]}),
    "by a size": ("held", HELD.format("minimum(t + |b|, |t| - 1)"), {"X": X}),
    "held, longer": ("held", LONGER.format("clip(s - 3, 0, |t| - 1)"), {"X": X, "B": B}),
    "held, shorter": ("held", LONGER.format("clip(s + 1, 0, |t| - 1)"), {"X": X, "B": B[:2]}),
    "along two axes": (
        "held", "def f(X[a, t, b]) = X[t = minimum(t + 1, |t| - 1), b = maximum(b - 1, 0)]", {"X": X},
    ),
    "in two ways": ("around", "def f(X[a, t]) -> [a, t] = X[a = (a + 1) % |a|, t = maximum(t - 1, 0)]", {"X": X[0]}),
    "held, of size 1": ("held", HELD.format("minimum(t + 1, |t| - 1)"), {"X": X[:, :1]}),
    "held, of no size": ("held", HELD.format("minimum(t + 1, |t| - 1)"), {"X": X[:, :0]}),
    "held, beside an empty axis": ("held", HELD.format("minimum(t + 1, |t| - 1)"), {"X": X[:0]}),
    "held, not finite": ("held", HELD.format("maximum(t - 1, 0)"), {"X": NOT_FINITE}),
    "each twice": ("each", LONGER.format("s // 2"), SIX),
    "each three times, the last less": ("each", LONGER.format("s // 3"), {"X": X, "B": B}),
    "each, from within": ("each", LONGER.format("(s + 1) // 3"), {"X": X, "B": B}),
    "each, not all": ("each", LONGER.format("(s + 4) // 2"), {"X": X, "B": B[:4]}),
    "each once": ("each", LONGER.format("s // 1"), {"X": X, "B": B[:5]}),
    "each by sizes": ("each", LONGER.format("s // (|s| // |t|)"), SIX),
    "each, of size 1": ("each", LONGER.format("s // |s|"), {"X": X[:, :1], "B": B}),
    "each, none": ("each", LONGER.format("s // 2"), {"X": X, "B": B[:0]}),
    "none of none": ("each", LONGER.format("s // 2"), {"X": X[:, :0], "B": B[:0]}),
    "each of a plane": (
        "each", "def f(X[a, y, x], B[h, w]) -> [a, h, w] = X[y = h // 2, x = w // 3] * B", {"X": X, "B": X[0, :3]},
    ),
    "all again": ("around", LONGER.format("s % |t|"), SIX),
    "all again and a part": ("around", LONGER.format("s % |t|"), {"X": X, "B": B}),
    "all again from within": ("around", LONGER.format("(s + 3) % |t|"), {"X": X, "B": B}),
    "all again from before": ("around", LONGER.format("(s - 7) % |t|"), {"X": X, "B": B}),
    "a part": ("around", LONGER.format("(s + 1) % |t|"), {"X": X, "B": B[:3]}),
    "a part round the end": ("around", LONGER.format("(s + 4) % |t|"), {"X": X, "B": B[:3]}),
    "many times": ("around", LONGER.format("(s + 1) % |t|"), {"X": X[:, :1], "B": B}),
    "many times and a part": ("around", LONGER.format("(s + 1) % |t|"), {"X": X[:, :2], "B": np.tile(B, 3)}),
    "again, none": ("around", LONGER.format("s % |t|"), {"X": X, "B": B[:0]}),
    "whole numbers": ("around", "def f(X[t], B[s]) -> [s] = X[t = s % |t|] + 0 * int(B)", {"X": np.arange(3), "B": B}),
    "truth": ("held", "def f(X[t]) -> [t] = X[t = maximum(t - 1, 0)]", {"X": np.arange(4) > 2}),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRANGED)
def test_arranged(name: str) -> None:
    kernel, text, inputs = ARRANGED[name]
    check_calls(f"{kernel}(", text, inputs, None)


OTHERWISE = {
    "an end that is not its own": "def f(X[a, t]) -> [a, t] = X[t = minimum(t + 1, |t| - 2)]",
    "a beginning that is not its own": "def f(X[a, t]) -> [a, t] = X[t = maximum(t - 1, 1)]",
    "every other": "def f(X[a, t]) -> [a, t] = X[t = minimum(2 * t, |t| - 1)]",
    "from the end": "def f(X[a, t]) -> [a, t] = X[t = minimum(|t| - t, |t| - 1)]",
    "along an axis that it has": "def f(X[a, t]) -> [a] = X[t = minimum(a + 1, |t| - 1)]",
    "another period": "def f(X[a, t]) -> [a, t] = X[t = t % 2]",
    "by two axes": "def f(X[a, t]) -> [p, q] = X[a = 1, t = (index[p = 2] + index[q = 2]) // 2]",
    "by data": "def f(X[a, t]) -> [a, t] = X[t = t // (1 + int(sum[a, t](X > 9)))]",
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_read_otherwise(name: str) -> None:
    check_calls("at", OTHERWISE[name], {"X": X[0, :4]}, None)
    function = nl.compile(OTHERWISE[name])
    function(torch.tensor(X[0, :4]))
    assert not any(f"{kernel}(" in function.code for kernel in ("held", "each", "around")), function.code


REFUSED = {
    "beyond the last": (LONGER.format("s // 2"), 5, 11),
    "before the first": (LONGER.format("(s - 1) // 2"), 5, 3),
    "each no times": (LONGER.format("s // (|s| // |t|)"), 5, 3),
    "held, but there is nothing": (LONGER.format("clip(s, 0, |t| - 1)"), 0, 3),
    "again, but there is nothing": (LONGER.format("s % |t|"), 0, 3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_out_of_range_is_refused(name: str) -> None:
    text, size, count = REFUSED[name]
    f = nl.compile(text)
    x, b = torch.ones(3, size, 4), torch.ones(count)
    with pytest.raises(Exception) as refused:
        f(x, b)
    with pytest.raises(type(refused.value)):
        f.reference(x, b)


S = "index[s = 2 * |t|]"
WAYS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "held": (HELD.format("clip(t - 2, 0, |t| - 1)"), lambda x: torch.cat([x[:, :1], x[:, :1], x[:, :-2]], 1)),
    "each": (f"def f(X[a, t, b]) -> [a, s, b] = X[t = {S} // 2]", lambda x: x.repeat_interleave(2, 1)),
    "around": (f"def f(X[a, t, b]) -> [a, s, b] = X[t = {S} % |t|]", lambda x: x.repeat(1, 2, 1)),
}


@pytest.mark.parametrize("name", WAYS)
def test_of_every_type_and_layout(name: str) -> None:
    text, wanted = WAYS[name]
    for dtype in (torch.float64, torch.bfloat16, torch.int32, torch.complex64):
        for x in (torch.tensor(X).to(dtype), torch.tensor(X).to(dtype).transpose(0, 2)):
            torch.testing.assert_close(nl.compile(text)(x), wanted(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", WAYS)
def test_slopes_transforms_and_traces(name: str) -> None:
    text, wanted = WAYS[name]
    f = nl.compile(text)
    x = torch.tensor(X, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: f(x).sin(), x)
    assert torch.autograd.gradgradcheck(lambda x: f(x).sin(), x, fast_mode=True)
    several = torch.stack([x, 2 * x]).detach()
    torch.testing.assert_close(torch.func.vmap(f)(several), torch.stack([wanted(one) for one in several]))
    for got, other in zip(*(torch.func.jvp(one, (x.detach(),), (several[1],)) for one in (f, wanted)), strict=True):
        torch.testing.assert_close(got, other)
    torch._dynamo.reset()
    compiled = torch.compile(f, backend="aot_eager", fullgraph=True, dynamic=True)
    for size in (4, 3):
        torch.testing.assert_close(compiled(x[:, :size]), wanted(x[:, :size]))


class Held(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = nl.compile(WAYS["held"][0])(x)
        return result


def test_what_is_exported_reads_any_length() -> None:
    shapes = {"x": {1: torch.export.Dim("t", min=2, max=99)}}
    exported = torch.export.export(Held(), (torch.ones(3, 6, 4),), dynamic_shapes=shapes).module()
    for x in (torch.tensor(X), torch.tensor(X)[:, :2]):
        x = x.float()
        torch.testing.assert_close(exported(x), Held()(x))
