"""States that are outer products, read by queries: in blocks of steps they are what they are step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.build import build
from namedlayers.emit.kernels import outer_states as kernel
from namedlayers.emit.loops import by_stretches
from namedlayers.inspect.timing import peak_bytes
from namedlayers.plan.planner import plan
from namedlayers.program.numbering import number
from tests.emit.harness import agree, program_of

A_SCAN = "    scan t with S = zeros[h, n, p]:\n        S = {}\n    return {}"
FORMULAS: dict[str, tuple[str, dict[str, str]]] = {
    "one factor a head": (
        "def f(a[t, h], k[t, h, n], q[t, h, n], v[t, h, p]) -> [t, h, p]:\n"
        + A_SCAN.format("a * S + k * v", "q @[n] S"),
        {"a": "t h", "k": "t h n", "q": "t h n", "v": "t h p"},
    ),
    "Mamba-2": (
        "def f(d[b, t, h], A[h], B[b, t, n], C[b, t, n], X[b, t, h, p], D[h]) -> [b, t, h, p]:\n"
        "    scan t with S = 0:\n        S = exp(-d * exp(A)) * S + d * B * X\n        Y = C @[n] S + D * X\n"
        "    return Y * silu(X)",
        {"d": "b t h", "A": "h", "B": "b t n", "C": "b t n", "X": "b t h p", "D": "h"},
    ),
    "retention": (
        "def f(k[t, h, n], q[t, h, n], v[t, h, p]; g[h]) -> [t, h, p]:\n"
        + A_SCAN.format("sigmoid(g) * S + v * k", "S @[n] q / sqrt(|n|)"),
        {"k": "t h n", "q": "t h n", "v": "t h p", "g": "h"},
    ),
    "from a state to the last one": (
        "def f(a[t], k[t, n], q[t, n], v[t, p], S0[n, p]) -> [t, p], [p, n]:\n"
        "    scan t with S = S0:\n        S = a * S + (1 - a) * k * v\n    return q @[n] S, 2 * S[t = |t| - 1]",
        {"a": "t", "k": "t n", "q": "t n", "v": "t p", "S0": "n p"},
    ),
    "backwards, to the last one": (
        "def f(a[h, t], k[t, h, n], q[n, t], v[p, t, h], S0[p, h, n]) -> [h, t, p], [h, n, p]:\n"
        "    scan t reversed with S = S0:\n        S = k * v + S * a\n    return sum[n](q * S), S[t = 0]",
        {"a": "h t", "k": "t h n", "q": "n t", "v": "p t h", "S0": "p h n"},
    ),
    "keys and values of two axes": (
        "def f(a[t], k[t, n, m], q[m, t, n], v[t, p, h]) -> [t, h, p]:\n"
        "    scan t with S = 0:\n        S = a * S + k * v\n    return q @[n, m] S",
        {"a": "t", "k": "t n m", "q": "m t n", "v": "t p h"},
    ),
    "values that heads share": (
        "def f(a[h, t], k[t, n], q[t, n], v[t, p]) -> [t, h, p]:\n" + A_SCAN.format("a * S + k * v", "q @[n] S"),
        {"a": "h t", "k": "t n", "q": "t n", "v": "t p"},
    ),
}
SUMS: dict[str, tuple[str, dict[str, str]]] = {
    "a sum": (
        "def f(k[t, h, n], q[t, h, n], v[t, h, p]) -> [t, h, p]:\n" + A_SCAN.format("S + k * v", "q @[n] S"),
        {"k": "t h n", "q": "t h n", "v": "t h p"},
    ),
    "a sum, normed": (
        "def f(k[t, n], q[t, n], v[t, p]) -> [t, p]:\n"
        "    scan t with S = 0, Z = 0:\n        S = S + exp(k) * v\n        Z = Z + exp(k)\n"
        "    return (exp(q) @[n] S) / (exp(q) @[n] Z)",
        {"k": "t n", "q": "t n", "v": "t p"},
    ),
    "a sum, from a state to the last one": (
        "def f(k[h, t, n], q[t, n], v[t, p, h], S0[h, n, p]) -> [t, p, h], [p, h, n]:\n"
        "    scan t with S = S0:\n        S = S + k * v\n    return q @[n] S, 2 * S[t = |t| - 1]",
        {"k": "h t n", "q": "t n", "v": "t p h", "S0": "h n p"},
    ),
}
FORMULAS |= SUMS
TOLD = "outer products that are read as sums: in blocks"
SIZES = {"t": 9, "h": 2, "n": 3, "p": 2, "b": 2, "m": 2}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of few steps, always."""
    monkeypatch.setattr(kernel, "BLOCK", 4)
    monkeypatch.setattr(kernel, "SHORT", 2)
    in_blocks(monkeypatch, True)


def in_blocks(monkeypatch: pytest.MonkeyPatch, so: bool) -> None:
    monkeypatch.setattr(kernel, "TOGETHER", 1 if so else 1 << 40)
    monkeypatch.setattr(kernel, "EACH", 0)


def given(inputs: dict[str, str], **sizes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(len(inputs))
    known = SIZES | sizes
    found = {key: rng.standard_normal([known[a] for a in axes.split()]) for key, axes in inputs.items()}
    if "a" in found and found["a"].size > 2:
        found["a"].flat[2] = 0  # the others have both signs
    return found


def called(name: str, **sizes: int) -> tuple[Any, list[Tensor]]:
    text, inputs = FORMULAS[name]
    return nl.compile(text), [torch.from_numpy(one) for one in given(inputs, **sizes).values()]


def total(found: Any) -> Tensor:
    listed = found if isinstance(found, tuple) else (found,)
    return sum((one * torch.arange(1.0, one.numel() + 1).view_as(one)).sin().sum() for one in listed)  # type: ignore[return-value]


def derivatives(formula: Any, args: list[Tensor]) -> list[Tensor]:
    """First and second ones."""
    args = [one.clone().requires_grad_() for one in args]
    first = torch.autograd.grad(total(formula(*args)), args, create_graph=True)
    outer: Any = sum(one.sin().sum() for one in first)
    return [*first, *torch.autograd.grad(outer, args)]


EDGES = ({}, {"t": 1}, {"t": 8}, {"n": 1}, {"p": 1}, {"h": 1}, {"p": 0}, {"n": 0})


@pytest.mark.parametrize("name", FORMULAS)
def test_values_for_all_sizes(name: str) -> None:
    text, inputs = FORMULAS[name]
    for sizes in EDGES:
        arrays = given(inputs, **sizes)
        program = program_of(text, arrays)
        made = build(program, plan(number(program)))
        assert ("outer_sums(" if name in SUMS else "in_blocks=") in made.code
        agree(made, arrays)
    assert TOLD in str(nl.compile(text).explain())


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_are_those_of_single_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, args = called(name)
    found = derivatives(formula, args)
    in_blocks(monkeypatch, False)
    torch.testing.assert_close(found, derivatives(formula, args))


@pytest.mark.parametrize("number", [torch.inf, torch.nan, 1e200])
@pytest.mark.parametrize("name", FORMULAS)
def test_what_is_infinite_stays_where_it_is(name: str, number: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step gets anything of later ones."""
    formula, args = called(name)
    for one in args:
        one.flatten()[one.numel() // 2] = number
    found = formula(*args)
    in_blocks(monkeypatch, False)
    torch.testing.assert_close(found, formula(*args), equal_nan=True)


def test_products_of_factors_that_are_too_large_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    formula, args = called("one factor a head", t=4)
    factor, key, *_ = args
    factor[:], key[:] = 1e200, 0
    assert formula(*args).eq(0).all()


@pytest.mark.parametrize("name", ["from a state to the last one", "backwards, to the last one"])
def test_long_sequences_go_by_stretches_of_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    formula, args = called(name, t=11)
    expected = formula(*args)
    monkeypatch.setattr(by_stretches, "PAIRS", 0)
    torch.testing.assert_close(formula(*args), expected)


@pytest.mark.parametrize("name", ["Mamba-2", "from a state to the last one", "a sum, from a state to the last one"])
def test_transforms_and_tracing(name: str) -> None:
    formula, args = called(name)
    many = [torch.stack([one, 2 * one]) for one in args]
    found = torch.func.vmap(lambda *x: total(formula(*x)))(*many)
    torch.testing.assert_close(found, torch.stack([total(formula(*(one[k] for one in many))) for k in (0, 1)]))
    quick = torch.compile(formula, fullgraph=True, dynamic=True, backend="aot_eager")
    torch.testing.assert_close(quick(*args), formula(*args))
    leaves = [one.requires_grad_() for one in args]
    found = torch.autograd.grad(total(quick(*leaves)), leaves)
    torch.testing.assert_close(found, torch.autograd.grad(total(formula(*leaves)), leaves))


def test_precisions() -> None:
    formula, args = called("one factor a head")
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        found = formula(*(one.to(dtype) for one in args))
        assert found.dtype is dtype
        torch.testing.assert_close(found.double(), formula(*args), atol=0.3 if dtype.itemsize == 2 else 1e-5, rtol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert formula(*(one.float() for one in args)).dtype is torch.bfloat16


def test_of_factors_and_states_nothing_is_held_for_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "BLOCK", 64)
    formula, args = called("one factor a head", t=512, n=64, p=64)
    leaves = [one.requires_grad_() for one in args]
    states = 512 * 2 * 64 * 64 * 8
    assert peak_bytes(lambda: torch.autograd.grad(formula(*leaves).sum(), leaves)) < states / 2


NONE = {
    "a function of sums": ("a[t], k[t, h, n], q[t, h, n], v[t, h, p]", "S + k * v", "q @[n] tanh(S)"),
    "all sums": ("a[t], k[t, h, n], q[t, h, n], v[t, h, p]", "S + k * v", "q @[n] S, S"),
    "factors of features": ("a[t, h, n], k[t, h, n], q[t, h, n], v[t, h, p]", "a * S + k * v", "q @[n] S"),
    "factors of values": ("a[t, h, p], k[t, h, n], q[t, h, n], v[t, h, p]", "a * S + k * v", "q @[n] S"),
    "no product": ("a[t, h], k[t, h, n], q[t, h, n], v[t, h, p]", "a * S + (k + v)", "q @[n] S"),
    "all states": ("a[t, h], k[t, h, n], q[t, h, n], v[t, h, p]", "a * S + k * v", "q @[n] S, S"),
    "a function of the states": ("a[t, h], k[t, h, n], q[t, h, n], v[t, h, p]", "a * S + k * v", "q @[n] tanh(S)"),
    "read by values, too": ("a[t, h], k[t, h, n], q[t, h, n, p], v[t, h, p]", "a * S + k * v", "q @[n] S"),
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_such_state(name: str) -> None:
    signature, update, read = NONE[name]
    results = "[t, h, p]" + (", [t, h, n, p]" if ", S" in read else "")
    formula = nl.compile(f"def f({signature}) -> {results}:\n" + A_SCAN.format(update, read))
    axes = [one.split("]")[0] for one in signature.split("[")[1:]]
    formula(*(torch.rand([SIZES[a] for a in one.split(", ")]) for one in axes))
    assert "in_blocks=" not in formula.code and "outer_sums(" not in formula.code
    assert TOLD not in str(formula.explain())
