"""Convolutions, and the pools of windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import Formula, Function, Other, Workload, normal

GROUP = "Windows"

CONV = Formula("""
def conv(X[chans, height, width]; W[chans', chans, kh, kw]) -> [chans', height, width]:
    return W @[chans, kh, kw] unroll[height, width, kh, kw](X; padding = 1)
""")
DEPTHWISE = Formula("""
def conv(X[chans, height, width]; W[chans, kh, kw]) -> [chans, height, width]:
    return W @[kh, kw] unroll[height, width, kh, kw](X; padding = 1)
""")
POOLS = {
    kind: Formula(f"""
def pooled(X[height, width]) -> [height, width]:
    return {kind}[ph, pw](pool[height, width, ph = 2, pw = 2](X))
""")
    for kind in ("max", "mean")
}
INVOLUTION = Formula("""
def involution(X[group, chans, height, width], W[group, kh, kw, height, width]) -> [group, chans, height, width]:
    return W @[kh, kw] unroll[height, width, kh, kw](X; padding = 1)
""")
CORRELATION = Formula("""
def correlation(X[chans, height, width], Y[chans, height, width]; T[kh, kw]) -> [kh, kw, height, width]:
    return mean[chans](X * unroll[height, width, kh, kw](Y; padding = 2)) + T
""")


def windows(x: Tensor, size: int, step: int = 1) -> Tensor:
    return x.unfold(-2, size, step).unfold(-2, size, step)


def conv(x: Tensor, w: Tensor) -> Tensor:
    return torch.einsum("bchwij,dcij->bdhw", windows(F.pad(x, (1, 1, 1, 1)), 3), w)


def conv_by_hand(x: Tensor, w: Tensor) -> Tensor:
    return F.conv2d(x, w, padding=1)


def depthwise(x: Tensor, w: Tensor) -> Tensor:
    return torch.einsum("bchwij,cij->bchw", windows(F.pad(x, (1, 1, 1, 1)), 3), w)


def depthwise_by_hand(x: Tensor, w: Tensor) -> Tensor:
    return F.conv2d(x, w.unsqueeze(1), padding=1, groups=x.shape[1])


def max_pool(x: Tensor) -> Tensor:
    return windows(x, 2, 2).amax((-2, -1))


def mean_pool(x: Tensor) -> Tensor:
    return windows(x, 2, 2).mean((-2, -1))


def taps(x: Tensor, size: int) -> list[Tensor]:
    """What is `size` by `size` around each place, tap by tap."""
    ends, (height, width) = size // 2, x.shape[-2:]
    x = F.pad(x, (ends, ends, ends, ends))
    return [x[..., i : i + height, j : j + width] for i in range(size) for j in range(size)]


def involution(x: Tensor, w: Tensor) -> Tensor:
    return torch.einsum("bgchwij,bgijhw->bgchw", windows(F.pad(x, (1, 1, 1, 1)), 3), w)


def involution_by_taps(x: Tensor, w: Tensor) -> Tensor:
    first, *others = zip(w.flatten(2, 3).unsqueeze(3).unbind(2), taps(x, 3), strict=True)
    total = torch.mul(*first)
    for weight, tap in others:
        total = torch.addcmul(total, weight, tap)
    return total


def correlation(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    found = (x[..., None, None] * windows(F.pad(y, (2, 2, 2, 2)), 5)).mean(1)
    return found.permute(0, 3, 4, 1, 2) + t[..., None, None]


def correlation_by_taps(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
    found = torch.stack([(x * tap).mean(1) for tap in taps(y, 5)], 1)
    return found.unflatten(1, (5, 5)) + t[..., None, None]


def einops_pool(how: str) -> Other:
    def make() -> Function:
        from einops import reduce

        return lambda x: reduce(x, "b c (h i) (w j) -> b c h w", how, i=2, j=2)

    return Other(make)


IMAGES = {"batch": 8, "chans": 32, "out": 64, "height": 56, "width": 56}
TINY = {"batch": 2, "chans": 3, "out": 4, "height": 8, "width": 8}
X = normal("batch chans height width")
COMPILED = "the backward pass of nested windows corrupts memory under torch.compile (pytorch 191837)"

WORKLOADS = (
    Workload(
        name="convolution 3x3",
        group=GROUP,
        ours=CONV,
        by_hand={"conv2d": conv_by_hand},
        naive=conv,
        inputs=(X, normal("out chans 3 3", 0.1)),
        full=IMAGES,
        quick=TINY,
        left_out={"naive, compiled": COMPILED},
    ),
    Workload(
        name="depthwise convolution 3x3",
        group=GROUP,
        ours=DEPTHWISE,
        by_hand={"conv2d": depthwise_by_hand},
        naive=depthwise,
        inputs=(X, normal("chans 3 3", 0.3)),
        full=IMAGES,
        quick=TINY,
        left_out={"naive, compiled": COMPILED},
    ),
    Workload(
        name="max pool of windows",
        group=GROUP,
        ours=POOLS["max"],
        by_hand={"max_pool2d": lambda x: F.max_pool2d(x, 2)},
        naive=max_pool,
        others={"einops": einops_pool("max")},
        inputs=(X,),
        full=IMAGES,
        quick=TINY,
        left_out={"naive, compiled": COMPILED},
    ),
    Workload(
        name="mean pool of windows",
        group=GROUP,
        ours=POOLS["mean"],
        by_hand={"avg_pool2d": lambda x: F.avg_pool2d(x, 2)},
        naive=mean_pool,
        others={"einops": einops_pool("mean")},
        inputs=(X,),
        full=IMAGES,
        quick=TINY,
        left_out={"naive, compiled": COMPILED},
    ),
    Workload(
        name="involution 3x3",
        group=GROUP,
        ours=INVOLUTION,
        by_hand={"tap by tap": involution_by_taps},
        naive=involution,
        inputs=(normal("batch group chans height width"), normal("batch group 3 3 height width", 0.3)),
        full={"batch": 8, "group": 4, "chans": 16, "height": 28, "width": 28},
        quick={"batch": 2, "group": 2, "chans": 3, "height": 8, "width": 8},
        left_out={"naive, compiled": COMPILED},
    ),
    Workload(
        name="local correlation 5x5",
        group=GROUP,
        ours=CORRELATION,
        by_hand={"tap by tap": correlation_by_taps},
        naive=correlation,
        inputs=(normal("batch chans height width"), normal("batch chans height width"), normal("5 5")),
        full={"batch": 4, "chans": 64, "height": 32, "width": 32},
        quick={"batch": 2, "chans": 3, "height": 8, "width": 8},
        left_out={"naive, compiled": COMPILED},
    ),
)
