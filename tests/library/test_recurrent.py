"""Recurrent networks against torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import namedlayers as nl
from tests.library.beside import Beside, Weights

RECURRENT = nl.load("recurrent")

NAMES = {"Wx": "weight_ih", "Wh": "weight_hh", "bx": "bias_ih", "bh": "bias_hh"}


def of_layer(weights: Weights, ending: str, prefix: str = "") -> dict[str, Tensor]:
    return {
        prefix + ours: weights[f"{theirs}_{ending}"]
        for ours, theirs in NAMES.items()
        if f"{theirs}_{ending}" in weights
    }


def first(weights: Weights) -> dict[str, Tensor]:
    return of_layer(weights, "l0")


def states(theirs: nn.Module, X: Tensor, *start: Tensor) -> Tensor:
    return theirs(X, *(one[None] for one in start))[0]


def states_backwards(theirs: nn.Module, X: Tensor, *start: Tensor) -> Tensor:
    return states(theirs, X.flip(-2), *start).flip(-2)


def with_cells(theirs: nn.Module, X: Tensor, *start: Tensor) -> tuple[Tensor, ...]:
    batch = X.shape[:-2]
    given = (tuple(one[None] for one in start),) if start else ()
    Y, (h, c) = theirs(X, *given)
    return Y, h.reshape(*batch, -1), c.reshape(*batch, -1)


def with_cells_backwards(theirs: nn.Module, X: Tensor, *start: Tensor) -> tuple[Tensor, ...]:
    Y, h, c = with_cells(theirs, X.flip(-2), *start)
    return Y.flip(-2), h, c


def one(kind: str, *arguments: tuple[int, ...], run: Any = states, backwards: bool = False, **options: Any) -> Beside:
    """`RNN(hidden=3)` beside `nn.RNN(input, 3)`; options other than `nonlinearity` are the same on both sides."""
    ours = {key: value for key, value in options.items() if key != "nonlinearity"}
    act = {"act": "relu"} if options.get("nonlinearity") == "relu" else {}
    return Beside(
        lambda: RECURRENT[kind](hidden=3, backwards=backwards, **ours, **act),
        lambda: getattr(nn, kind)(arguments[0][-1], 3, batch_first=True, **options),
        first, arguments, run,
    )  # fmt: skip


ONE_LAYER = {
    "rnn": one("RNN", (2, 5, 4)),
    "rnn, relu": one("RNN", (2, 5, 4), nonlinearity="relu"),
    "rnn, one step": one("RNN", (2, 1, 4)),
    "rnn, without a batch": one("RNN", (5, 4)),
    "rnn, a state given": one("RNN", (2, 5, 4), (2, 3)),
    "rnn, no bias": one("RNN", (2, 5, 4), bias=False),
    "rnn, backwards": one("RNN", (2, 5, 4), backwards=True, run=states_backwards),
    "rnn, as wide as its input": one("RNN", (2, 5, 3)),
    "gru": one("GRU", (2, 5, 4)),
    "gru, one step": one("GRU", (2, 1, 4)),
    "gru, without a batch": one("GRU", (5, 4)),
    "gru, a state given": one("GRU", (2, 5, 4), (2, 3)),
    "gru, no bias": one("GRU", (2, 5, 4), bias=False),
    "gru, backwards": one("GRU", (2, 5, 4), backwards=True, run=states_backwards),
    "lstm": one("LSTM", (2, 5, 4), run=with_cells),
    "lstm, one step": one("LSTM", (2, 1, 4), run=with_cells),
    "lstm, without a batch": one("LSTM", (5, 4), run=with_cells),
    "lstm, states given": one("LSTM", (2, 5, 4), (2, 3), (2, 3), run=with_cells),
    "lstm, no bias": one("LSTM", (2, 5, 4), bias=False, run=with_cells),
    "lstm, backwards": one("LSTM", (2, 5, 4), backwards=True, run=with_cells_backwards),
    "lstm, backwards, states given": one(
        "LSTM", (2, 5, 4), (2, 3), (2, 3), backwards=True, run=with_cells_backwards
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_LAYER)
def test_one_layer(name: str) -> None:
    ONE_LAYER[name].check(name)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_any_length(kind: str) -> None:
    """One module for sequences of any length."""
    ours, theirs = RECURRENT[kind](input=4, hidden=3), getattr(nn, kind)(4, 3, batch_first=True)
    with torch.no_grad():
        for path, parameter in ours.named_parameters():
            parameter.copy_(dict(theirs.named_parameters())[f"{NAMES[path]}_l0"])
    for length in (7, 1, 130, 2):
        X = torch.randn(2, length, 4)
        found, wanted = ours(X), theirs(X)[0]
        torch.testing.assert_close(found[0] if kind == "LSTM" else found, wanted, rtol=1e-4, atol=1e-5)


def deep(kind: str, *shape: int, layers: int, both: bool = False, **options: Any) -> Beside:
    def weights(theirs: Weights) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for k in range(layers):
            found |= of_layer(theirs, f"l{k}", f"depth.{k}.ahead.")
            if both:
                found |= of_layer(theirs, f"l{k}_reverse", f"depth.{k}.back.")
        return found

    return Beside(
        lambda: RECURRENT[f"Deep{kind}"](hidden=3, layers=layers, both=both, **options),
        lambda: getattr(nn, kind)(
            shape[-1], 3, num_layers=layers, bidirectional=both, batch_first=True, **options
        ),
        weights, (shape,), states,
    )  # fmt: skip


DEEP = {
    f"{kind}, {layers} layers{', both ways' if both else ''}{'' if bias else ', no bias'}": deep(
        kind, *shape, layers=layers, both=both, **({} if bias else {"bias": False})
    )
    for kind in ("RNN", "LSTM", "GRU")
    for layers, both, bias, shape in (
        (1, False, True, (2, 5, 4)),
        (2, False, True, (2, 5, 4)),
        (4, False, True, (2, 1, 4)),
        (1, True, True, (2, 5, 4)),
        (2, True, True, (2, 5, 4)),
        (3, True, False, (5, 3)),
    )
}


@pytest.mark.parametrize("name", DEEP)
def test_several_layers(name: str) -> None:
    DEEP[name].check(name)
