"""Mixtures of experts against the paper's equations, vector by vector."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import namedlayers as nl
from tests.library.beside import Beside, Weights

MIXTURE = nl.load("mixture")


class Experts(nn.Module):
    """Equation 1: a sum over the chosen experts only, each a network of its own; equations 3 and 5: the gates."""

    def __init__(self, features: int, experts: int, k: int, width: int) -> None:
        super().__init__()
        self.k = k
        self.gate = nn.Linear(features, experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, features)) for _ in range(experts)
        )

    def forward(self, X: Tensor) -> Tensor:
        rows = []
        for x in X.flatten(0, -2):
            logits = self.gate(x)
            best = logits.topk(self.k).indices
            gates = logits[best].softmax(0)
            rows.append(sum(g * self.experts[int(n)](x) for g, n in zip(gates, best, strict=True)))
        return torch.stack(rows).reshape(X.shape)


def together(weights: Weights) -> dict[str, Tensor]:
    def stacked(name: str) -> Tensor:
        return torch.stack([one for key, one in weights.items() if key.startswith("experts.") and key.endswith(name)])

    return {
        "Wg": weights["gate.weight"],
        "W1": stacked(".0.weight"), "b1": stacked(".0.bias"),
        "W2": stacked(".2.weight").transpose(0, 1), "b2": stacked(".2.bias"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "experts", "k"), [((2, 5, 4), 6, 2), ((7, 3), 4, 1), ((3, 4), 3, 3), ((2, 1, 1), 1, 1), ((1, 4), 5, 2)]
)
def test_a_mixture_is_the_sum_over_the_chosen(shape: tuple[int, ...], experts: int, k: int) -> None:
    Beside(
        lambda: MIXTURE.MixtureOfExperts(experts=experts, k=k, width=7),
        lambda: Experts(shape[-1], experts, k, 7), together, (shape,),
    ).check(f"{shape} {experts} {k}")  # fmt: skip


def test_gates_are_0_but_for_the_best() -> None:
    H = torch.tensor([[1.0, 3.0, 2.0, 0.0], [0.0, 0.0, 5.0, 1.0]])
    gates = MIXTURE.top_gates(H, k=2)
    assert gates.sum(-1).tolist() == pytest.approx([1, 1])
    assert (gates > 0).tolist() == [[False, True, True, False], [False, False, True, True]]


def test_noise_is_added_in_training_only() -> None:
    layer = MIXTURE.MixtureOfExperts(experts=4, k=2, noisy=True)
    X = torch.randn(64, 8)
    layer(X)
    assert layer.Wn.shape == (4, 8)
    torch.nn.init.normal_(layer.Wg)
    assert not torch.equal(layer(X), layer(X))
    layer.eval()
    assert torch.equal(layer(X), layer(X))


def test_balance() -> None:
    """1 where the experts are chosen evenly, their number where one is chosen always."""
    even = 100 * torch.eye(4).repeat(2, 1)
    assert MIXTURE.balance(even).item() == pytest.approx(1)
    assert MIXTURE.balance(even[:1].repeat(8, 1)).item() == pytest.approx(4)


def test_a_mixture_in_half_precision() -> None:
    layer = MIXTURE.MixtureOfExperts(experts=4)
    layer(torch.randn(3, 8))
    assert layer.bfloat16()(torch.randn(3, 8, dtype=torch.bfloat16)).dtype is torch.bfloat16
