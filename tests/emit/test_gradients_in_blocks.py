"""Gradients of loops in blocks of steps: the same as of all steps at once, and little is held on the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from namedlayers.emit.loops import in_blocks
from namedlayers.inspect.passes import both as forward_and_backward
from namedlayers.inspect.timing import peak_bytes
from tests.emit.harness import tensors
from tests.emit.test_scan_gradients import NETWORKS, both, derivatives, given, leaves, zero
from tests.emit.test_scan_loops import HAZARDS, SCANS

FURTHER = {
    "gates of their own": (
        "def f(X[t, b, i], h0[b, h]; W[h', i], U[h', h], V[h', i], Y[h', h]) -> [t, b, h]:\n"
        "    scan t with h = h0:\n"
        "        z = sigmoid(W @[i] X + U @[h] h)[h' -> h]\n"
        "        n = tanh((V @[i] X)[h' -> h] + (Y @[h] (z * h))[h' -> h])\n"
        "        h = (1 - z) * h + z * n\n"
        "    return h",
        {"X": "t b i", "h0": "b h", "W": "h i", "U": "h h", "V": "h i", "Y": "h h"},
    ),
    "a carried value that nobody asks for": (
        "def f(X[t, b, h]; W[h', h]) -> [t, b, h]:\n"
        "    scan t with h = X[t = 0], c = 0:\n"
        "        c = sin(c + (W @[h] h)[h' -> h])\n        h = tanh(X * c) + h * c\n"
        "    return h",
        {"X": "t b h", "W": "h h"},
    ),
    "the last step alone": (
        "def f(X[t, b, h]; W[h', h]) -> [b, h]:\n"
        "    scan t with h = X[t = 0]:\n        h = tanh((W @[h] h)[h' -> h] + X)\n    return h[t = -1]",
        {"X": "t b h", "W": "h h"},
    ),
    "as many steps as columns": (
        "def f(X[t, h], M[t', h]; W[h', h]) -> [t, h]:\n"
        "    scan t with h = X[t = 0]:\n"
        "        h = tanh((W @[h] h)[h' -> h] + X) * mean[t'](sin(M * h))\n    return h",
        {"X": "t h", "M": "t h", "W": "h h"},
    ),
    "the number of steps": (
        "def f(X[t, h]; W[h', h]) -> [t, h]:\n"
        "    n = size[t](X)\n"
        "    scan t with h = X[t = 0]:\n        h = tanh((W @[h] h)[h' -> h] + X) / n\n    return h",
        {"X": "t h", "W": "h h"},
    ),
}
EVERY = {
    **NETWORKS, **FURTHER, **{name: SCANS[name] for name in ("one carry", "backwards", "two carries", "the last step")},
    **HAZARDS,
}  # fmt: skip


@pytest.fixture(params=(1, 3))
def length(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many steps are a block."""
    monkeypatch.setattr(in_blocks, "_length", lambda *given: request.param)
    return int(request.param)


@pytest.mark.parametrize("name", EVERY)
def test_blocks_are_the_whole(name: str, length: int) -> None:
    text, inputs = EVERY[name]
    text = text.replace("max[h](h) + min[h](c)", "sum[h](h) * c")
    made, plain = both(text, given(inputs, t=7))
    found, expected = (derivatives(one, leaves(one, given(inputs, t=7))) for one in (made, plain))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(zero(one), zero(other), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ("minimal gated unit", "four gates", "a carried value that nobody asks for"))
def test_the_operator_goes_by_blocks_too(name: str, length: int) -> None:
    text, inputs = EVERY[name]
    made, plain = both(text, given(inputs, t=7))
    quick = torch.compile(made.function, fullgraph=True, dynamic=True, backend="aot_eager")
    found = []
    for function in (quick, plain.function):
        args = leaves(made, given(inputs, t=7))
        results = function(*args)
        total: Any = sum(one.sin().sum() for one in (results if isinstance(results, tuple) else (results,)))
        found.append(torch.autograd.grad(total, args))
    torch.testing.assert_close(*found)


def test_what_is_kept_is_written_over_only_when_torch_lets_go_of_it(length: int) -> None:
    text, inputs = FURTHER["gates of their own"]
    made, plain = both(text, given(inputs, t=7))
    assert any(record.owned for record in _records(made))
    args = leaves(made, given(inputs, t=7))
    value = made.function(*args).sin().sum()
    first = torch.autograd.grad(value, args, retain_graph=True)
    again = torch.autograd.grad(value, args, create_graph=True)
    last = torch.autograd.grad(value, args)  # writes over it
    expected = torch.autograd.grad(plain.function(*args).sin().sum(), args)
    for found in (first, again, last):
        torch.testing.assert_close(found, expected)


def test_little_is_held_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside what is kept, values are as long as a block."""
    text, inputs = FURTHER["gates of their own"]
    arrays = given(inputs, t=128, b=64, h=32)
    made, _ = both(text, arrays)
    call = forward_and_backward(made.function, tensors(made, arrays))
    held = peak_bytes(call)
    monkeypatch.setattr(in_blocks, "_length", lambda steps, sequences: steps)
    assert held < 0.75 * peak_bytes(call)


def _records(made: Any) -> list[Any]:
    from namedlayers.emit.loops.recorded import Record

    functions = [one for one in made.function.__globals__.values() if hasattr(one, "__globals__")]
    return [one for function in functions for one in function.__globals__.values() if isinstance(one, Record)]


def test_products_that_nobody_asks_for_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where weights are frozen, what comes back to the other inputs is as it was."""
    text, inputs = FURTHER["gates of their own"]
    made, plain = both(text, given(inputs, t=7))
    (record,) = (record for record in _records(made) if record.after is not None)
    calls: list[int] = []
    function = record.after
    object.__setattr__(record, "after", lambda *args: calls.append(1) or function(*args))
    args = leaves(made, given(inputs, t=7))
    for frozen in (False, True):
        asked = [one for one in args if not frozen or one.dim() == 3]
        for one in args:
            one.requires_grad_(any(one is other for other in asked))
        found, expected = (
            torch.autograd.grad(one(*args).sin().sum(), asked) for one in (made.function, plain.function)
        )
        torch.testing.assert_close(found, expected)
        assert len(calls) == 2, "of the first step, and of all others"
