"""Gradients of loops that attend at each step: to a memory, to themselves, with masks of all kinds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from namedlayers.plan.planner import plan
from namedlayers.plan.scans.derivatives import name_of
from namedlayers.program.graph import Graph
from namedlayers.program.numbering import number
from tests.emit.harness import program_of
from tests.emit.test_scan_gradients import derivatives, given, leaves, same

STEP = """
def f(X[t, r, k], A[s, k], V[s, v], B[r, s], L[s], c; W[v, k]) -> [t, r, k]:
    scan t with h = X[t = 0]:
        y = {}
        h = tanh((y @[v] W) + 0.5 * X)
    return h
"""
INPUTS = {"X": "t r k", "A": "s k", "V": "s v", "B": "r s", "L": "s", "c": "", "W": "v k"}
SCORES = "h @[k] A"

STEPS: dict[str, str] = {
    "plain": f"softmax[s]({SCORES}) @[s] V",
    "scaled": f"softmax[s]({SCORES} / sqrt(|k|)) @[s] V",
    "a scale that is learned": f"softmax[s]({SCORES} * c) @[s] V",
    "a mask that is added": f"softmax[s]({SCORES} * c + B) @[s] V",
    "a mask that is taken off": f"softmax[s]((B - {SCORES}) * 0.3) @[s] V",
    "a mask of the keys": f"softmax[s]({SCORES} + L) @[s] V",
    "what is allowed": f"softmax[s](where(B > 0, {SCORES}, -inf)) @[s] V",
    "both": f"softmax[s](where(B > 0, {SCORES} + B, -inf)) @[s] V",
    "causal": f"softmax[s](where(index[s] <= index[r], {SCORES}, -inf)) @[s] V",
    "causal, and more": f"softmax[s](where(index[s] <= index[r], where(L > 0, {SCORES} + B, -inf), -inf)) @[s] V",
    "as the state says": f"softmax[s]({SCORES} + sum[k](h)) @[s] V",
    "a mask that is carried": f"softmax[s]({SCORES} + sum[k](h * h) * B) @[s] V",
    "keys and values that are carried": "(softmax[q](h @[k] h[r -> q]) @[q] h[r -> q]) @[k] A @[s] V",
}
SIZES = {"r": 3, "s": 3, "k": 2, "v": 4}

HEADS = {
    "heads": (
        "def f(X[t, b, n, k], K[b, s, n, k], V[b, s, n, k]; W[k', k]) -> [t, b, n, k]:\n"
        "    scan t with h = X[t = 0]:\n"
        "        y = softmax[s](K @[k] h / sqrt(|k|)) @[s] V\n"
        "        h = tanh((W @[k] y)[k' -> k] + X)\n"
        "    return h",
        {"X": "t b n k", "K": "b s n k", "V": "b s n k", "W": "k k"},
    ),
    "heads that share keys": (
        "def f(X[t, b, n, m, k], K[b, s, n, k], V[b, s, n, k]; W[k', k]) -> [t, b, n, m, k]:\n"
        "    scan t with h = X[t = 0]:\n"
        "        y = softmax[s](K @[k] h / sqrt(|k|)) @[s] V\n"
        "        h = tanh((W @[k] y)[k' -> k] + X)\n"
        "    return h",
        {"X": "t b n m k", "K": "b s n k", "V": "b s n k", "W": "k k"},
    ),
    "heads that share keys, causal": (
        "def f(X[t, b, q, n, m, k], K[b, s, n, k], V[b, s, n, k]; W[k', k]) -> [t, b, q, n, m, k]:\n"
        "    scan t with h = X[t = 0]:\n"
        "        y = softmax[s](where(index[s] <= index[q], K @[k] h / sqrt(|k|), -inf)) @[s] V\n"
        "        h = tanh((W @[k] y)[k' -> k] + X)\n"
        "    return h",
        {"X": "t b q n m k", "K": "b s n k", "V": "b s n k", "W": "k k"},
    ),
    "positions in two axes": (
        "def f(X[t, b, k], M[b, s, z, k]; W[k', k]) -> [t, b, k]:\n"
        "    scan t with h = X[t = 0]:\n"
        "        y = softmax[s, z](M @[k] h) @[s, z] M\n"
        "        h = tanh((W @[k] y)[k' -> k] + X)\n"
        "    return h",
        {"X": "t b k", "M": "b s z k", "W": "k k"},
    ),
    "a memory of each step": (
        "def f(X[t, b, k], M[t, b, s, k]; W[k', k]) -> [t, b, k]:\n"
        "    scan t with h = X[t = 0]:\n"
        "        y = softmax[s](M @[k] h) @[s] M\n"
        "        h = tanh((W @[k] y)[k' -> k] + X)\n"
        "    return h",
        {"X": "t b k", "M": "t b s k", "W": "k k"},
    ),
}
HEAD_SIZES = {"b": 2, "n": 2, "m": 3, "q": 3, "s": 4, "z": 2, "k": 3}

ALL = {
    **{name: (STEP.format(body), INPUTS, SIZES) for name, body in STEPS.items()},
    **{name: (text, inputs, HEAD_SIZES) for name, (text, inputs) in HEADS.items()},
}


@pytest.mark.parametrize("name", ALL)
def test_attention_in_a_step(name: str) -> None:
    text, inputs, sizes = ALL[name]
    same(text, given(inputs, **sizes))


@pytest.mark.parametrize("sizes", ({"s": 1}, {"s": 0}, {"r": 1}, {"r": 0}, {"k": 0}, {"v": 0}, {"t": 1}), ids=str)
@pytest.mark.parametrize("name", ("plain", "both"))
def test_small_sizes(name: str, sizes: dict[str, int]) -> None:
    text, inputs, usual = ALL[name]
    same(text, given(inputs, **{**usual, **sizes}))


@pytest.mark.parametrize("name", ("what is allowed", "both", "a mask that is added", "causal, and more"))
def test_rows_that_see_nothing_have_no_slopes(name: str) -> None:
    text, inputs, sizes = ALL[name]
    arrays = given(inputs, **sizes)
    arrays["B"][1] = -np.inf
    arrays["L"][0] = -1.0
    made = same(text, arrays)
    for one in derivatives(made, leaves(made, arrays)):
        assert one is None or torch.isfinite(one).all()


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_left_to_torch(name: str) -> None:
    """No operation of the gradient runs forwards again under autograd."""
    text, inputs, sizes = ALL[name]
    made = plan(number(program_of(text, given(inputs, **sizes))))
    steps = [one for region in made.bodies.values() for one in named(region.variants[0].graph)]
    assert "attention" in steps
    back = [one for gradient in made.gradients.values() for one in named(gradient.backward.graph)]
    assert back and "pulled_back" not in back


def named(graph: Graph) -> list[str]:
    return [name_of(node) for node in graph.live()]
