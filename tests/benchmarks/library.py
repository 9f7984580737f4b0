"""The layers of the library beside their originals in torch: forward, and forward and backward.

    python tests/benchmarks/library.py [NAME …] [--threads 1]

A name is a part of a row's; without names all rows run. What is timed on a machine that gives large blocks back to the
system at once depends on who asked last; `MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296` in the
environment keeps glibc from it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from turns import medians

import namedlayers as nl

IMAGES = (8, 32, 28, 28)
ROWS, WIDE = (512, 256), (256, 1024)
TOKENS = torch.randint(0, 1000, (16, 64))
CLASSES = torch.randint(0, 1000, (256,))
ANSWERS = torch.rand(256, 1000).round()


@dataclass(frozen=True)
class Row:
    """What is compared on which tensors; a tuple is the shape of normal numbers."""

    name: str
    ours: Callable[..., Tensor]
    theirs: Callable[..., Tensor]
    tensors: tuple[Any, ...]


def layers() -> list[Row]:
    linear, conv, norm, dropout = map(nl.load, ("linear", "conv", "norm", "dropout"))

    def row(name: str, ours: Any, theirs: nn.Module, *tensors: Any) -> Row:
        return Row(name, ours, theirs, tensors)

    return [
        row("linear", linear.Linear(input=512, output=512), nn.Linear(512, 512), (128, 512)),
        row("linear, tiny", linear.Linear(input=4, output=4), nn.Linear(4, 4), (4, 4)),
        row("bilinear", linear.Bilinear(left=32, right=48, output=24), nn.Bilinear(32, 48, 24), (128, 32), (128, 48)),
        row("embedding", linear.Embedding(vocab=1000, layer=64), nn.Embedding(1000, 64), TOKENS),
        row("embedding, padded", linear.Embedding(vocab=1000, layer=64, padding=0),
            nn.Embedding(1000, 64, padding_idx=0), TOKENS),
        row("conv1d", conv.Conv1d(input=32, output=64, padding=1), nn.Conv1d(32, 64, 3, padding=1), (16, 32, 128)),
        row("conv2d", conv.Conv2d(input=32, output=64, padding=1), nn.Conv2d(32, 64, 3, padding=1), IMAGES),
        row("conv2d, strided", conv.Conv2d(input=32, output=64, stride=2), nn.Conv2d(32, 64, 3, stride=2), IMAGES),
        row("conv2d, groups", conv.Conv2d(input=32, output=64, groups=4), nn.Conv2d(32, 64, 3, groups=4), IMAGES),
        row("conv2d, same", conv.Conv2d(input=32, output=64, padding="same"),
            nn.Conv2d(32, 64, 3, padding="same"), IMAGES),
        row("conv3d", conv.Conv3d(input=8, output=8), nn.Conv3d(8, 8, 3), (2, 8, 12, 12, 12)),
        row("transposed conv2d", conv.ConvTranspose2d(input=32, output=16, kernel=2, stride=2),
            nn.ConvTranspose2d(32, 16, 2, 2), IMAGES),
        row("depthwise conv2d", conv.DepthwiseConv2d(chans=32), nn.Conv2d(32, 32, 3, groups=32), IMAGES),
        row("batch norm, training", norm.BatchNorm(chans=32), nn.BatchNorm2d(32), IMAGES),
        row("batch norm", norm.BatchNorm(chans=32).eval(), nn.BatchNorm2d(32).eval(), IMAGES),
        row("instance norm", norm.InstanceNorm(chans=32, affine=True), nn.InstanceNorm2d(32, affine=True), IMAGES),
        row("group norm", norm.GroupNorm(chans=32, groups=8), nn.GroupNorm(8, 32), IMAGES),
        row("layer norm", norm.LayerNorm(layer=256), nn.LayerNorm(256), ROWS),
        row("layer norm of images", norm.JointLayerNorm(layer=IMAGES[1:]), nn.LayerNorm(IMAGES[1:]), IMAGES),
        row("rms norm", norm.RMSNorm(layer=256), nn.RMSNorm(256), ROWS),
        row("dropout", dropout.Dropout(), nn.Dropout(), ROWS),
        row("dropout of channels", dropout.ChannelDropout(), nn.Dropout2d(), IMAGES),
    ]  # fmt: skip


def functions() -> list[Row]:
    pooling, activation, losses = map(nl.load, ("pooling", "activation", "losses"))
    bent = "leaky_relu relu6 hardtanh elu selu celu mish softsign hardswish hardsigmoid hardshrink softshrink glu"
    pairs = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}
    many = (256, 1000)
    return [
        Row("max_pool2d", pooling.max_pool2d, lambda x: F.max_pool2d(x, 2), (IMAGES,)),
        Row("max_pool2d, padded", lambda x: pooling.max_pool2d(x, kernel=3, stride=2, padding=1),
            lambda x: F.max_pool2d(x, 3, 2, 1), (IMAGES,)),
        Row("avg_pool2d", pooling.avg_pool2d, lambda x: F.avg_pool2d(x, 2), (IMAGES,)),
        Row("avg_pool2d, padding left out",
            lambda x: pooling.avg_pool2d(x, kernel=3, stride=2, padding=1, count_padding=False),
            lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), (IMAGES,)),
        Row("adaptive_avg_pool2d", lambda x: pooling.adaptive_avg_pool2d(x, n=7),
            lambda x: F.adaptive_avg_pool2d(x, 7), (IMAGES,)),
        Row("adaptive_max_pool2d", lambda x: pooling.adaptive_max_pool2d(x, n=7),
            lambda x: F.adaptive_max_pool2d(x, 7), (IMAGES,)),
        *(Row(name, activation[name], getattr(F, name), (WIDE,)) for name in bent.split()),
        *(Row(name, losses[name], original, (many, many)) for name, original in pairs.items()),
        Row("cross_entropy", lambda x: losses.cross_entropy(x, CLASSES),
            lambda x: F.cross_entropy(x, CLASSES), (many,)),
        Row("cross_entropy, smoothed", lambda x: losses.cross_entropy(x, CLASSES, smoothing=0.1),
            lambda x: F.cross_entropy(x, CLASSES, label_smoothing=0.1), (many,)),
        Row("bce_with_logits", lambda x: losses.bce_with_logits(x, ANSWERS),
            lambda x: F.binary_cross_entropy_with_logits(x, ANSWERS), (many,)),
    ]  # fmt: skip


def compare(row: Row) -> None:
    tensors = [torch.randn(one, requires_grad=True) if isinstance(one, tuple) else one for one in row.tensors]
    shown = [f"{row.name:44}"]
    for backward in (False, True):
        sides = {"torch": _side(row.theirs, tensors, backward), "ours": _side(row.ours, tensors, backward)}
        found = medians(sides)
        shown.append(
            f"{found['torch'] * 1e6:10.1f} {found['ours'] * 1e6:10.1f} µs {found['ours'] / found['torch']:6.2f}"
        )
    print("   ".join(shown), flush=True)


def _side(function: Any, tensors: list[Tensor], backward: bool) -> Callable[[], object]:
    if not backward:
        return torch.no_grad()(lambda: function(*tensors))
    learned = [one for one in tensors if one.requires_grad]
    learned += list(function.parameters()) if isinstance(function, nn.Module) else []
    return lambda: torch.autograd.grad(function(*tensors).square().sum(), learned)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(f"{'':44}{'forward: torch, ours, ratio':>30}   {'and backward':>30}")
    for row in [*layers(), *functions()]:
        if not given.names or any(name in row.name for name in given.names):
            compare(row)


if __name__ == "__main__":
    main()
