"""The activations against torch's: values and gradients, on both sides of their bends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from alike import assert_alike
from torch import Tensor

import namedlayers as nl

ACTIVATION = nl.load("activation")

ROWS: list[tuple[str, Callable[..., Tensor], dict[str, Any]]] = [
    ("leaky_relu", F.leaky_relu, {}),
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.3), {"slope": 0.3}),
    ("relu6", F.relu6, {}),
    ("hardtanh", F.hardtanh, {}),
    ("hardtanh", lambda x: F.hardtanh(x, -0.5, 2.0), {"lo": -0.5, "hi": 2.0}),
    ("elu", F.elu, {}),
    ("elu", lambda x: F.elu(x, 0.7), {"alpha": 0.7}),
    ("celu", lambda x: F.celu(x, 0.75), {"alpha": 0.75}),
    ("selu", F.selu, {}),
    ("mish", F.mish, {}),
    ("log_sigmoid", F.logsigmoid, {}),
    ("softsign", F.softsign, {}),
    ("tanhshrink", F.tanhshrink, {}),
    ("hardsigmoid", lambda x: F.relu6(x + 3) / 6, {}),
    ("hardswish", F.hardswish, {}),
    ("hardshrink", F.hardshrink, {}),
    ("softshrink", lambda x: F.softshrink(x, 0.8), {"lam": 0.8}),
    ("threshold", lambda x: F.threshold(x, 0.3, 7.0), {"least": 0.3, "value": 7.0}),
    ("glu", F.glu, {}),
]

WIDE = torch.cat([torch.linspace(-800, 800, 12, dtype=torch.float64), torch.linspace(-4, 4, 20, dtype=torch.float64)])


@pytest.mark.parametrize(("name", "original", "options"), ROWS, ids=[f"{r[0]} {r[2]}" for r in ROWS])
def test_activations(name: str, original: Callable[..., Tensor], options: dict[str, Any]) -> None:
    for tensor in ((2, 6), (4,), WIDE):
        assert_alike(lambda x: ACTIVATION[name](x, **options), original, (tensor,), name)


def test_of_another_gate() -> None:
    geglu = nl.compile(
        """
        from activation import glu

        def geglu(X[layer]) -> [layer] = glu[layer](X; gate = gelu)
        """
    )
    assert_alike(geglu, lambda x: x.chunk(2, -1)[0] * F.gelu(x.chunk(2, -1)[1]), ((3, 8),), "geglu")


def test_maxout() -> None:
    assert_alike(lambda x: ACTIVATION.maxout(x, k=3), lambda x: x.unflatten(-1, (-1, 3)).amax(-1), ((2, 9),), "maxout")
