"""The definitions that layers are made of, each by itself beside torch's, or the formula of its paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

import namedlayers as nl
from tests.library.alike import assert_alike

RECURRENT, POOLING = nl.load("recurrent"), nl.load("pooling")


def gates(step: Callable[..., Any], count: int, states: int) -> Callable[..., Any]:
    """The step for weights that lie as torch's cells have them: all gates in one matrix."""

    def taken_apart(*given: Tensor) -> Any:
        return step(*given[: 1 + states], *(one.unflatten(0, (count, -1)) for one in given[1 + states :]))

    return taken_apart


def both(step: Callable[..., Any]) -> Callable[..., Tensor]:
    """A state and a cell side by side."""
    return lambda *given: torch.cat(step(*given), -1)


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
    return torch.lstm_cell(x, (h, c), *weights)


def sinusoids(X: Tensor, base: float) -> Tensor:
    """PE(pos, 2 i) = sin(pos / base^(2 i / d)), PE(pos, 2 i + 1) = cos(…)"""
    seq, layer = X.shape
    angle = torch.arange(seq).double()[:, None] / base ** (torch.arange(0, layer, 2).double() / layer)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


def applied(module: str, expression: str, signature: str) -> Callable[..., Any]:
    name = expression.partition("[")[0].split()[-1]
    return nl.compile(f"from {module} import {name}\ndef f({signature}) = {expression}")


CELL = ((2, 4), (2, 3))
WEIGHTS = {count: ((count * 3, 4), (count * 3, 3), (count * 3,), (count * 3,)) for count in (1, 3, 4)}

ROWS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]] = {
    "rnn_step": (RECURRENT.rnn_step, torch.rnn_tanh_cell, (*CELL, *WEIGHTS[1])),
    "rnn_step, relu": (lambda *x: RECURRENT.rnn_step(*x, act="relu"), torch.rnn_relu_cell, (*CELL, *WEIGHTS[1])),
    "gru_step": (gates(RECURRENT.gru_step, 3, 1), torch.gru_cell, (*CELL, *WEIGHTS[3])),
    "lstm_step": (both(gates(RECURRENT.lstm_step, 4, 2)), both(lstm_cell), (*CELL, (2, 3), *WEIGHTS[4])),
    "adaptive_avg": (lambda x: POOLING.adaptive_avg(x, n=3), lambda x: F.adaptive_avg_pool1d(x, 3), ((2, 7),)),
    "adaptive_max": (lambda x: POOLING.adaptive_max(x, n=3), lambda x: F.adaptive_max_pool1d(x, 3), ((2, 7),)),
    "softmin": (applied("activation", "softmin[i](X)", "X[i]"), lambda x: F.softmin(x, -1), ((4, 3),)),
    "softmin, two axes": (
        applied("activation", "softmin[i, j](X)", "X[i, j]"),
        lambda x: F.softmin(x.flatten(1), -1).view_as(x), ((2, 4, 3),),
    ),
    "normalize": (nl.load("norm").normalize, lambda x: F.normalize(x, dim=-1), ((4, 3),)),
    "normalize, at 0": (nl.load("norm").normalize, lambda x: F.normalize(x, dim=-1), (torch.zeros(2, 3).double(),)),
    "sinusoids": (
        applied("position", "X + sinusoids[i, j](; base = 100)", "X[i, j]"),
        lambda x: x + sinusoids(x, 100), ((5, 6),),
    ),
    "unturned": (nl.load("attention").unturned, lambda x: x, ((5, 6),)),
    "reduced, mean": (applied("losses", "reduced[i, j](X)", "X[i, j]"), torch.mean, ((5, 6),)),
    "reduced, sum": (applied("losses", 'reduced[i, j](X; reduction = "sum")', "X[i, j]"), torch.sum, ((5, 6),)),
    "reduced, none": (applied("losses", 'reduced[i, j](X; reduction = "none")', "X[i, j]"), lambda x: x, ((5, 6),)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_by_itself(name: str) -> None:
    ours, theirs, tensors = ROWS[name]
    assert_alike(ours, theirs, tensors, name)


@pytest.mark.parametrize("bias", [True, False])
def test_heads_are_a_linear_map_taken_apart(bias: bool) -> None:
    layer = nl.load("attention").Heads(layer=6, heads=2, key=5, bias=bias)

    def ours(X: Tensor, *weights: Tensor) -> Tensor:
        return functional_call(layer, dict(zip("Wb", weights, strict=False)), (X,))

    shapes = ((2, 3, 6), (10, 6), (10,)) if bias else ((2, 3, 6), (10, 6))
    assert_alike(ours, lambda *given: F.linear(*given).unflatten(-1, (2, 5)), shapes, f"heads {bias}")
