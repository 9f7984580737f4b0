"""Loops under `backend="inductor"`: one compiled function of all steps, which gives what the generated Python gives."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.loops.compiled_loops import Compiled, Quick
from namedlayers.emit.loops.compiled_steps import tanh

GATED = """
def gated(X[time, batch, input], h0[batch, hidden]; W[hidden', input], U[hidden', hidden], u[hidden]
) -> [time, batch, hidden]:
    scan time with h = h0:
        f = sigmoid(W @[input] X + U @[hidden] h)[hidden' -> hidden]
        h = tanh((1 - f) * h + u * f)
    return h
"""
FORMULAS = {
    "products": (GATED, ["time 3 2", "3 4", "4 2", "4 4", "4"]),
    "backwards, several values": ("""
def oscillator(X[time, chan], y0[chan], z0[chan]) -> [time, chan], [time, chan]:
    scan time reversed with y = y0, z = z0:
        z = z + 0.1 * (tanh(X * y) - z)
        y = y + 0.1 * sin(z)
    return y * z, z
""", ["time 5", "5", "5"]),
    "no sequence": ("""
def variance(X[time], v0[chan], r[chan]) -> [time, chan]:
    scan time with v = v0:
        v = v * v + 0.1
        v = v * r / (v + r)
    return v + 0 * X
""", ["time", "5", "5"]),
}  # fmt: skip


def made(shapes: list[str], time: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(time)
    sizes = [[time if axis == "time" else int(axis) for axis in one.split()] for one in shapes]
    return [torch.rand(size, dtype=dtype) for size in sizes]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each loop that was to run as one compiled function did."""
    found: list[bool] = []
    plain = Compiled.run

    def told(self: Compiled, *args: object) -> object:
        made = plain(self, *args)  # type: ignore[arg-type]
        found.append(made is not None)
        return made

    monkeypatch.setattr(Compiled, "run", told)
    return found


@pytest.mark.parametrize("name", FORMULAS)
def test_a_compiled_loop_gives_the_same_for_any_number_of_steps(name: str, runs: list[bool]) -> None:
    text, shapes = FORMULAS[name]
    plain, compiled = nl.compile(text), nl.compile(text, backend="inductor")
    for time in (4, 9, 1, 0):
        args = made(shapes, time)
        torch.testing.assert_close(compiled(*args), plain(*args))
    assert runs == [True, True]


def test_numbers_of_steps_share_what_is_compiled() -> None:
    compiled = nl.compile(GATED.replace("gated", "gated_again"), backend="inductor")
    shapes = FORMULAS["products"][1]
    compiled(*made(shapes, 3))
    compiled(*made(shapes, 4))
    torch._dynamo.utils.counters.clear()
    for time in (5, 6, 17):
        compiled(*made(shapes, time))
    assert not torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_what_is_compiled_is_shown_and_short_steps_are_not() -> None:
    assert "def compiled_step(" in nl.compile(GATED, backend="inductor").code
    assert "def compiled_step(" not in nl.compile(GATED).code
    short = "def short(X[t, i]; u[i]) -> [t, i]:\n  scan t with h = zeros[i]:\n    h = tanh(u * h + X)\n  return h"
    assert "def compiled_step(" not in nl.compile(short, backend="inductor").code


def test_gradients_through_a_compiled_loop() -> None:
    text, shapes = FORMULAS["products"]
    plain, compiled = nl.compile(text), nl.compile(text, backend="inductor")
    args = [one.requires_grad_() for one in made(shapes, 6)]
    found = [torch.autograd.grad(one(*args).square().sum(), args) for one in (plain, compiled)]
    torch.testing.assert_close(*found)


def test_what_could_not_be_compiled_runs_in_place_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        torch._dynamo.graph_break()

    monkeypatch.setattr(import_module("torch._higher_order_ops.scan"), "scan", broken)
    text, shapes = GATED.replace("gated", "broken").replace("1 - f", "0.9 - f"), FORMULAS["products"][1]
    plain, compiled = nl.compile(text), nl.compile(text, backend="inductor")
    args = made(shapes, 4)
    torch.testing.assert_close(compiled(*args), plain(*args))
    assert "could not compile" not in plain.explain()
    told = compiled.explain().partition("What the inductor could not compile")[2]
    assert "`step`: Unsupported: Call to `torch._dynamo.graph_break()`" in told


def test_a_function_that_cannot_be_compiled_runs_as_it_is_and_tells_why() -> None:
    def breaking(x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return 2 * x

    good, bad = Quick(lambda x: 2 * x), Quick(breaking)
    x = torch.rand(3)
    for _ in range(2):
        torch.testing.assert_close([good(x), bad(x)], [2 * x, 2 * x])
    assert good.failure == ""
    assert bad.failure.startswith("Unsupported: ")


def test_the_tangent_for_the_compiler() -> None:
    x = torch.cat([torch.linspace(-scale, scale, 10001) for scale in (1e-6, 0.01, 0.7, 3.0, 100.0)])
    torch.testing.assert_close(tanh(x).double(), torch.tanh(x.double()), rtol=3e-7, atol=0.0)
    odd = torch.tensor([torch.inf, -torch.inf, torch.nan, -0.0])
    assert tanh(odd)[:2].tolist() == [1.0, -1.0]
    assert tanh(odd)[2].isnan()
    assert str(tanh(odd)[3].item()) == "-0.0"
    assert tanh(odd.double()).dtype is torch.float64
