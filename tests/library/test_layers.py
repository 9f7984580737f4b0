"""The layers against torch.nn's: results, gradients of arguments and parameters, with parameters in torch's layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from beside import Beside, Weights
from torch import Tensor, nn

import namedlayers as nl

LINEAR, CONV, NORM, ACTIVATION, FEEDFORWARD, RESIDUAL = map(
    nl.load, ("linear", "conv", "norm", "activation", "feedforward", "residual")
)

WEIGHT_AND_BIAS = {"weight": "W", "bias": "b"}
SCALE_AND_SHIFT = {"weight": "gamma", "bias": "beta"}


def under(names: dict[str, str]) -> Callable[[Weights], dict[str, Tensor]]:
    """Their tensors under our names; the last part of a path is translated, or the whole of it."""

    def renamed(weights: Weights) -> dict[str, Tensor]:
        found = {}
        for path, tensor in weights.items():
            module, _, name = path.rpartition(".")
            ours = names.get(path) or (names.get(module, module) + "." if module else "") + names[name]
            found[ours] = tensor
        return found

    return renamed


def row(
    ours: Any, theirs: Callable[[], nn.Module], names: dict[str, str], *shapes: Any, run: Any = None, **given: Any
) -> Beside:
    more = {} if run is None else {"run": run}
    return Beside(lambda: ours(**given), theirs, under(names), shapes, **more)


def conv(n: int, shape: tuple[int, ...], **options: Any) -> Beside:
    """A convolution of 4 to 6 channels, with torch's names of options."""
    kernel = options.pop("kernel", 3)
    original = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n - 1]
    renamed = {"padding_mode": "mode"}
    given = {renamed.get(key, key): value for key, value in options.items()}
    return row(
        CONV[f"Conv{n}d"], lambda: original(4, 6, kernel, **options), WEIGHT_AND_BIAS, (2, 4, *shape),
        output=6, **(_rectangular(kernel, n) | given),
    )  # fmt: skip


def transposed(n: int, shape: tuple[int, ...], **options: Any) -> Beside:
    kernel = options.pop("kernel", 3)
    original = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[n - 1]
    return row(
        CONV[f"ConvTranspose{n}d"], lambda: original(4, 6, kernel, **options), WEIGHT_AND_BIAS, (2, 4, *shape),
        output=6, **(_rectangular(kernel, n) | options),
    )  # fmt: skip


def _rectangular(kernel: int | tuple[int, ...], n: int) -> dict[str, int]:
    return (
        {"kernel": kernel} if isinstance(kernel, int) else dict(zip(("kd", "kh", "kw")[3 - n :], kernel, strict=True))
    )


class Glu(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(5, 4), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * torch.sigmoid(self.gate(x))


class Feed(nn.Module):
    def __init__(self, width: int, act: Callable[[Tensor], Tensor], gated: bool, bias: bool) -> None:
        super().__init__()
        self.act = act
        if gated:
            self.gate = nn.Linear(6, width, bias)
        self.up, self.down = nn.Linear(6, width, bias), nn.Linear(width, 6, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.gate(x)) * self.up(x) if hasattr(self, "gate") else self.act(self.up(x)))


class HighwayLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plain, self.gate = nn.Linear(5, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return gate * torch.relu(self.plain(x)) + (1 - gate) * x


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(5), nn.Linear(5, 20), nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Separable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.pointwise = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


TOKENS = torch.tensor([[0, 3, 6, 3], [1, 1, 0, 5]])
RMS = {"weight": "g"}

ROWS = {
    "linear": row(LINEAR.Linear, lambda: nn.Linear(5, 3), WEIGHT_AND_BIAS, (2, 4, 5), output=3),
    "linear, one": row(LINEAR.Linear, lambda: nn.Linear(5, 1), WEIGHT_AND_BIAS, (5,), input=5, output=1),
    "linear, no bias": row(
        LINEAR.Linear, lambda: nn.Linear(5, 3, False), WEIGHT_AND_BIAS, (2, 5), output=3, bias=False
    ),
    "bilinear": row(LINEAR.Bilinear, lambda: nn.Bilinear(5, 3, 4), WEIGHT_AND_BIAS, (2, 5), (2, 3), output=4),
    "bilinear, no bias": row(
        LINEAR.Bilinear,
        lambda: nn.Bilinear(5, 3, 4, False),
        WEIGHT_AND_BIAS,
        (6, 2, 5),
        (6, 2, 3),
        output=4,
        bias=False,
    ),
    "embedding": row(LINEAR.Embedding, lambda: nn.Embedding(7, 3), {"weight": "E"}, TOKENS, vocab=7, layer=3),
    "embedding, padded": row(
        LINEAR.Embedding,
        lambda: nn.Embedding(7, 3, padding_idx=3),
        {"weight": "E"},
        TOKENS,
        vocab=7,
        layer=3,
        padding=3,
    ),
    "conv1d": conv(1, (9,)),
    "conv1d, all": conv(1, (9,), kernel=2, stride=2, padding=2, dilation=3, groups=2),
    "conv1d, same": conv(1, (9,), kernel=4, padding="same"),
    "conv2d": conv(2, (9, 8)),
    "conv2d, no bias": conv(2, (9, 8), bias=False, groups=2),
    "conv2d, rectangular": conv(2, (9, 8), kernel=(1, 4), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
    "conv2d, even": conv(2, (7, 6), kernel=2, stride=2, groups=2, padding=1),
    "conv2d, same": conv(2, (9, 8), padding="same", dilation=2),
    "conv2d, circular": conv(2, (9, 8), padding=1, padding_mode="circular"),
    "conv2d, reflect": conv(2, (9, 8), padding=2, padding_mode="reflect", stride=2),
    "conv2d, replicate": conv(2, (9, 8), padding=2, padding_mode="replicate", groups=2),
    "conv2d, as large as its image": conv(2, (3, 3)),
    "conv3d": conv(3, (5, 6, 7)),
    "conv3d, all": conv(3, (5, 6, 7), kernel=(1, 2, 3), stride=(1, 2, 1), padding=1, groups=2),
    "transposed conv1d": transposed(1, (5,)),
    "transposed conv1d, all": transposed(1, (5,), kernel=4, stride=3, padding=2, output_padding=2, groups=2),
    "transposed conv2d": transposed(2, (5, 4), stride=2),
    "transposed conv2d, all": transposed(
        2, (5, 4), kernel=(3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), dilation=(2, 1), groups=2
    ),
    "transposed conv2d, no bias": transposed(2, (5, 4), bias=False, padding=1),
    "transposed conv3d": transposed(3, (3, 4, 2), kernel=2, stride=2, groups=2),
    "depthwise conv1d": row(
        CONV.DepthwiseConv1d,
        lambda: nn.Conv1d(4, 4, 3, 2, 1, groups=4),
        WEIGHT_AND_BIAS,
        (2, 4, 9),
        stride=2,
        padding=1,
    ),
    "depthwise conv2d": row(
        CONV.DepthwiseConv2d,
        lambda: nn.Conv2d(4, 4, 3, groups=4, dilation=2, bias=False),
        WEIGHT_AND_BIAS,
        (2, 4, 9, 8),
        dilation=2,
        bias=False,
    ),
    "separable conv2d": row(CONV.SeparableConv2d, Separable, WEIGHT_AND_BIAS, (2, 4, 9, 8), output=5, padding=1),
    "layer norm": row(NORM.LayerNorm, lambda: nn.LayerNorm(5), SCALE_AND_SHIFT, (2, 3, 5)),
    "layer norm, eps": row(
        NORM.LayerNorm, lambda: nn.LayerNorm(5, 0.1, bias=False), SCALE_AND_SHIFT, (2, 5), eps=0.1, bias=False
    ),
    "layer norm, bare": row(
        NORM.LayerNorm, lambda: nn.LayerNorm(5, elementwise_affine=False), {}, (2, 5), affine=False
    ),
    "joint layer norm": row(
        NORM.JointLayerNorm, lambda: nn.LayerNorm((3, 4)), SCALE_AND_SHIFT, (2, 3, 4), layer=(3, 4)
    ),
    "group norm": row(NORM.GroupNorm, lambda: nn.GroupNorm(2, 6), SCALE_AND_SHIFT, (2, 6, 4, 5), groups=2),
    "group norm, one": row(
        NORM.GroupNorm, lambda: nn.GroupNorm(1, 6, eps=0.1), SCALE_AND_SHIFT, (2, 6, 4), groups=1, eps=0.1
    ),
    "group norm, no space": row(NORM.GroupNorm, lambda: nn.GroupNorm(3, 6), SCALE_AND_SHIFT, (2, 6), groups=3),
    "group norm, bare": row(
        NORM.GroupNorm, lambda: nn.GroupNorm(3, 6, affine=False), {}, (2, 6, 3), groups=3, affine=False
    ),
    "instance norm 1d": row(NORM.InstanceNorm, lambda: nn.InstanceNorm1d(3), {}, (2, 3, 5)),
    "instance norm 2d": row(
        NORM.InstanceNorm, lambda: nn.InstanceNorm2d(3, affine=True), SCALE_AND_SHIFT, (2, 3, 5, 4), affine=True
    ),
    "instance norm 3d": row(NORM.InstanceNorm, lambda: nn.InstanceNorm3d(3, 0.1), {}, (1, 3, 5, 2, 2), eps=0.1),
    "rms norm": row(NORM.RMSNorm, lambda: nn.RMSNorm(5), RMS, (2, 3, 5)),
    "rms norm, eps": row(NORM.RMSNorm, lambda: nn.RMSNorm(5, 0.1), RMS, (2, 3, 5), eps=0.1),
    "rms norm, bare": row(NORM.RMSNorm, lambda: nn.RMSNorm(5, elementwise_affine=False), RMS, (2, 5), affine=False),
    "local response norm": row(
        NORM.LocalResponseNorm,
        lambda: nn.LocalResponseNorm(4, 0.3, 0.6, 1.5),
        {},
        (2, 5),
        n=4,
        alpha=0.3,
        beta=0.6,
        k=1.5,
        run=lambda theirs, x: theirs(x[..., None])[..., 0],
    ),
    "prelu": row(ACTIVATION.PReLU, lambda: nn.PReLU(3), {"weight": "a"}, (2, 3)),
    "glu": row(FEEDFORWARD.GLU, Glu, WEIGHT_AND_BIAS, (2, 5), output=4),
    "feed-forward": row(FEEDFORWARD.FeedForward, lambda: Feed(24, torch.relu, False, True), WEIGHT_AND_BIAS, (2, 3, 6)),
    "feed-forward, gelu": row(
        FEEDFORWARD.FeedForward,
        lambda: Feed(8, F.gelu, False, False),
        WEIGHT_AND_BIAS,
        (2, 6),
        width=8,
        act="gelu",
        bias=False,
    ),
    "swiglu": row(FEEDFORWARD.SwiGLU, lambda: Feed(16, F.silu, True, False), WEIGHT_AND_BIAS, (2, 3, 6)),
    "geglu": row(
        FEEDFORWARD.SwiGLU, lambda: Feed(5, F.gelu, True, True), WEIGHT_AND_BIAS, (2, 6), width=5, act="gelu", bias=True
    ),
    "highway": row(
        RESIDUAL.Highway,
        HighwayLayer,
        {"plain.weight": "WH", "plain.bias": "bH", "gate.weight": "WT", "gate.bias": "bT"},
        (2, 5),
    ),
    "residual": row(
        RESIDUAL.ResidualMLP,
        Residual,
        {**WEIGHT_AND_BIAS, "norm.weight": "norm.gamma", "norm.bias": "norm.beta"},
        (2, 5),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_layers(name: str) -> None:
    ROWS[name].check(name)


@pytest.mark.parametrize(("sizes", "kernel"), [((9,), (3,)), ((5, 6), (2, 3)), ((4, 5, 3), (1, 3, 2))])
def test_a_convolution_over_any_space(sizes: tuple[int, ...], kernel: tuple[int, ...]) -> None:
    n = len(sizes)
    space, taps = [f"s{k}" for k in range(n)], [f"k{k} = {size}" for k, size in enumerate(kernel)]
    text = f"""
        from conv import Conv

        layer Convolved[a -> b](X[a, {", ".join(space)}]) -> [b, {", ".join(space)}]:
            conv = Conv[a -> b, ({", ".join(space)},), ({", ".join(taps)},); groups = 2, padding = 1]
            return conv(X)
        """
    original = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n - 1]
    Beside(
        lambda: nl.compile(text)(b=6), lambda: original(4, 6, kernel, groups=2, padding=1),
        under({"weight": "conv.W", "bias": "conv.b"}), ((2, 4, *sizes),),
    ).check(text)  # fmt: skip


def test_the_padding_is_not_learned() -> None:
    layer = LINEAR.Embedding(vocab=7, layer=3, padding=3)
    layer(TOKENS).sum().backward()
    assert not layer.E.grad[3].any() and layer.E.grad[1].all()
    assert "padding_idx" in layer.code


def test_one_hot() -> None:
    torch.testing.assert_close(LINEAR.OneHot(vocab=7)(TOKENS), F.one_hot(TOKENS, 7).float())
