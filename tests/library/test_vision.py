"""Blocks of image networks against the usual modules, in training and not, with their running statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from alike import assert_alike
from torch import Tensor, nn

import namedlayers as nl

VISION = nl.load("vision")

NAMES = {"weight": "W", "bias": "b"}
OF_NORMS = {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var",
            "num_batches_tracked": "batches"}  # fmt: skip


def conv(a: int, b: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False)


class Shortcut(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.conv, self.norm = conv(a, b, 1, stride), nn.BatchNorm2d(b)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class BasicBlock(nn.Module):
    """torchvision.models.resnet.BasicBlock"""

    def __init__(self, a: int, b: int, stride: int = 1, project: bool = False) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(a, b, 3, stride), nn.BatchNorm2d(b)
        self.conv2, self.norm2 = conv(b, b), nn.BatchNorm2d(b)
        self.shortcut = Shortcut(a, b, stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """torchvision.models.resnet.Bottleneck"""

    def __init__(self, a: int, b: int, stride: int = 1, project: bool = False) -> None:
        super().__init__()
        mid = b // 4
        self.conv1, self.norm1 = conv(a, mid, 1), nn.BatchNorm2d(mid)
        self.conv2, self.norm2 = conv(mid, mid, 3, stride), nn.BatchNorm2d(mid)
        self.conv3, self.norm3 = conv(mid, b, 1), nn.BatchNorm2d(b)
        self.shortcut = Shortcut(a, b, stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        y = torch.relu(self.norm2(self.conv2(y)))
        return torch.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


class SqueezeExcitation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W1, self.W2 = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        s = torch.sigmoid(self.W2(torch.relu(self.W1(x.flatten(2).mean(2)))))
        return x * s.reshape(*s.shape, *(1,) * (x.ndim - 2))


class ConvNeXtBlock(nn.Module):
    """torchvision.models.convnext.CNBlock, channels last in between"""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((8,), 1e-6))
        self.depthwise, self.norm = nn.Conv2d(8, 8, 7, padding=3, groups=8), nn.LayerNorm(8, 1e-6)
        self.up, self.down = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(F.gelu(self.up(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))))
        return x + (self.gamma * y).permute(0, 3, 1, 2)


class DoubleConv(nn.Module):
    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, b, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv2(torch.relu(self.conv1(x))))


class UpConv(nn.Module):
    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.up, self.merge = nn.ConvTranspose2d(a, b, 2, 2), DoubleConv(2 * b, b)

    def forward(self, y: Tensor, skip: Tensor) -> Tensor:
        return self.merge(torch.cat([skip, self.up(y)], 1))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.down3 = DoubleConv(3, 2), DoubleConv(2, 4), DoubleConv(4, 8)
        self.down4, self.bottom = DoubleConv(8, 16), DoubleConv(16, 32)
        self.up4, self.up3, self.up2, self.up1 = UpConv(32, 16), UpConv(16, 8), UpConv(8, 4), UpConv(4, 2)
        self.out = nn.Conv2d(2, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.down1(x)
        x2 = self.down2(F.max_pool2d(x1, 2))
        x3 = self.down3(F.max_pool2d(x2, 2))
        x4 = self.down4(F.max_pool2d(x3, 2))
        y = self.up4(self.bottom(F.max_pool2d(x4, 2)), x4)
        return self.out(self.up1(self.up2(self.up3(y, x3), x2), x1))


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.C1, self.C3, self.C5 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5), nn.Linear(400, 120)
        self.F6, self.out = nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(torch.relu(self.C3(F.max_pool2d(torch.relu(self.C1(x)), 2))), 2).flatten(1)
        return self.out(torch.relu(self.F6(torch.relu(self.C5(y)))))


ROWS: dict[str, tuple[str, dict[str, Any], Callable[[], nn.Module], tuple[tuple[int, ...], ...]]] = {
    "basic": ("BasicBlock", {"output": 4}, lambda: BasicBlock(4, 4), ((3, 4, 7, 5),)),
    "basic, projected": (
        "BasicBlock", {"output": 6, "stride": 2, "project": True}, lambda: BasicBlock(4, 6, 2, True), ((3, 4, 7, 5),)
    ),
    "bottleneck": ("Bottleneck", {"output": 8}, lambda: Bottleneck(8, 8), ((2, 8, 6, 5),)),
    "bottleneck, projected": (
        "Bottleneck", {"output": 12, "stride": 2, "project": True}, lambda: Bottleneck(8, 12, 2, True), ((3, 8, 6, 5),)
    ),
    "squeeze": ("SqueezeExcitation", {"reduction": 4}, SqueezeExcitation, ((2, 8, 5, 4),)),
    "squeeze, 1d": ("SqueezeExcitation", {"reduction": 4}, SqueezeExcitation, ((2, 8, 5),)),
    "convnext": ("ConvNeXtBlock", {}, ConvNeXtBlock, ((2, 8, 9, 7),)),
    "up": ("UpConv", {"chans": 3}, lambda: UpConv(6, 3), ((2, 6, 3, 4), (2, 3, 6, 8))),
    "u-net": ("UNet", {"output": 5, "base": 2}, UNet, ((2, 3, 32, 16),)),
    "lenet": ("LeNet", {"output": 10, "padding": 2}, LeNet, ((3, 1, 28, 28),)),
}  # fmt: skip


def ours_of(path: str, module: nn.Module) -> str:
    """Our name of a tensor of theirs."""
    owner, _, name = path.rpartition(".")
    kind = module.get_submodule(owner)
    names = OF_NORMS if isinstance(kind, (nn.LayerNorm, nn.BatchNorm2d)) else NAMES
    return f"{owner}.{names[name]}" if owner else name


@pytest.mark.parametrize("name", ROWS)
def test_blocks(name: str) -> None:
    layer_name, options, original, shapes = ROWS[name]
    torch.manual_seed(5)
    layer, theirs = VISION[layer_name](**options).double(), original().double()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    arguments = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    layer.eval()(*arguments)
    layer.load_state_dict(
        {ours_of(path, theirs): value.reshape(layer.state_dict()[ours_of(path, theirs)].shape)
         for path, value in theirs.state_dict().items()}
    )  # fmt: skip
    for training in (True, True, False):
        layer.train(training), theirs.train(training)
        given = [one.clone().requires_grad_() for one in arguments]
        found, wanted = layer(*given), theirs(*given)
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)
        weights = torch.randn_like(wanted)
        held, kept = dict(layer.named_parameters()), dict(theirs.named_parameters())
        ours = torch.autograd.grad(found, [*given, *(held[ours_of(path, theirs)] for path in kept)], weights)
        for one, other in zip(ours, torch.autograd.grad(wanted, [*given, *kept.values()], weights), strict=True):
            torch.testing.assert_close(one, other.reshape(one.shape), rtol=1e-7, atol=1e-8)
        state = layer.state_dict()
        for path, value in theirs.state_dict().items():
            torch.testing.assert_close(state[ours_of(path, theirs)], value.reshape(state[ours_of(path, theirs)].shape))
        arguments = [one + torch.randn_like(one) for one in arguments]


def test_the_way_up_fits_the_way_down() -> None:
    with pytest.raises(nl.FormulaError, match="NL04"):
        VISION.UpConv(chans=3)(torch.ones(2, 6, 3, 4), torch.ones(2, 3, 7, 8))


@pytest.mark.parametrize(("shape", "r"), [((2, 8, 3, 4), 2), ((9, 1, 5), 3)])
def test_pixels_and_channels(shape: tuple[int, ...], r: int) -> None:
    assert_alike(lambda x: VISION.pixel_shuffle(x, r=r), lambda x: F.pixel_shuffle(x, r), (shape,), "shuffle")
    large = (*shape[:-2], r * shape[-2], r * shape[-1])
    assert_alike(lambda x: VISION.pixel_unshuffle(x, r=r), lambda x: F.pixel_unshuffle(x, r), (large,), "unshuffle")
    assert_alike(
        lambda x: VISION.upsample_nearest(x, k=r), lambda x: F.interpolate(x, scale_factor=r), ((2, *shape[-3:]),), "up"
    )


def test_channel_shuffle() -> None:
    shuffle = nl.compile(
        """
        from vision import channel_shuffle

        def f(X[chans, height, width]) -> [chans, height, width] = channel_shuffle[chans](X; groups = 3)
        """
    )
    assert_alike(shuffle, lambda x: F.channel_shuffle(x, 3), ((2, 6, 3, 2),), "channels")
