"""Layers as papers write them that mix places, or weigh them, channel by channel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import Formula, Workload, normal
from tests.benchmarks.workloads.convolution import COMPILED, GROUP

LIGHTWEIGHT = Formula("""
def lightweight(X[time, head, chans]; W[head, k]) -> [time, head, chans]:
    return softmax[k](W) @[k] unroll[time, k](X; padding = 3)
""")
BLUR = Formula("""
def blur(X[chans, height, width]; K[kh, kw]) -> [chans, height, width]:
    return K @[kh, kw] unroll[height, width, kh, kw](X; stride = 2, padding = 1)
""")
SIMAM = Formula("""
def simam(X[chans, height, width]) -> [chans, height, width]:
    d = (X - mean[height, width](X)) ^ 2
    v = sum[height, width](d) / (|height| * |width| - 1)
    return X * sigmoid(d / (4 * (v + 0.0001)) + 0.5)
""")
GATING = Formula("""
def gating(Z[seq, chans]; W[seq', seq], b[seq']) -> [seq, half]:
    P = Z[chans -> (two = 2, half)]
    V = standardize[half](P[two = 1])
    return P[two = 0] * (W @[seq] V + b)[seq' -> seq]
""")


def lightweight(x: Tensor, w: Tensor) -> Tensor:
    windows = F.pad(x, (0, 0, 0, 0, 3, 3)).unfold(1, w.shape[1], 1)
    return torch.einsum("hk,bthck->bthc", w.softmax(-1), windows)


def lightweight_by_hand(x: Tensor, w: Tensor) -> Tensor:
    chans = x.shape[2] * x.shape[3]
    kernels = w.softmax(-1).repeat_interleave(x.shape[3], 0).unsqueeze(1)
    found = F.conv1d(x.flatten(2).transpose(1, 2), kernels, padding=3, groups=chans)
    return found.transpose(1, 2).unflatten(2, x.shape[2:])


def blur(x: Tensor, kernel: Tensor) -> Tensor:
    windows = F.pad(x, (1, 1, 1, 1)).unfold(-2, 3, 2).unfold(-2, 3, 2)
    return torch.einsum("bchwij,ij->bchw", windows, kernel)


def blur_by_hand(x: Tensor, kernel: Tensor) -> Tensor:
    chans = x.shape[1]
    return F.conv2d(x, kernel.expand(chans, 1, -1, -1), stride=2, padding=1, groups=chans)


def simam(x: Tensor) -> Tensor:
    d = (x - x.mean((-2, -1), keepdim=True)) ** 2
    v = d.sum((-2, -1), keepdim=True) / (x.shape[-1] * x.shape[-2] - 1)
    return x * torch.sigmoid(d / (4 * (v + 1e-4)) + 0.5)


def gating(z: Tensor, w: Tensor, b: Tensor) -> Tensor:
    u, v = z.chunk(2, -1)
    v = (v - v.mean(-1, keepdim=True)) / (v.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    return u * (torch.einsum("ts,bsc->btc", w, v) + b.unsqueeze(-1))


def gating_by_hand(z: Tensor, w: Tensor, b: Tensor) -> Tensor:
    u, v = z.chunk(2, -1)
    v = F.layer_norm(v, v.shape[-1:])
    return u * F.linear(v.transpose(1, 2), w, b).transpose(1, 2)


def gating_by_matrices(z: Tensor, w: Tensor, b: Tensor) -> Tensor:
    u, v = z.chunk(2, -1)
    return u * (w @ F.layer_norm(v, v.shape[-1:]) + b.unsqueeze(-1))


IMAGES = {"batch": 8, "chans": 64, "height": 56, "width": 56}
TINY = {"batch": 2, "chans": 3, "height": 8, "width": 8}
X = normal("batch chans height width")

WORKLOADS = (
    Workload(
        name="lightweight convolution",
        group=GROUP,
        ours=LIGHTWEIGHT,
        by_hand={"conv1d": lightweight_by_hand},
        naive=lightweight,
        inputs=(normal("batch time head chans"), normal("head 7")),
        full={"batch": 8, "time": 256, "head": 8, "chans": 64},
        quick={"batch": 2, "time": 9, "head": 2, "chans": 3},
        left_out={"naive, compiled": COMPILED},
    ),
    Workload(
        name="blur pool",
        group=GROUP,
        ours=BLUR,
        by_hand={"conv2d": blur_by_hand},
        naive=blur,
        inputs=(X, normal("3 3", 0.3)),
        full=IMAGES,
        quick=TINY,
        left_out={"naive, compiled": COMPILED},
    ),
    Workload(
        name="SimAM",
        group=GROUP,
        ours=SIMAM,
        by_hand={"as published": simam},
        naive=simam,
        inputs=(X,),
        full=IMAGES,
        quick=TINY,
    ),
    Workload(
        name="gate of a gMLP",
        group=GROUP,
        ours=GATING,
        by_hand={"linear": gating_by_hand, "matmul": gating_by_matrices},
        naive=gating,
        inputs=(normal("batch seq 512"), normal("seq seq", 0.05), normal("seq")),
        full={"batch": 8, "seq": 256},
        quick={"batch": 2, "seq": 6},
    ),
)
