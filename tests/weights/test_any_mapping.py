"""Mappings with tokens taken away, doubled or exchanged: the answer is a report or a FormulaError that changes nothing.

What is reported as loaded without a complaint goes back, by the same mapping, to the tensors that it came from.
"""

from __future__ import annotations

import random
import re

import torch

import namedlayers as nl
from tests.weights.modules import zeros

MODULE = zeros(
    """
layer Linear[input -> output](X[input]) -> [output]:
    param W[output, input] ~ zeros
    param b[output] ~ zeros
    return W @[input] X + b

layer Net(X[layer = 2]) -> [layer]:
    param Q[heads = 2, key = 2, layer] ~ zeros
    param K[(heads, key), layer] ~ zeros
    param G[gate = 2, layer] ~ zeros
    state seen[] ~ 0
    repeat 2 as block:
        mix = Linear[layer -> layer']
        X = X + mix(X)[layer' -> layer]
    return X
"""
)

WEIGHTS = {
    **{f"h.{k + 1}.{name}": torch.randn(shape) for k in range(2) for name, shape in (("w", (2, 2)), ("b", (2,)))},
    "qk": torch.randn(2, 8),
    "g.0": torch.randn(2, 1),
    "g.1": torch.randn(2, 1),
    "seen": torch.tensor(3),
    "other.x": torch.ones(1),
}

MAPPING = """
h.{l}.w -> block.{l - 1}.mix.W[input, output]
h.{l}.b -> block.{l - 1}.mix.b
qk -> Q[layer, + heads key], K[layer, + heads key]
g.{k} -> G[layer, 1, gate = {k}]  # gates
seen -> seen[]
other.{*rest} -> _
"""

TOKEN = re.compile(r"[^\W\d]\w*'*|\d+|\n| +|->|.", re.S)


def mutated(rng: random.Random, times: int) -> str:
    tokens = TOKEN.findall(MAPPING)
    for _ in range(times):
        solid = [k for k, token in enumerate(tokens) if not token.isspace()] or [0]
        at, other = rng.choice(solid), rng.choice(solid)
        alike = [token for token in tokens if token[:1].isalnum() == tokens[at][:1].isalnum()]
        match rng.choice(["delete", "double", "alike", "alike", "alike", "any"]):
            case "delete":
                del tokens[at]
            case "double":
                tokens.insert(at, tokens[other])
            case "alike":
                tokens[at] = rng.choice(alike or tokens)
            case "any":
                tokens[at] = rng.choice(
                    ["{", "}", "[", "]", "(", ")", ",", "+", "=", "1", "99", "-", "′", "\t", "é", "\0"]
                )
        tokens = tokens or ["\n"]
    return "".join(tokens)


def reset() -> None:
    with torch.no_grad():
        for tensor in MODULE.state_dict().values():
            tensor.zero_()


def test_the_mapping_itself_loads() -> None:
    reset()
    assert nl.load_weights(MODULE, WEIGHTS, MAPPING).complete
    back = nl.foreign_weights(MODULE, MAPPING)
    assert back.keys() == WEIGHTS.keys() - {"other.x"}
    assert all(torch.equal(value, WEIGHTS[key]) for key, value in back.items())


def test_mutated_mappings_are_answered() -> None:
    seen: set[str] = set()
    for seed in range(400):
        rng = random.Random(seed)
        mapping = mutated(rng, rng.randint(1, 4))
        reset()
        try:
            report = nl.load_weights(MODULE, WEIGHTS, mapping, strict=rng.random() < 0.5)
        except nl.FormulaError as error:
            assert all(0 <= span.start <= span.end <= len(span.source.text) for span in error.spans) and str(error)
            assert not any(one.any() for one in MODULE.state_dict().values())
            seen.add(error.code)
            continue
        seen.add("loaded")
        if report.complete:
            back = nl.foreign_weights(MODULE, mapping)
            assert all(torch.equal(back[one.key], WEIGHTS[one.key]) for one in report.loaded)
    assert "loaded" in seen and len(seen) > 6
