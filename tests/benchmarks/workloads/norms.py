"""Norms, softmax and losses, written out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import Formula, Function, Other, Workload, integers, normal

GROUP = "Norms, softmax, losses"

LAYER_NORM = Formula("""
def norm(X[layer]; gamma[layer], beta[layer]) -> [layer]:
    C = X - mean[layer](X)
    return gamma * C / sqrt(mean[layer](C * C) + 1e-5) + beta
""")
RMS_NORM = Formula("""
def norm(X[layer]; gamma[layer]) -> [layer] = gamma * X / sqrt(mean[layer](X ^ 2) + 1e-6)
""")
SOFTMAX = Formula("def weights(X[class]) -> [class] = exp(X - logsumexp[class](X))")
CROSS_ENTROPY = Formula("""
def loss(X[batch, class], target[batch]) -> []:
    return -sum[batch, class](one_hot[class](target) * log_softmax[class](X)) / |batch|
""")


def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    c = x - x.mean(-1, keepdim=True)
    return gamma * c / torch.sqrt((c * c).mean(-1, keepdim=True) + 1e-5) + beta


def layer_norm_by_hand(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return F.layer_norm(x, gamma.shape, gamma, beta)


def rms_norm(x: Tensor, gamma: Tensor) -> Tensor:
    return gamma * x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6)


def rms_norm_by_hand(x: Tensor, gamma: Tensor) -> Tensor:
    return F.rms_norm(x, gamma.shape, gamma, 1e-6)


def softmax(x: Tensor) -> Tensor:
    return torch.exp(x - torch.logsumexp(x, -1, keepdim=True))


def cross_entropy(x: Tensor, target: Tensor) -> Tensor:
    return -(F.one_hot(target, x.shape[-1]) * torch.log_softmax(x, -1)).sum() / len(x)


def einx_layer_norm() -> Function:
    import einx

    def run(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        c = einx.subtract("... l, ...", x, einx.mean("... [l]", x))
        scale = torch.rsqrt(einx.mean("... [l]", c * c) + 1e-5)
        return einx.add("... l, l", einx.multiply("... l, ..., l -> ... l", c, scale, gamma), beta)

    return run


def einx_softmax() -> Function:
    import einx

    return lambda x: einx.softmax("b [c]", x)


ROWS = {"batch": 4096, "layer": 512}
TINY = {"batch": 6, "layer": 8}
CLASSES = {"batch": 1024, "class": 1000}
TINY_CLASSES = {"batch": 6, "class": 5}

WORKLOADS = (
    Workload(
        name="layer norm",
        group=GROUP,
        ours=LAYER_NORM,
        by_hand={"layer_norm": layer_norm_by_hand},
        naive=layer_norm,
        others={"einx": Other(einx_layer_norm)},
        inputs=(normal("batch layer"), normal("layer"), normal("layer")),
        full=ROWS,
        quick=TINY,
    ),
    Workload(
        name="RMS norm",
        group=GROUP,
        ours=RMS_NORM,
        by_hand={"rms_norm": rms_norm_by_hand},
        naive=rms_norm,
        inputs=(normal("batch layer"), normal("layer")),
        full=ROWS,
        quick=TINY,
    ),
    Workload(
        name="softmax as exp(x - logsumexp(x))",
        group=GROUP,
        ours=SOFTMAX,
        by_hand={"softmax": lambda x: torch.softmax(x, -1)},
        naive=softmax,
        others={"einx": Other(einx_softmax)},
        inputs=(normal("batch class"),),
        full=CLASSES,
        quick=TINY_CLASSES,
        note="torch's softmax of a row of -inf is NaN; the formula promises 0",
    ),
    Workload(
        name="cross entropy with one-hot targets",
        group=GROUP,
        ours=CROSS_ENTROPY,
        by_hand={"cross_entropy": F.cross_entropy},
        naive=cross_entropy,
        inputs=(normal("batch class"), integers("batch", "class")),
        full=CLASSES,
        quick=TINY_CLASSES,
    ),
)
