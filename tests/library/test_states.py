"""What changes from step to step: running statistics, and what is dropped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import namedlayers as nl

NORM, DROPOUT = nl.load("norm"), nl.load("dropout")
PAIRS = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var",
         "batches": "num_batches_tracked"}  # fmt: skip

ORIGINALS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 5, 4), (1, 3, 2, 2, 3)])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"momentum": 0.3, "eps": 0.01}, {"momentum": 0.3, "eps": 0.01}),
        ({"momentum": 0}, {"momentum": None}),
        ({"affine": False}, {"affine": False}),
        ({"track": False}, {"track_running_stats": False}),
    ],
    ids=str,
)
def test_batch_norm(ours: dict[str, Any], theirs: dict[str, Any], shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    layer, original = NORM.BatchNorm(chans=3, **ours).double(), ORIGINALS[len(shape)](3, **theirs).double()
    if original.affine:
        with torch.no_grad():
            layer.gamma.copy_(nn.init.normal_(original.weight))
            layer.beta.copy_(nn.init.normal_(original.bias))
    for training in (True, True, False, True, False):
        layer.train(training), original.train(training)
        x = (3 * torch.randn(shape, dtype=torch.float64) + 2).requires_grad_()
        found, wanted = layer(x), original(x)
        torch.testing.assert_close(found, wanted)
        weights = torch.randn_like(wanted)
        parameters = list(layer.parameters()), list(original.parameters())
        gradients = [
            torch.autograd.grad(result, [x, *own], weights)
            for result, own in zip((found, wanted), parameters, strict=True)
        ]
        torch.testing.assert_close(*gradients)
        kept = original.state_dict()
        held = layer.state_dict()
        assert {PAIRS[name] for name in held} == kept.keys()
        for name, value in held.items():
            torch.testing.assert_close(value, kept[PAIRS[name]])


def test_the_kernel_keeps_the_statistics() -> None:
    layer = NORM.BatchNorm(chans=3)
    layer(torch.randn(4, 3, 5))
    assert "torch.var" not in layer.code.split("return")[0] and "running statistics" in layer.explain()
    layer.eval()(torch.randn(4, 3, 5))
    assert "False, 0.0, 1e-05" in layer.code


def test_batch_norms_of_repeated_blocks() -> None:
    """Bodies keep their statistics in the kernel as well."""
    stack = nl.compile(
        """
        from norm import BatchNorm

        layer Stack(X[batch, chans, time]) -> [batch, chans, time]:
            repeat 3 as block:
                norm = BatchNorm[chans]
                X = X + relu(norm(X))
            return X
        """
    )(chans=4).double()
    originals = [nn.BatchNorm1d(4).double() for _ in range(3)]
    for training in (True, True, False):
        x = (2 * torch.randn(5, 4, 3, dtype=torch.float64)).requires_grad_()
        wanted = x
        for original in originals:
            wanted = wanted + torch.relu(original.train(training)(wanted))
        found = stack.train(training)(x)
        torch.testing.assert_close(found, wanted)
        gradients = [torch.autograd.grad(one.square().sum(), x) for one in (found, wanted)]
        torch.testing.assert_close(*gradients)
        for k, original in enumerate(originals):
            torch.testing.assert_close(stack.state_dict()[f"block.{k}.norm.running_var"], original.running_var)


def test_a_gradient_flows_through_what_is_read_again() -> None:
    text = """
        layer Follow(X[batch, chans]) -> [batch, chans]:
            state m[chans] ~ zeros
            state v[chans] ~ ones
            Y = standardize[batch](X)
            m = 0.5 * m + 0.5 * mean[batch](X)
            v = 0.5 * v + 0.5 * var[batch](X; ddof = 1)
            return Y * v - m
        """
    layer = nl.compile(text)(chans=3).double()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    y = F.batch_norm(x, None, None, training=True)
    wanted = y * (0.5 + 0.5 * x.var(0)) - 0.5 * x.mean(0)
    found = layer(x)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(one.square().sum(), x) for one in (found, wanted)))
    torch.testing.assert_close(layer.v, 0.5 + 0.5 * x.var(0).detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_batch_norm_of_another_precision(dtype: torch.dtype) -> None:
    layer, original = NORM.BatchNorm(chans=3).to(dtype), nn.BatchNorm1d(3).to(dtype)
    for training in (True, False):
        x = torch.randn(50, 3, dtype=dtype)
        found, wanted = layer.train(training)(x), original.train(training)(x)
        torch.testing.assert_close(found.float(), wanted.float(), rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(layer.running_var.float(), original.running_var.float(), rtol=2e-2, atol=2e-2)


def test_batch_norm_of_one_value() -> None:
    layer = NORM.BatchNorm(chans=3)
    with pytest.raises(nl.FormulaError, match="variance of one value"):
        layer(torch.ones(1, 3))
    assert layer.eval()(torch.ones(1, 3)).shape == (1, 3)


def test_batch_norm_names_its_batch() -> None:
    with pytest.raises(nl.FormulaError):
        NORM.BatchNorm(chans=3)(nl.named(torch.ones(4, 3), "time chans"))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout(p: float) -> None:
    layer = DROPOUT.Dropout(p=p)
    x = torch.rand(400, 500) + 1
    torch.manual_seed(3)
    found = layer(x)
    torch.manual_seed(3)
    torch.testing.assert_close(found, F.dropout(x, p))
    assert layer.eval()(x) is x or torch.equal(layer(x), x)


@pytest.mark.parametrize("shape", [(200, 100, 6), (200, 100, 2, 3)])
@pytest.mark.parametrize("p", [0.0, 0.3])
def test_channels_are_dropped_as_a_whole(shape: tuple[int, ...], p: float) -> None:
    layer = DROPOUT.ChannelDropout(p=p)
    x = torch.rand(shape) + 1
    share = layer(x) / x
    channels = share.flatten(2)
    torch.testing.assert_close(channels, channels[..., :1].expand_as(channels))
    one = channels[..., 0]
    torch.testing.assert_close(one[one != 0], torch.full_like(one[one != 0], 1 / (1 - p)))
    assert abs((one == 0).float().mean().item() - p) < 0.02
    torch.testing.assert_close(layer.eval()(x), x)


def test_samples_are_dropped_as_a_whole() -> None:
    layer = DROPOUT.StochasticDepth(p=0.3)
    x = torch.rand(4000, 3, 2) + 1
    share = (layer(x) / x).flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share))
    assert abs((share[:, 0] == 0).float().mean().item() - 0.3) < 0.04
    torch.testing.assert_close(layer.eval()(x), x)
