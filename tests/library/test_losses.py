"""The losses against torch's, in all their options: values and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from alike import assert_alike
from torch import Tensor

import namedlayers as nl

LOSSES = nl.load("losses")

REDUCTIONS = ("mean", "sum", "none")
CLASSES = torch.tensor([0, 3, 1, 3, 2, 0])
SOME = torch.tensor([0, -100, 1, 3, -100, 0])
OTHERS = torch.tensor([2, 2, 1, 3, 2, 0])
PIXELS = torch.tensor([[0, 3, 1], [3, -100, 0]])
WEIGHTS = torch.tensor([0.5, 2.0, 0.1, 1.5], dtype=torch.float64)
ANSWERS = torch.tensor([[0.0, 1, 1, 0], [1, 0, 0.25, 1]], dtype=torch.float64)
CHANCES = torch.tensor([[0.2, 0.9, 1.0, 0.5], [1e-50, 0.3, 0.0, 0.8]], dtype=torch.float64)
SHARES = torch.softmax(torch.arange(24.0, dtype=torch.float64).reshape(6, 4) % 5, 1)
SPARSE = torch.tensor([[0.0, 1, 0, 0], [0.25, 0, 0.75, 0]], dtype=torch.float64)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 1, 5)])
@pytest.mark.parametrize(
    ("name", "original", "options"),
    [
        ("mse", F.mse_loss, {}),
        ("l1", F.l1_loss, {}),
        ("huber", F.huber_loss, {"delta": 0.7}),
        (
            "smooth_l1",
            lambda x, y, delta, reduction: F.smooth_l1_loss(x, y, beta=delta, reduction=reduction),
            {"delta": 0.4},
        ),
    ],
)
def test_numbers(name: str, original: Any, options: dict[str, Any], shape: tuple[int, ...], reduction: str) -> None:
    options = options | {"reduction": reduction}
    assert_alike(
        lambda x, y: LOSSES[name](x, y, **options), lambda x, y: original(x, y, **options), (shape, shape), name
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("positive", [1.0, 3.5])
def test_yes_or_no(positive: float, reduction: str) -> None:
    weight = torch.tensor(positive, dtype=torch.float64)
    assert_alike(
        lambda x: LOSSES.bce_with_logits(x, ANSWERS, positive=positive, reduction=reduction),
        lambda x: F.binary_cross_entropy_with_logits(x, ANSWERS, pos_weight=weight, reduction=reduction),
        (30 * torch.randn(2, 4, dtype=torch.float64),), "yes or no",
    )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_chances_of_0_and_1_cost_100(reduction: str) -> None:
    found = LOSSES.bce(CHANCES, ANSWERS, reduction=reduction)
    torch.testing.assert_close(found, F.binary_cross_entropy(CHANCES, ANSWERS, reduction=reduction))
    inner = CHANCES.clamp(0.01, 0.99)
    assert_alike(
        lambda p: LOSSES.bce(p, ANSWERS, reduction=reduction),
        lambda p: F.binary_cross_entropy(p, ANSWERS, reduction=reduction), (inner,), "chances",
    )  # fmt: skip


def sigmoid_focal_loss(x: Tensor, y: Tensor, alpha: float, gamma: float, reduction: str) -> Tensor:
    """torchvision.ops.sigmoid_focal_loss."""
    p = torch.sigmoid(x)
    ce = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    p_t = p * y + (1 - p) * (1 - y)
    loss = (alpha * y + (1 - alpha) * (1 - y)) * ce * (1 - p_t) ** gamma
    return {"mean": loss.mean, "sum": loss.sum, "none": lambda: loss}[reduction]()


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.6, 1.5)])
def test_focal(alpha: float, gamma: float, reduction: str) -> None:
    answers = ANSWERS.round()
    assert_alike(
        lambda x: LOSSES.focal(x, answers, alpha=alpha, gamma=gamma, reduction=reduction),
        lambda x: sigmoid_focal_loss(x, answers, alpha, gamma, reduction), ((2, 4),), "focal",
    )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    ("target", "ignore"), [(CLASSES, -100), (SOME, -100), (OTHERS, 2)], ids=["all", "some", "another mark"]
)
def test_cross_entropy(target: Tensor, ignore: int, weight: Tensor | None, smoothing: float, reduction: str) -> None:
    given = {} if weight is None else {"weight": weight}
    assert_alike(
        lambda x: LOSSES.cross_entropy(x, target, **given, smoothing=smoothing, ignore=ignore, reduction=reduction),
        lambda x: F.cross_entropy(
            x, target, weight, ignore_index=ignore, label_smoothing=smoothing, reduction=reduction
        ),
        ((6, 4),), "cross entropy",
    )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize(("shape", "target"), [((6, 4), SOME), ((2, 4, 3), PIXELS), ((2, 4, 3, 1), PIXELS[..., None])])
def test_nll(shape: tuple[int, ...], target: Tensor, weight: Tensor | None, reduction: str) -> None:
    given = {} if weight is None else {"weight": weight}
    assert_alike(
        lambda x: LOSSES.nll(x, target, **given, reduction=reduction),
        lambda x: F.nll_loss(x, target, weight, reduction=reduction), (shape,), "nll",
    )  # fmt: skip
    assert_alike(
        lambda x: LOSSES.cross_entropy(x, target, **given, reduction=reduction),
        lambda x: F.cross_entropy(x, target, weight, reduction=reduction), (shape,), "pixels",
    )  # fmt: skip


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_probabilities_as_targets(reduction: str) -> None:
    assert_alike(
        lambda x: LOSSES.soft_cross_entropy(x, SHARES, reduction=reduction),
        lambda x: F.cross_entropy(x, SHARES, reduction=reduction), ((6, 4),), "soft",
    )  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), [("mean", "batchmean"), ("sum", "sum"), ("none", "none")])
@pytest.mark.parametrize("shares", [SHARES, SPARSE], ids=["dense", "with zeros"])
def test_kl(ours: str, theirs: str, shares: Tensor) -> None:
    assert_alike(
        lambda x: LOSSES.kl(x, shares, reduction=ours), lambda x: F.kl_div(x, shares, reduction=theirs),
        (shares.shape,), "kl",
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 1)])
def test_cosine_similarity(shape: tuple[int, ...]) -> None:
    assert_alike(LOSSES.cosine_similarity, lambda x, y: F.cosine_similarity(x, y, dim=-1), (shape, shape), "cosine")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("margin", [1.0, 0.2])
def test_triplet(margin: float, reduction: str) -> None:
    assert_alike(
        lambda a, p, n: LOSSES.triplet(a, p, n, margin=margin, reduction=reduction),
        lambda a, p, n: F.triplet_margin_loss(a, p, n, margin=margin, reduction=reduction), ((5, 3),) * 3, "triplet",
    )  # fmt: skip


def test_info_nce() -> None:
    assert_alike(
        lambda x, y: LOSSES.info_nce(x, y, temperature=0.3),
        lambda x, y: F.cross_entropy(x @ y.T / 0.3, torch.arange(5)), ((5, 3), (5, 3)), "nce",
    )  # fmt: skip


def test_what_reduction_may_be() -> None:
    with pytest.raises(nl.FormulaError, match="reduction is"):
        LOSSES.mse(torch.ones(3), torch.ones(3), reduction="avg")
