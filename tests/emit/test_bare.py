"""Kernels that are called without the Python of `torch.nn.functional` around them: they are those that it calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import namedlayers as nl
from namedlayers.emit.bare import BARE, bare

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.rand(4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
CLASSES = torch.tensor([0, 5, 3, 3])

SECOND: dict[Callable, tuple[Any, ...]] = {
    F.mse_loss: (Y,), F.huber_loss: (Y,), F.binary_cross_entropy_with_logits: (Y,), F.nll_loss: (CLASSES,),
    F.cross_entropy: (CLASSES,), F.hardtanh: (-0.5, 0.25), F.leaky_relu: (0.3,), F.elu: (0.7,), F.threshold: (0.1, 2.0),
    F.glu: (1,),
}  # fmt: skip
"""What else each function takes; the others take nothing."""

VALUES: dict[str, tuple[Any, ...]] = {
    "reduction": ("none", "mean", "sum"), "ignore_index": (-100, 3), "delta": (1.0, 0.5),
    "label_smoothing": (0.0, 0.25), "weight": (None,), "pos_weight": (None, Y[0]),
}  # fmt: skip

CALLS = [
    (function, {name: value})
    for function, one in BARE.items()
    for name in one.options
    for value in VALUES[name]
] + [(function, {}) for function in BARE]  # fmt: skip


@pytest.mark.parametrize(("function", "options"), CALLS)
def test_the_kernel_is_that_of_the_function(function: Callable, options: dict[str, Any]) -> None:
    args = (X.clone().requires_grad_(), *SECOND.get(function, ()))
    kernel, given, left = bare(function, args, options)
    assert kernel is BARE[function].kernel and not left
    wanted, found = function(*args, **options), kernel(*given)
    assert torch.equal(found, wanted)
    slopes = [torch.autograd.grad(one.square().sum(), args[0])[0] for one in (wanted, found)]
    assert torch.equal(*slopes)


@pytest.mark.parametrize(
    ("function", "args", "options"),
    [
        (F.relu6, ("x",), {"inplace": True}),
        (F.mse_loss, ("x", "y"), {"size_average": True}),
        (F.nll_loss, ("x", "y", "weight"), {}),
    ],
)  # fmt: skip
def test_what_the_kernel_cannot_be_told_stays_with_the_function(function: Any, args: tuple, options: dict) -> None:
    assert bare(function, args, options) == (function, args, options)


@pytest.mark.parametrize(
    ("text", "called", "wanted"),
    [
        ("def f(X[i, j], Y[i, j]) = sum[i, j]((X - Y)^2) / (|i| * |j|)", "_nn.mse_loss(X, Y, 1)", F.mse_loss),
        ("def f(X[i, j], Y[i, j]) = (X - Y)^2", "(X - Y)", lambda x, y: (x - y) ** 2),
    ],
)
def test_generated_python_calls_it_and_the_graph_the_function(text: str, called: str, wanted: Callable) -> None:
    function = nl.compile(text)
    torch.testing.assert_close(function(X, Y), wanted(X, Y))
    assert called in function.code


def test_the_graph_calls_the_function() -> None:
    function = nl.compile("def f(X[i, j], Y[i, j]) = mean[i, j]((X - Y)^2)")
    function(X, Y)
    assert F.mse_loss in [node.target for node in function.graph.graph.nodes]
    torch.testing.assert_close(function.graph(X, Y), F.mse_loss(X, Y))
