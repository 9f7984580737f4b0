"""Layers made of random parts compute what their parts compute one after the other, and write the same states."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import namedlayers as nl

PARTS = """
layer Linear[a -> b](X[a]; bias = True) -> [b]:
    param W[b, a] ~ kaiming_uniform(a)
    Y = W @[a] X
    if bias:
        param b[b] ~ uniform(-1, 1)
        Y = Y + b
    return Y

layer Norm[*ax](X[*ax]; eps = 1e-3) -> [*ax]:
    param gamma[*ax] ~ uniform(0.5, 1.5)
    return gamma * (X - mean[*ax](X)) / sqrt(var[*ax](X) + eps)

layer Running[batch, chans](X[batch, chans]; momentum = 0.5) -> [batch, chans]:
    state middle[chans] ~ zeros
    state count[] ~ 0
    m = middle
    if training:
        m = mean[batch](X)
        middle = momentum * middle + (1 - momentum) * m
        count = count + 1
    return X - m
"""

Apply = Callable[[nn.Module, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Step:
    """Lines of a body, and what they do, by calling the parts of a module."""

    lines: tuple[str, ...]
    apply: Apply


Make = Callable[[str], Step]
"""A step, from what tells its names from those of others."""


def linear(k: str, uses: int, bias: bool) -> Step:
    def apply(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        for _ in range(uses):
            x = module.get_submodule(f"l{k}")(x)
        return x

    use = f"X = l{k}(X)[w' -> w]"
    return Step((f"l{k} = Linear[w -> w' = |w|; bias = {bias}]", *[use] * uses), apply)


def norm(k: str, eps: float) -> Step:
    return Step((f"n{k} = Norm[w; eps = {eps}]", f"X = n{k}(X)"), lambda module, x: module.get_submodule(f"n{k}")(x))


def running(k: str, momentum: float) -> Step:
    return Step(
        (f"r{k} = Running[n, w; momentum = {momentum}]", f"X = r{k}(X)"),
        lambda module, x: module.get_submodule(f"r{k}")(x),
    )


def scale(k: str) -> Step:
    return Step((f"param s{k}[w] ~ uniform", f"X = s{k} * X"), lambda module, x: module.get_parameter(f"s{k}") * x)


def repeated(k: str, rounds: int, body: list[Make]) -> Step:
    inner = made(body, f"{k}_")

    def apply(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        for block in module.get_submodule(f"b{k}").children():
            for step in inner:
                x = x + step.apply(block, x)
        return x

    lines = [line for step in inner for line in ("Z = X", *step.lines, "X = Z + X")]
    return Step((f"repeat {rounds} as b{k}:", *(f"    {line}" for line in lines)), apply)


def made(makes: list[Make], prefix: str = "") -> tuple[Step, ...]:
    return tuple(make(f"{prefix}{k}") for k, make in enumerate(makes))


def steps(depth: int = 1) -> st.SearchStrategy[list[Make]]:
    """Some steps; blocks are nested so deep."""
    halves = st.sampled_from([0.25, 0.5])
    makers = [
        st.builds(lambda uses, bias: lambda k: linear(k, uses, bias), st.integers(1, 2), st.booleans()),
        st.builds(lambda eps: lambda k: norm(k, eps), halves),
        st.builds(lambda momentum: lambda k: running(k, momentum), halves),
        st.just(scale),
    ]
    if depth:
        inner = steps(depth - 1)
        makers.append(st.builds(lambda rounds, body: lambda k: repeated(k, rounds, body), st.integers(1, 3), inner))
    return st.lists(st.one_of(makers), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(steps().map(made), st.booleans(), st.integers(0, 3))
def test_a_whole_is_its_parts(body: tuple[Step, ...], lazy: bool, frozen: int) -> None:
    lines = [f"    {line}" for step in body for line in step.lines]
    text = "\n".join([PARTS, "layer Whole(X[n, w]) -> [n, w]:", *lines, "    return X"])
    module = nl.compile(text)(**({} if lazy else {"w": 3}), dtype=torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64)
    module(x)
    parts = [part for part in module.modules() if type(part).__name__ == "Running"]
    for part in parts[:frozen]:
        part.eval()
    other = copy.deepcopy(module)
    for _ in range(2):
        expected = x
        for step in body:
            expected = step.apply(other, expected)
        torch.testing.assert_close(module(x), expected)
        torch.testing.assert_close(dict(module.state_dict()), dict(other.state_dict()))
        module.eval()
        other.eval()
    loaded = copy.deepcopy(module)
    loaded.reset_parameters()
    loaded.load_state_dict(module.state_dict())
    torch.testing.assert_close(loaded(x), module(x))
