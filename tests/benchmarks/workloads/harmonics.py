"""Sums of waves: transforms that are written as sums, kernels of random Fourier features, long convolutions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import Formula, Workload, normal

GROUP = "Waves"

COSINES = Formula("""
def transform(X[batch, time]) -> [batch, frequency]:
    |frequency| = |time|
    return sum[time](X * cos(pi / |time| * (index[time] + 0.5) * index[frequency]))
""")
FEATURES = Formula(
    """
def kernel(A[query, feature], B[seq, feature], V[seq, val]) -> [query, val]:
    return mean[feature](cos(A - B)) @[seq] V
""",
    {"numerics": "fast"},
)
LONG = Formula(
    """
def convolved(X[batch, chan, time], H[chan, time]) -> [batch, chan, time]:
    return sum[lag](H[time -> lag] * X[time = time - lag; fill = 0])
""",
    {"numerics": "fast"},
)
ROUND = Formula(
    """
def convolved(X[batch, chan, time], H[chan, time]) -> [batch, chan, time]:
    return sum[lag](H[time -> lag] * X[time = (time - lag) % |time|])
""",
    {"numerics": "fast"},
)


def by_table(x: Tensor) -> Tensor:
    times = torch.arange(x.shape[1], device=x.device)
    return x @ torch.cos(math.pi / x.shape[1] * (times[:, None] + 0.5) * times)


def by_transform(x: Tensor) -> Tensor:
    """Even places there, odd ones back (Makhoul)."""
    found = torch.fft.fft(torch.cat((x[:, ::2], x[:, 1::2].flip(1)), 1))
    angle = torch.arange(x.shape[1], device=x.device) * (math.pi / (2 * x.shape[1]))
    return found.real * angle.cos() + found.imag * angle.sin()


def pairwise(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    return torch.cos(a[:, None] - b).mean(2) @ v


def by_features(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    queries, keys = (torch.cat((one.cos(), one.sin()), 1) for one in (a, b))
    return queries @ (keys.mT @ v) / a.shape[1]


def by_spectra(x: Tensor, h: Tensor) -> Tensor:
    twice = 2 * x.shape[-1]
    return torch.fft.irfft(torch.fft.rfft(x, twice) * torch.fft.rfft(h, twice), twice)[..., : x.shape[-1]]


def by_taps(x: Tensor, h: Tensor) -> Tensor:
    return F.conv1d(x, h.flip(1).unsqueeze(1), padding=h.shape[1] - 1, groups=h.shape[0])[..., : x.shape[-1]]


def round_by_spectra(x: Tensor, h: Tensor) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(h), x.shape[-1])


def round_by_taps(x: Tensor, h: Tensor) -> Tensor:
    around = F.pad(x, (x.shape[-1] - 1, 0), mode="circular")
    return F.conv1d(around, h.flip(1).unsqueeze(1), groups=h.shape[0])


WORKLOADS = (
    Workload(
        name="discrete cosine transform, written as a sum",
        group=GROUP,
        ours=COSINES,
        by_hand={"torch.fft": by_transform, "a table": by_table},
        naive=by_table,
        edges={},
        inputs=(normal("batch time"),),
        full={"batch": 256, "time": 1024},
        quick={"batch": 2, "time": 40},
    ),
    Workload(
        name="random Fourier features, written as their kernel",
        group=GROUP,
        ours=FEATURES,
        by_hand={"features": by_features},
        naive=pairwise,
        edges={"naive": 0.1},
        inputs=(normal("query feature"), normal("seq feature"), normal("seq val")),
        full={"query": 1024, "seq": 1024, "feature": 64, "val": 64},
        quick={"query": 12, "seq": 10, "feature": 4, "val": 3},
    ),
    Workload(
        name="long convolution, written as a sum",
        group=GROUP,
        ours=LONG,
        by_hand={"torch.fft": by_spectra},
        naive=by_taps,
        edges={"naive": 0.1},
        inputs=(normal("batch chan time"), normal("chan time")),
        full={"batch": 4, "chan": 64, "time": 1024},
        quick={"batch": 2, "chan": 3, "time": 200},
    ),
    Workload(
        name="circular convolution, written as a sum",
        group=GROUP,
        ours=ROUND,
        by_hand={"torch.fft": round_by_spectra},
        naive=round_by_taps,
        edges={"naive": 0.1},
        inputs=(normal("batch chan time"), normal("chan time")),
        full={"batch": 4, "chan": 64, "time": 1024},
        quick={"batch": 2, "chan": 3, "time": 200},
    ),
)
