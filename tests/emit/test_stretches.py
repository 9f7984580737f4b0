"""Linear recurrences by stretches of steps, with what is made for them and of them: as all steps at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.build import build
from namedlayers.emit.loops import by_stretches, stretches
from namedlayers.inspect.timing import peak_bytes
from namedlayers.plan.planner import plan
from namedlayers.program.numbering import number
from tests.emit.harness import agree, program_of

CALL = "by_stretches(along_"
JOINT_CALL = "after_loop(scan_"

FORMULAS: dict[str, tuple[str, dict[str, str]]] = {
    "selective state space": (
        "def f(X[t, c], d[t, c], A[c, s], B[t, s], C[t, s]) -> [t, c]:\n"
        "    scan t with h = zeros[c, s]:\n"
        "        h = exp(d * A) * h + d * X * B\n        y = C @[s] h\n    return y",
        {"X": "t c", "d": "t c", "A": "c s", "B": "t s", "C": "t s"},
    ),
    "backwards, from a given state, in a batch": (
        "def f(X[b, t, c], A[c], h0[b, c], D[c]) -> [b, t, c]:\n"
        "    scan t reversed with h = h0:\n        h = sigmoid(A * X) * h + sin(X)\n    return h * D + X",
        {"X": "b t c", "A": "c", "h0": "b c", "D": "c"},
    ),
    "states that are wanted themselves": (
        "def f(X[t, c], A[c], C[t, c]) -> [t, c], [t]:\n"
        "    scan t with h = 1:\n        h = tanh(A * X) * h + X\n    return h, C @[c] h",
        {"X": "t c", "A": "c", "C": "t c"},
    ),
    "the last state": (
        "def f(X[t, c], A[c]) -> [t, c], [c]:\n"
        "    scan t with h = 1:\n        h = tanh(A * X) * h + X\n    return exp(h), h[t = -1]",
        {"X": "t c", "A": "c"},
    ),
    "two, one after the other": (
        "def f(X[t, c], A[c], C[c]) -> [t]:\n"
        "    scan t with h = 0, g = 0:\n"
        "        h = tanh(A * X) * h + X\n        g = sigmoid(X) * g + sin(h)\n"
        "    return C @[c] g",
        {"X": "t c", "A": "c", "C": "c"},
    ),
    "steps that are read in two ways": (
        "def f(X[t, c], W[t, c]) -> [t, c]:\n"
        "    V = sum[t](W)\n    scan t with h = 0:\n        h = exp(X) * h + V * X\n"
        "    return sin(h) * W",
        {"X": "t c", "W": "t c"},
    ),
    "places": (
        "def f(X[t, c]) -> [t, c]:\n"
        "    scan t with h = 0:\n        h = exp(-X * X) * h + X\n    return sin(h) * index[t]",
        {"X": "t c"},
    ),
    "integers and reals": (
        "def f(X[t, c], n[t]) -> [t, c]:\n"
        "    scan t with h = 0:\n        h = exp(-X * X) * h + X * n\n    return sin(h)",
        {"X": "t c", "n": "t"},
    ),
}
FORMULAS |= {
    "states that lie otherwise than what they are made of": (
        "def f(a[t, s], k[t, s], v[t, c], q[t, s]) -> [t, c]:\n"
        "    scan t with h = zeros[c, s]:\n        h = sigmoid(a) * h + k * v\n        y = q @[s] h\n    return y",
        {"a": "t s", "k": "t s", "v": "t c", "q": "t s"},
    ),
    "states of each channel in a batch, from given ones": (
        "def f(X[b, t, c], d[b, t, c], A[c, s], B[b, t, s], C[b, t, s], h0[b, c, s]) -> [b, t, c]:\n"
        "    scan t with h = h0:\n        h = exp(d * A) * h + d * X * B\n    return C @[s] h + X",
        {"X": "b t c", "d": "b t c", "A": "c s", "B": "b t s", "C": "b t s", "h0": "b c s"},
    ),
    "states of each channel of several heads": (
        "def f(X[t, b, c], d[t, b], A[b, s], B[t, s], C[t, s], D[s]) -> [t, b, c]:\n"
        "    scan t with h = zeros[b, c, s]:\n        h = exp(d * A) * h + X * B * D\n    return C @[s] h",
        {"X": "t b c", "d": "t b", "A": "b s", "B": "t s", "C": "t s", "D": "s"},
    ),
    "means of the state and something new": (
        "def f(X[b, t, c], W[t, c], h0[b, c], D[c]) -> [b, t, c], [t, b, c]:\n"
        "    scan t with h = h0, g = 1:\n"
        "        z = sigmoid(X)\n        h = (1 - z) * h + z * tanh(W)\n        k = sigmoid(W * X)\n"
        "        g = D * g\n        g = g + k * (h - g)\n    return h, sin(g)",
        {"X": "b t c", "W": "t c", "h0": "b c", "D": "c"},
    ),
    "behind a loop": (
        "def f(X[t, b, c], m0[b, c], v0[b, c]; a[c], q[c]) -> [t, b, c]:\n"
        "    scan t with m = m0, v = v0:\n"
        "        m = a * m\n        v = a * a * v + exp(q)\n        k = v / (v + 1)\n"
        "        m = m + k * (X - m)\n        v = (1 - k) * v\n    return m",
        {"X": "t b c", "m0": "b c", "v0": "b c", "a": "c", "q": "c"},
    ),
    "behind a loop that goes backwards through a batch, states of more axes": (
        "def f(X[b, t, c], W[c', c], K[b, t, s]) -> [b, t, c], [t, b]:\n"
        "    scan t reversed with h = zeros[c], g = 0:\n"
        "        h = tanh(W @[c] h + X[c -> c'])[c' -> c]\n        g = sigmoid(K) * g + h * K\n"
        "        y = K @[s] g\n    return y * X, sum[c](y)",
        {"X": "b t c", "W": "c c", "K": "b t s"},
    ),
    "behind a loop that is wanted itself": (
        "def f(X[t, c]) -> [t, c], [t, c]:\n"
        "    scan t with h = 0, g = 1:\n"
        "        h = tanh(h * h + X)\n        g = sigmoid(h) * g + X\n    return g, h",
        {"X": "t c"},
    ),
}
JOINT = ("behind a loop", "behind a loop that goes backwards through a batch, states of more axes")
SIZES = {"t": 7, "c": 3, "s": 2, "b": 2}


def given(inputs: dict[str, str], **sizes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(len(inputs))
    known = SIZES | sizes
    found = {key: 0.5 * rng.standard_normal([known[a] for a in axes.split()]) for key, axes in inputs.items()}
    return found | ({"n": np.arange(known["t"])} if "n" in inputs else {})


@pytest.fixture(params=(stretches.CALL, 0), ids=("together", "one by one"))
def wide(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled takes so many states for many, in the time of a call."""
    monkeypatch.setattr(stretches, "CALL", request.param)


@pytest.fixture(params=(1, 3))
def short(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many steps are a stretch, with and without gradients."""
    monkeypatch.setattr(by_stretches, "SHORTEST", request.param)
    monkeypatch.setattr(by_stretches, "STRETCH", 1)
    monkeypatch.setattr(by_stretches, "LARGE", 0)
    monkeypatch.setattr(by_stretches, "LARGE_OF_FEW", 0)
    return int(request.param)


def called(name: str, **sizes: int) -> tuple[Any, list[Tensor]]:
    text, inputs = FORMULAS[name]
    formula = nl.compile(text)
    return formula, [torch.from_numpy(one) for one in given(inputs, **sizes).values()]


def learned(args: list[Tensor]) -> list[Tensor]:
    return [one.clone().requires_grad_(one.is_floating_point()) for one in args]


def total(found: Any) -> Tensor:
    listed = found if isinstance(found, tuple) else (found,)
    return sum((one * torch.arange(1.0, one.numel() + 1).view_as(one)).sin().sum() for one in listed)  # type: ignore[return-value]


def derivatives(formula: Any, args: list[Tensor]) -> list[Tensor]:
    """First and second ones."""
    wanted = [one for one in args if one.requires_grad]
    first = torch.autograd.grad(total(formula(*args)), wanted)
    again = torch.autograd.grad(total(formula(*args)), wanted, create_graph=True)
    torch.testing.assert_close(again, first)
    outer: Any = sum(one.sin().sum() for one in again)
    return [*first, *torch.autograd.grad(outer, wanted)]


EDGES = tuple((name, sizes) for name in FORMULAS for sizes in ({}, {"t": 1}, {"t": 0}, {"c": 0}, {"c": 1}))


@pytest.mark.parametrize("length, call", [(1, stretches.CALL), (3, stretches.CALL), (1, 0)], ids=str)
@pytest.mark.parametrize("name, sizes", [one for one in EDGES if one != ("the last state", {"t": 0})], ids=str)
def test_values(name: str, sizes: dict[str, int], length: int, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By stretches of so many steps; where a call takes no time, step by step in place."""
    monkeypatch.setattr(by_stretches, "SHORTEST", length)
    monkeypatch.setattr(by_stretches, "STRETCH", 1)
    monkeypatch.setattr(stretches, "CALL", call)
    text, inputs = FORMULAS[name]
    arrays = given(inputs, **sizes)
    program = program_of(text, arrays)
    made = build(program, plan(number(program)))
    assert (JOINT_CALL if name in JOINT else CALL) in made.code
    agree(made, arrays)


@pytest.mark.parametrize("name, loop", [
    ("means of the state and something new", "along_t_in_place"), ("behind a loop", "step_joint_in_place"),
])  # fmt: skip
def test_a_mean_of_the_state_and_something_new_is_one_call(name: str, loop: str) -> None:
    formula, args = called(name)
    formula(*args)
    _, _, code = formula.code.partition(f"def {loop}(")
    _, _, steps = code.partition("\n\n\n")[0].partition("\n    for ")
    assert steps.count("torch.lerp(") == 1


@pytest.mark.parametrize(
    ("name", "lies"),
    [
        ("selective state space", "state[s, c]"),
        ("states of each channel in a batch, from given ones", "state[b, s, c]"),
        ("states of each channel of several heads", "state[s, b, c]"),
        ("states that lie otherwise than what they are made of", "state[s, c]"),
        ("states that are wanted themselves", "state[c]"),
        ("two, one after the other", "state[c]"),
    ],
)
def test_axes_of_states_that_are_summed_away_do_not_come_last(name: str, lies: str) -> None:
    head = next(line for line in called(name)[0].code.splitlines() if line.startswith("def along_"))
    assert lies in head, head


def test_steps_of_more_calls_take_more_states_to_be_quicker() -> None:
    least, works = [], []
    for name in ("means of the state and something new", "selective state space"):
        formula, args = called(name)
        formula(*args)
        (call, *_) = [line for line in formula.code.splitlines() if CALL in line]
        wide, work = call.partition("  #")[0].removesuffix(")").split(", ")[-2:]
        least.append(int(wide))
        works.append(int(work))
    assert 0 < least[0] < least[1] < stretches.CALL
    assert min(works) > by_stretches.SCAN  # curves count as several calls


def test_threads_share_a_stretch_but_no_small_step(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for threads in (1, 2, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found[threads] = [by_stretches.quicker(4096, 2048, work) for work in (1, 9)]
        assert by_stretches.quicker(by_stretches.GRAIN, 2048, 9) and not by_stretches.quicker(2047, 2048, 1)
    assert found == {1: [True, True], 2: [True, False], 64: [False, False]}


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives(name: str, short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, args = called(name)
    found = derivatives(formula, learned(args))
    monkeypatch.setattr(by_stretches, "SHORTEST", 100)
    torch.testing.assert_close(found, derivatives(formula, learned(args)))


@pytest.mark.parametrize("name", FORMULAS)
def test_infinite_values_and_such_as_are_none(name: str, wide: None) -> None:
    """Single steps meet them as all steps at once do."""
    formula, args = called(name, t=5)
    numbers = [one for one in args if one.is_floating_point()]
    for one in numbers:
        one.flatten()[0] = torch.nan
    found, expected = formula(*args), formula(*learned(args))
    torch.testing.assert_close(found, expected, equal_nan=True)


@pytest.mark.parametrize("wanted", range(5))
def test_the_derivative_of_one_argument_only(wanted: int, short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, args = called("selective state space")
    args[wanted].requires_grad_()
    found = derivatives(formula, args)
    monkeypatch.setattr(by_stretches, "SHORTEST", 100)
    torch.testing.assert_close(found, derivatives(formula, args))


@pytest.mark.parametrize("name", ["selective state space", *JOINT])
def test_transforms_of_torch_func(name: str, short: int) -> None:
    formula, args = called(name)
    every = tuple(range(len(args)))
    expected = torch.autograd.grad(total(formula(*(leaves := learned(args)))), leaves)
    derived = torch.func.grad(lambda *x: total(formula(*x)), every)
    torch.testing.assert_close(derived(*args), expected)
    many = [torch.stack([one, 2 * one]) for one in args]
    torch.testing.assert_close(torch.func.vmap(derived)(*many), tuple(
        torch.stack(pair) for pair in zip(*(derived(*(one[k] for one in many)) for k in (0, 1)), strict=True)
    ))  # fmt: skip


@pytest.mark.parametrize("short", [3], indirect=True)  # a compiler takes long, and sees no other code for others
@pytest.mark.parametrize("name", ["selective state space", *JOINT])
def test_compiled(name: str, short: int) -> None:
    formula, args = called(name)
    quick = torch.compile(formula, fullgraph=True, dynamic=True, backend="aot_eager")
    leaves = learned(args)
    torch.testing.assert_close(quick(*args), formula(*args))
    torch.testing.assert_close(
        torch.autograd.grad(total(quick(*leaves)), leaves), torch.autograd.grad(total(formula(*leaves)), leaves)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_precisions(dtype: torch.dtype, short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, args = called("selective state space", t=40)
    args = [one.to(dtype) for one in args]
    found = formula(*args)
    with torch.autocast("cpu", torch.bfloat16):
        assert formula(*args).isfinite().all()
    monkeypatch.setattr(by_stretches, "SHORTEST", 100)
    assert found.dtype is dtype
    torch.testing.assert_close(found, formula(*args))


def test_products_and_factors_are_never_there_for_all_steps() -> None:
    text, inputs = FORMULAS["selective state space"]
    formula = nl.compile(text)
    args = [torch.from_numpy(one) for one in given(inputs, t=2048, c=256, s=16).values()]
    assert by_stretches.made_twice(len(args[0]), 256 * 16)
    states = 2048 * 256 * 16 * args[0].element_size()
    assert peak_bytes(lambda: formula(*args)) < states / 4
    leaves = learned(args)
    assert peak_bytes(lambda: torch.autograd.grad(formula(*leaves).sum(), leaves)) < states / 2


NONE = {
    "nothing but the recurrence": (
        "def f(a[t, c], b[t, c]) -> [t, c]:\n    scan t with h = 0:\n        h = a * h + b\n    return h"
    ),
    "the number of steps": (
        "def f(a[t, c], b[t, c]) -> [t, c]:\n"
        "    n = size[t](a)\n    scan t with h = 0:\n        h = exp(a / n) * h + b\n    return h"
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_where_a_stretch_would_not_be_the_same_or_gain_nothing(name: str) -> None:
    formula = nl.compile(NONE[name])
    args = [torch.rand(4, 4), torch.rand(4, 4)]
    assert formula(*args).shape == (4, 4)
    assert CALL not in formula.code
