"""State space models against the papers' own code, written out in torch."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import namedlayers as nl
from tests.library.beside import Beside, Weights

STATE_SPACE = nl.load("state_space")


class S4D(nn.Module):
    """`s4d.py` of state-spaces/s4, with a `layer` of features last."""

    def __init__(self, features: int, states: int, *, block: bool = False) -> None:
        super().__init__()
        half = states // 2
        self.log_dt, self.C = nn.Parameter(torch.empty(features)), nn.Parameter(torch.empty(features, half, 2))
        self.log_A_real, self.A_imag = (nn.Parameter(torch.empty(features, half)) for _ in range(2))
        self.D = nn.Parameter(torch.empty(features))
        if block:
            self.output_linear = nn.Conv1d(features, 2 * features, 1)
        self.block = block

    def forward(self, u: Tensor) -> Tensor:
        u = u.mT
        L = u.shape[-1]
        dt = torch.exp(self.log_dt)
        A = -torch.exp(self.log_A_real) + 1j * self.A_imag
        dtA = A * dt[:, None]
        C = torch.view_as_complex(self.C) * (torch.exp(dtA) - 1.0) / A
        K = 2 * torch.einsum("hn, hnl -> hl", C, torch.exp(dtA[..., None] * torch.arange(L))).real
        y = torch.fft.irfft(torch.fft.rfft(u, n=2 * L) * torch.fft.rfft(K, n=2 * L), n=2 * L)[..., :L]
        y = y + u * self.D[:, None]
        if self.block:
            y = F.glu(self.output_linear(F.gelu(y)), dim=-2)
        return y.mT


S4D_NAMES = {"log_dt": "log_dt", "log_decay": "log_A_real", "frequency": "A_imag", "C": "C", "D": "D"}


def s4d(weights: Weights, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + ours: weights[theirs] for ours, theirs in S4D_NAMES.items()}


def s4d_block(weights: Weights) -> dict[str, Tensor]:
    linear = {"mix.W": weights["output_linear.weight"][..., 0], "mix.b": weights["output_linear.bias"]}
    return s4d(weights, "space.") | linear


class Mamba(nn.Module):
    """mamba_simple.py of state-spaces/mamba by its reference scan, the parts of its `x_proj` apart."""

    def __init__(self, features: int, *, expand: int = 2, states: int = 3, kernel: int = 4) -> None:
        super().__init__()
        inner, rank = expand * features, math.ceil(features / 16)
        self.in_proj = nn.Linear(features, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, kernel, groups=inner, padding=kernel - 1)
        self.dt_in, self.B, self.C = (nn.Linear(inner, n, bias=False) for n in (rank, states, states))
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log, self.D = nn.Parameter(torch.empty(inner, states)), nn.Parameter(torch.empty(inner))
        self.out_proj = nn.Linear(inner, features, bias=False)

    def forward(self, X: Tensor) -> Tensor:
        x, z = self.in_proj(X).chunk(2, -1)
        x = F.silu(self.conv1d(x.mT)[..., : X.shape[-2]]).mT
        dt = F.softplus(self.dt_proj(self.dt_in(x)))
        B, C, A = self.B(x), self.C(x), -torch.exp(self.A_log)
        h = torch.zeros(*x.shape[:-2], *A.shape, dtype=x.dtype)
        ys = [x[..., :0, :]]
        for t in range(x.shape[-2]):
            step = dt[..., t, :, None]
            h = torch.exp(step * A) * h + step * B[..., t, None, :] * x[..., t, :, None]
            ys.append((h @ C[..., t, :, None]).mT)
        y = torch.cat(ys, -2) + x * self.D
        return self.out_proj(y * F.silu(z))


def mamba(weights: Weights) -> dict[str, Tensor]:
    return {
        "in_proj.W": weights["in_proj.weight"], "out_proj.W": weights["out_proj.weight"],
        "conv": weights["conv1d.weight"][:, 0], "conv_bias": weights["conv1d.bias"],
        "dt_in.W": weights["dt_in.weight"], "B_proj.W": weights["B.weight"], "C_proj.W": weights["C.weight"],
        "dt_proj": weights["dt_proj.weight"], "dt_bias": weights["dt_proj.bias"],
        "A_log": weights["A_log"], "D": weights["D"],
    }  # fmt: skip


LAYERS = {
    "s4d": Beside(lambda: STATE_SPACE.S4D(states=8), lambda: S4D(3, 8), s4d, ((2, 5, 3),)),
    "s4d, one step": Beside(lambda: STATE_SPACE.S4D(states=2), lambda: S4D(3, 2), s4d, ((2, 1, 3),)),
    "s4d, without a batch": Beside(lambda: STATE_SPACE.S4D(states=4), lambda: S4D(1, 4), s4d, ((6, 1),)),
    "s4d block": Beside(lambda: STATE_SPACE.S4DBlock(states=8), lambda: S4D(3, 8, block=True), s4d_block, ((2, 5, 3),)),
    "mamba": Beside(lambda: STATE_SPACE.Mamba(state=3), lambda: Mamba(4), mamba, ((2, 6, 4),)),
    "mamba, one step": Beside(lambda: STATE_SPACE.Mamba(state=3), lambda: Mamba(4), mamba, ((2, 1, 4),)),
    "mamba, two ranks": Beside(lambda: STATE_SPACE.Mamba(state=3), lambda: Mamba(17), mamba, ((2, 3, 17),)),
    "mamba, without a batch": Beside(
        lambda: STATE_SPACE.Mamba(expand=1, state=1, kernel=2),
        lambda: Mamba(2, expand=1, states=1, kernel=2), mamba, ((5, 2),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_state_spaces(name: str) -> None:
    LAYERS[name].check(name)


def test_a_causal_convolution() -> None:
    U, K = torch.randn(2, 6, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    found = STATE_SPACE.causal_convolution(U, K)
    wanted = torch.stack([sum(K[:, s] * U[:, t - s] for s in range(t + 1)) for t in range(6)], -1)
    torch.testing.assert_close(found, wanted)


def test_how_mamba_begins() -> None:
    """Its steps lie between 0.001 and 0.1, its decays are 1, 2, …"""
    layer = STATE_SPACE.Mamba()
    layer(torch.randn(1, 3, 32))
    steps = F.softplus(layer.dt_bias)
    assert steps.min() > 0.00099 and steps.max() < 0.101 and steps.std() > 0
    torch.testing.assert_close(layer.A_log.exp(), torch.arange(1.0, 17).expand(64, 16))
    assert (layer.D == 1).all()
