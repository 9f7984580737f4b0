"""Products of logarithms: sum layers of probabilistic circuits, and their Kronecker forms."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.benchmarks.workload import EDGE, Formula, Function, Other, Workload, normal

GROUP = "Logarithms"

SUM_LAYER = Formula(
    "def mix(X[fold, batch, unit]; W[fold, unit, out]) = X @[unit] W",
    {"semiring": "log", "semiring_inputs": ("X", "W")},
)
WRITTEN_OUT = Formula("def mix(X[fold, batch, unit]; W[fold, unit, out]) = logsumexp[unit](X + W)")
KRONECKER = Formula("""
def mix(X[fold, batch, i], Y[fold, batch, j]; W[fold, i, j, out]) -> [fold, batch, out]:
    return logsumexp[i, j](X + Y + W)
""")


MAX_PLUS = Formula(
    "def best(X[row, mid], W[mid, column]) -> [row, column] = X @[mid] W",
    {"semiring": "max-plus"},
)


def product(x: Tensor, w: Tensor) -> Tensor:
    top, side = x.amax(-1, keepdim=True), w.amax(-2, keepdim=True)
    return torch.log(torch.exp(x - top) @ torch.exp(w - side)) + top + side


def broadcast(x: Tensor, w: Tensor) -> Tensor:
    return torch.logsumexp(x.unsqueeze(-1) + w.unsqueeze(-3), -2)


def kronecker(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    return torch.logsumexp(x[:, :, :, None, None] + y[:, :, None, :, None] + w.unsqueeze(1), (2, 3))


def kronecker_by_hand(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    first, second, side = x.amax(-1, keepdim=True), y.amax(-1, keepdim=True), w.amax((1, 2))[:, None]
    pairs = torch.exp(x - first)[..., None] * torch.exp(y - second)[..., None, :]
    weights = torch.exp(w - side[:, 0, None, None]).flatten(1, 2)
    return torch.log(pairs.flatten(2) @ weights) + first + second + side


def largest(x: Tensor, w: Tensor) -> Tensor:
    return (x.unsqueeze(-1) + w).amax(-2)


def largest_of_rows(x: Tensor, w: Tensor) -> Tensor:
    return torch.cat([largest(rows, w) for rows in x.split(16)])


def einx_product() -> Function:
    import einx

    return lambda x, w: einx.logsumexp("f b [u] o", einx.add("f b u, f u o -> f b u o", x, w))


FOLDS = {"fold": 64, "batch": 256, "unit": 64, "out": 64}
TINY = {"fold": 3, "batch": 4, "unit": 5, "out": 6}
FACTORS = (normal("fold batch unit"), normal("fold unit out"))
WRONG = "shift, exponential, product, logarithm is wrong where the product underflows; the formula is exact there"

WORKLOADS = (
    Workload(
        name='sum layer under semiring="log"',
        group=GROUP,
        ours=SUM_LAYER,
        by_hand={"shift, exp, bmm, log": product},
        naive=broadcast,
        edges={"naive": 0.1},
        inputs=FACTORS,
        full=FOLDS,
        quick=TINY,
        note=WRONG,
    ),
    Workload(
        name="sum layer as logsumexp(X + W)",
        group=GROUP,
        ours=WRITTEN_OUT,
        by_hand={"shift, exp, bmm, log": product},
        naive=broadcast,
        edges={"naive": 0.1},
        others={"einx": Other(einx_product)},
        inputs=FACTORS,
        full=FOLDS,
        quick=TINY,
        note=WRONG,
    ),
    Workload(
        name="sum layer of logarithms of scale 300",
        group=GROUP,
        ours=SUM_LAYER,
        by_hand={"logsumexp of the outer sum": broadcast},
        naive=None,
        inputs=(normal("fold batch unit", 300), normal("fold unit out", 300)),
        full={**FOLDS, "fold": 16},
        quick=TINY,
        tolerance=1e-3,
    ),
    Workload(
        name="Kronecker sum layer",
        group=GROUP,
        ours=KRONECKER,
        by_hand={"shift, exp, bmm, log": kronecker_by_hand},
        naive=kronecker,
        edges={"naive": 0.1},
        inputs=(normal("fold batch i"), normal("fold batch j"), normal("fold i j out")),
        full={"fold": 16, "batch": 128, "i": 16, "j": 16, "out": 16},
        quick={"fold": 2, "batch": 3, "i": 4, "j": 5, "out": 6},
        note=WRONG,
    ),
    Workload(
        name='product under semiring="max-plus"',
        group=GROUP,
        ours=MAX_PLUS,
        by_hand={"amax of the outer sum": largest, "amax of outer sums of 16 rows": largest_of_rows},
        naive=largest,
        edges={"naive": EDGE},
        inputs=(normal("row mid"), normal("mid column")),
        full={"row": 256, "mid": 256, "column": 256},
        quick={"row": 20, "mid": 4, "column": 5},
    ),
)
