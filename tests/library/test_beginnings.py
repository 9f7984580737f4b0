"""How parameters begin: where the axes lie as torch's, the same stream of random numbers gives the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import namedlayers as nl

LINEAR, CONV, NORM, ACTIVATION, RESIDUAL, VISION = map(
    nl.load, ("linear", "conv", "norm", "activation", "residual", "vision")
)

SAME: dict[str, tuple[Callable[[], Any], Callable[[], nn.Module]]] = {
    "linear": (lambda: LINEAR.Linear(input=5, output=3), lambda: nn.Linear(5, 3)),
    "linear, no bias": (lambda: LINEAR.Linear(input=5, output=3, bias=False), lambda: nn.Linear(5, 3, False)),
    "bilinear": (lambda: LINEAR.Bilinear(left=5, right=2, output=3), lambda: nn.Bilinear(5, 2, 3)),
    "embedding": (lambda: LINEAR.Embedding(vocab=7, layer=3), lambda: nn.Embedding(7, 3)),
    "conv1d": (lambda: CONV.Conv1d(input=4, output=6, kernel=5), lambda: nn.Conv1d(4, 6, 5)),
    "conv2d": (lambda: CONV.Conv2d(input=4, output=6, groups=2), lambda: nn.Conv2d(4, 6, 3, groups=2)),
    "conv2d, rectangular": (lambda: CONV.Conv2d(input=4, output=6, kh=2, kw=5), lambda: nn.Conv2d(4, 6, (2, 5))),
    "conv3d": (lambda: CONV.Conv3d(input=4, output=6), lambda: nn.Conv3d(4, 6, 3)),
    "transposed": (
        lambda: CONV.ConvTranspose2d(input=4, output=6, groups=2), lambda: nn.ConvTranspose2d(4, 6, 3, groups=2)
    ),
    "depthwise": (lambda: CONV.DepthwiseConv2d(chans=4), lambda: nn.Conv2d(4, 4, 3, groups=4)),
    "batch norm": (lambda: NORM.BatchNorm(chans=4), lambda: nn.BatchNorm2d(4)),
    "layer norm": (lambda: NORM.LayerNorm(layer=4), lambda: nn.LayerNorm(4)),
    "group norm": (lambda: NORM.GroupNorm(chans=4, groups=2), lambda: nn.GroupNorm(2, 4)),
    "rms norm": (lambda: NORM.RMSNorm(layer=4), lambda: nn.RMSNorm(4)),
    "prelu": (lambda: ACTIVATION.PReLU(chans=4), lambda: nn.PReLU(4)),
    "lenet": (
        lambda: VISION.LeNet(input=1, output=10, height=32, width=32),
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_the_same_stream(name: str) -> None:
    ours, theirs = SAME[name]
    torch.manual_seed(7)
    layer = ours()
    drawn = torch.rand(1)
    torch.manual_seed(7)
    original = theirs()
    assert drawn == torch.rand(1), "as many numbers are drawn"
    found, wanted = list(layer.parameters()), list(original.parameters())
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other.reshape(one.shape), rtol=1e-6, atol=1e-7)


def test_the_gate_of_a_highway_begins_shut() -> None:
    layer = RESIDUAL.Highway(layer=400)
    assert (layer.bT == -1).all() and not layer.bH.any()
    assert abs(layer.WH.std().item() - (2 / 800) ** 0.5) < 1e-3
