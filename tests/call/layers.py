"""The layers that the tests of modules share, and what torch has for them."""

from __future__ import annotations

import torch

import namedlayers as nl

TEXT = """
layer Linear[input -> output](X[input]; bias = True) -> [output]:
    param W[output, input] ~ kaiming_uniform(input; a = sqrt(5))
    Y = W @[input] X
    if bias:
        param b[output] ~ uniform(-1 / sqrt(|input|), 1 / sqrt(|input|))
        Y = Y + b
    return Y

layer BatchNorm(X[batch, chans]; eps = 1e-5, momentum = 0.1) -> [batch, chans]:
    param gamma[chans] ~ ones
    param beta[chans] ~ zeros
    state running_mean[chans] ~ zeros
    state running_var[chans] ~ ones
    state seen[] ~ 0
    if training:
        m = mean[batch](X)
        v = var[batch](X)
        running_mean = (1 - momentum) * running_mean + momentum * m
        running_var = (1 - momentum) * running_var + momentum * var[batch](X; ddof = 1)
        seen = seen + 1
    else:
        m = running_mean
        v = running_var
    return gamma * (X - m) / sqrt(v + eps) + beta

layer FeedForward[layer](X[layer]; width = 4 * |layer|, n = 2) -> [layer]:
    repeat n as block:
        up = Linear[layer -> hidden = width]
        down = Linear[hidden -> layer]
        X = X + down(relu(up(X)))
    return X

layer Classifier(X[batch, input]) -> [batch, classes]:
    h = Linear[input -> hidden](X)
    h = relu(BatchNorm(h[hidden -> chans])[chans -> hidden])
    return Linear[hidden -> classes](h)

layer LayerNorm[*ax](X[*ax]; eps = 1e-5):
    param gamma[*ax] ~ ones
    param beta[*ax] ~ zeros
    return gamma * (X - mean[*ax](X)) / sqrt(var[*ax](X) + eps) + beta

layer Shift() -> [i], [i]:
    state old[i = 3] ~ i + 1.0
    state new[i] ~ 0.0
    before = old
    old = new
    new = before + 1
    return before, new

layer Heads(X[layer]; heads = 2) -> [layer]:
    |key| = |layer| // heads
    param W[(heads = heads, key), layer] ~ xavier_uniform((heads, key), layer)
    Y = W @[layer] X
    return Y[(heads, key) -> layer]

layer Noise(X[i]; p = 0.5) -> [i]:
    return dropout(X; p = p)
"""

LAYERS = nl.loads(TEXT)

SHAPES = {
    "Linear": ({"input": 3, "output": 4}, (5, 3)),
    "BatchNorm": ({"chans": 3}, (5, 3)),
    "FeedForward": ({"layer": 3}, (5, 3)),
    "Classifier": ({"input": 3, "hidden": 6, "classes": 2}, (5, 3)),
    "LayerNorm": ({"ax": 3}, (5, 3)),
    "Noise": ({}, (5, 3)),
}
"""Sizes with which layers are made, and a shape of their data."""


def made(name: str, **options: object) -> tuple[nl.Layer, torch.Tensor]:
    """A module and an argument for it."""
    sizes, shape = SHAPES[name]
    return LAYERS[name](**sizes, **options), torch.randn(shape)


class FeedForward(torch.nn.Module):
    """`FeedForward` by hand."""

    def __init__(self, layer: int, n: int = 2) -> None:
        super().__init__()
        pairs = ((torch.nn.Linear(layer, 4 * layer), torch.nn.Linear(4 * layer, layer)) for _ in range(n))
        self.block = torch.nn.ModuleList(torch.nn.ModuleDict({"up": up, "down": down}) for up, down in pairs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.block:
            x = x + block["down"](torch.relu(block["up"](x)))
        return x


class Classifier(torch.nn.Module):
    """`Classifier` by hand."""

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.linear, self.batch_norm = torch.nn.Linear(inputs, hidden), torch.nn.BatchNorm1d(hidden)
        self.linear_2 = torch.nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_2(torch.relu(self.batch_norm(self.linear(x))))


TWINS = {
    "Linear": lambda: torch.nn.Linear(3, 4),
    "BatchNorm": lambda: torch.nn.BatchNorm1d(3),
    "FeedForward": lambda: FeedForward(3),
    "Classifier": lambda: Classifier(3, 6, 2),
    "LayerNorm": lambda: torch.nn.LayerNorm(3),
    "Noise": lambda: torch.nn.Dropout(),
}
"""The same layers as modules of torch. With the same seed, layers of both kinds begin with the same values."""

NAMES = {"weight": "W", "bias": "b"}
NORMS = {"weight": "gamma", "bias": "beta", "num_batches_tracked": "seen"}


def translated(name: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict of torch's under the names of the formula."""
    found = {}
    for key, value in state.items():
        path, _, last = key.rpartition(".")
        names = NORMS if name in ("BatchNorm", "LayerNorm") or path == "batch_norm" else NAMES
        found[f"{path}.{names.get(last, last)}".removeprefix(".")] = value
    return found
