"""What is done to each of many rows that are read of few is done to the few."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.errors import FormulaError
from tests.emit.harness import agree, compiled

SIGNATURE = "X[b, p, d], near[b, p, k]; W[o, d], c[o]"
TEXTS = {
    "a product": "sum[k](W @[d] X[p = near])",
    "a layer": "max[k](relu(W @[d] X[p = near] + c))",
    "two layers": "max[k](relu(c - relu(W @[d] X[p = near] + c)))",
    "a multiple": "max[k](3 * (W @[d] X[p = near]) + 1)",
}
WITHIN = {
    "the neighbours' own": "max[k](W @[d] (X[p = near] - X))",
    "as many as there are": "W @[d] X[p = near[k = 0]]",
    "an exponential": "sum[k](exp(W @[d] exp(X[p = near])))",
}


def arrays(p: int = 5, k: int = 3) -> dict[str, np.ndarray]:
    source = np.random.default_rng(0)
    shapes = {"X": (2, p, 4), "W": (6, 4), "c": (6,)}
    near = source.integers(0, max(p, 1), (2, p, k))
    return {name: source.standard_normal(shape) for name, shape in shapes.items()} | {"near": near}


def text(body: str) -> str:
    return f"def f({SIGNATURE}) -> [b, p, o] = {body}"


@pytest.mark.parametrize("body", (TEXTS | WITHIN).values(), ids=TEXTS | WITHIN)
def test_values(body: str) -> None:
    for sizes in ({}, {"p": 1, "k": 1}, {"k": 0}, {"p": 0}):
        given = arrays(**sizes)
        if "k = 0" not in body or sizes.get("k") != 0:
            agree(compiled(text(body), given), given)


@pytest.mark.parametrize("body", TEXTS.values(), ids=TEXTS)
def test_gradients(body: str) -> None:
    function = nl.compile(text(body))
    given = {name: torch.as_tensor(one) for name, one in arrays().items()}
    learned = {name: one.requires_grad_() for name, one in given.items() if name != "near"}
    call = lambda *tensors: function(**(given | dict(zip(learned, tensors, strict=True))))  # noqa: E731
    assert torch.autograd.gradcheck(call, tuple(learned.values()), fast_mode=True)


def rule_fires(body: str) -> bool:
    given = {name: torch.as_tensor(one) for name, one in arrays().items()}
    fired, _, _ = nl.compile(text(body)).specialize(**given).explain().partition("nearly fired")
    return "operation on rows that are read" in fired


def test_where_it_is_done() -> None:
    assert all(map(rule_fires, TEXTS.values()))
    assert not any(map(rule_fires, WITHIN.values()))


def test_an_index_out_of_range_is_told() -> None:
    given = {name: torch.as_tensor(one) for name, one in arrays().items()}
    given["near"][0, 0, 0] = 5
    with pytest.raises(FormulaError, match="near"):
        nl.compile(text(TEXTS["a layer"]))(**given)
