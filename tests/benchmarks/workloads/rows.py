"""Rows that are read, added up, or the nearest: quantizers, neighbours, histograms, sums by label."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import EDGE, Formula, Workload, integers, normal

GROUP = "Rows by number"

QUANTIZER = """
def quantize(X[n, d]; E[k, d]) -> [n, d]:
    nearest = argmin[k](sum[d]((X - E) ^ 2))
    return E[k = nearest]
"""
NEIGHBOURS = "def aggregate(X[n, d], near[m, k], w[m, k]) -> [m, d] = sum[k](w * X[n = near])"
LINEAR = "def aggregate(X[n, d], near[m, k]; W[o, d]) -> [m, o] = mean[k]((W @[d] X)[n = near])"
LABELS = """
def means(X[n, d], label[n]; zero[s]) -> [s, d]:
    Y = one_hot[s](label)
    return zero + (Y @[n] X) / maximum(sum[n](Y), 1)
"""

EXPERTS = "def experts(X[n, d], W[x, d, o], expert[n]) -> [n, o] = X @[d] W[x = expert]"


def by_product(x: Tensor, e: Tensor) -> Tensor:
    with torch.no_grad():
        nearest = torch.addmm(e.square().sum(1), x, e.t(), alpha=-2).argmin(1)
    return F.embedding(nearest, e)


def by_distances(x: Tensor, e: Tensor) -> Tensor:
    return F.embedding(torch.cdist(x, e).argmin(1), e)


def all_differences(x: Tensor, e: Tensor) -> Tensor:
    return e[(x[:, None] - e).square().sum(-1).argmin(1)]


def bags(x: Tensor, near: Tensor, w: Tensor) -> Tensor:
    return F.embedding_bag(near, x, mode="sum", per_sample_weights=w)


def rows_first(x: Tensor, near: Tensor, w: Tensor) -> Tensor:
    return (w.unsqueeze(-1) * x[near]).sum(1)


def product_first(x: Tensor, near: Tensor, w: Tensor) -> Tensor:
    return F.embedding_bag(near, F.linear(x, w), mode="mean")


def means_first(x: Tensor, near: Tensor, w: Tensor) -> Tensor:
    return F.linear(F.embedding_bag(near, x, mode="mean"), w)


def products_of_rows(x: Tensor, near: Tensor, w: Tensor) -> Tensor:
    return (x @ w.t())[near].mean(1)


def by_index_add(x: Tensor, label: Tensor, zero: Tensor) -> Tensor:
    count = torch.bincount(label, minlength=len(zero)).clamp(min=1)
    return zero[:, None] + torch.zeros(len(zero), x.shape[1]).index_add(0, label, x) / count[:, None]


def by_one_hot(x: Tensor, label: Tensor, zero: Tensor) -> Tensor:
    y = F.one_hot(label, len(zero)).to(x.dtype)
    return zero[:, None] + (y.t() @ x) / y.sum(0).clamp(min=1)[:, None]


def expert_by_expert(x: Tensor, w: Tensor, expert: Tensor) -> Tensor:
    found = x.new_zeros(len(x), w.shape[2])
    for k, matrix in enumerate(w):
        (chosen,) = torch.where(expert == k)
        found = found.index_add(0, chosen, x[chosen] @ matrix)
    return found


def sorted_by_expert(x: Tensor, w: Tensor, expert: Tensor) -> Tensor:
    order = expert.argsort()
    parts = x[order].split(torch.bincount(expert, minlength=len(w)).tolist())
    found = torch.cat([part @ matrix for part, matrix in zip(parts, w, strict=True)])
    return torch.empty_like(found).index_copy(0, order, found)


def experts_read(x: Tensor, w: Tensor, expert: Tensor) -> Tensor:
    return torch.bmm(x.unsqueeze(1), w[expert]).squeeze(1)


WORKLOADS = (
    Workload(
        name="vector quantizer",
        group=GROUP,
        ours=Formula(QUANTIZER),
        by_hand={"addmm, argmin": by_product, "cdist": by_distances},
        naive=all_differences,
        inputs=(normal("n d"), normal("k d")),
        full={"n": 1024, "k": 512, "d": 64},
        quick={"n": 40, "k": 30, "d": 64},
        note="by hand the digits of distances are lost",
    ),
    Workload(
        name="weighted sums of neighbours",
        group=GROUP,
        ours=Formula(NEIGHBOURS),
        by_hand={"embedding_bag": bags},
        naive=rows_first,
        inputs=(normal("n d"), integers("m k", "n"), normal("m k")),
        full={"n": 4096, "m": 4096, "k": 8, "d": 128},
        quick={"n": 50, "m": 40, "k": 8, "d": 64},
    ),
    Workload(
        name="means of few neighbours, of a linear map",
        group=GROUP,
        ours=Formula(LINEAR),
        by_hand={"the map first": product_first, "means first": means_first},
        naive=products_of_rows,
        inputs=(normal("n d"), integers("m k", "n"), normal("o d", 0.1)),
        full={"n": 8192, "m": 1024, "k": 8, "d": 64, "o": 128},
        quick={"n": 50, "m": 40, "k": 8, "d": 64, "o": 5},
    ),
    Workload(
        name="means by label",
        group=GROUP,
        ours=Formula(LABELS),
        by_hand={"index_add": by_index_add},
        naive=by_one_hot,
        inputs=(normal("n d"), integers("n", "s"), normal("s")),
        full={"n": 16384, "s": 512, "d": 64},
        quick={"n": 40, "s": 5, "d": 6},
    ),
    Workload(
        name="experts, one for each row",
        group=GROUP,
        ours=Formula(EXPERTS),
        by_hand={"sorted by expert": sorted_by_expert, "expert by expert": expert_by_expert},
        naive=experts_read,
        inputs=(normal("n d"), normal("x d o", 0.1), integers("n", "x")),
        full={"n": 1024, "d": 256, "o": 256, "x": 8},
        quick={"n": 90, "d": 70, "o": 60, "x": 3},
        edges={"naive": EDGE},
    ),
)
