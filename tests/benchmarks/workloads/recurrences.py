"""Recurrences: those that torch has kernels for, and those that it has not."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import EDGE, Formula, Input, Workload, normal, positive

sys.path.append(str(Path(__file__).parents[1]))
from recurrence import (
    CELLS,
    LINEAR,
    MINIMAL,
    SELECTIVE,
    cells_by_hand,
    linear_by_hand,
    minimal_by_hand,
    selective_by_hand,
)

GROUP = "Recurrences"

RNN = Formula("""
def rnn(X[time, batch, input], h0[batch, hidden];
        Wx[hidden', input], Wh[hidden', hidden], bx[hidden'], bh[hidden']) -> [time, batch, hidden]:
    scan time with h = h0:
        h = tanh(Wx @[input] X + bx + Wh @[hidden] h + bh)[hidden' -> hidden]
    return h
""")
LSTM = Formula("""
def lstm(X[time, batch, input], h0[batch, hidden], c0[batch, hidden];
         Wx[gate = 4, hidden', input], Wh[gate, hidden', hidden], bx[gate, hidden'], bh[gate, hidden']
) -> [time, batch, hidden]:
    scan time with h = h0, c = c0:
        a = (Wx @[input] X + bx + Wh @[hidden] h + bh)[hidden' -> hidden]
        c = sigmoid(a[gate = 1]) * c + sigmoid(a[gate = 0]) * tanh(a[gate = 2])
        h = sigmoid(a[gate = 3]) * tanh(c)
    return h
""")


def rnn(x: Tensor, h: Tensor, wx: Tensor, wh: Tensor, bx: Tensor, bh: Tensor) -> Tensor:
    found = []
    for now in x:
        h = torch.tanh(now @ wx.T + bx + h @ wh.T + bh)
        found.append(h)
    return torch.stack(found)


def rnn_by_hand(x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    return torch.rnn_tanh(x, h[None], weights, True, 1, 0.0, False, False, False)[0]


def lstm(x: Tensor, h: Tensor, c: Tensor, wx: Tensor, wh: Tensor, bx: Tensor, bh: Tensor) -> Tensor:
    found = []
    for now in x:
        i, f, g, o = (now @ wx[k].T + bx[k] + h @ wh[k].T + bh[k] for k in range(4))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        found.append(h)
    return torch.stack(found)


def lstm_by_hand(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> Tensor:
    flat = [one.flatten(0, 1) for one in weights]
    return torch.lstm(x, (h[None], c[None]), flat, True, 1, 0.0, False, False, False)[0]


def minimal_hoisted(
    x: Tensor, h: Tensor, wf: Tensor, uf: Tensor, bf: Tensor, wn: Tensor, un: Tensor, bn: Tensor
) -> Tensor:
    gates, new = F.linear(x, wf, bf), F.linear(x, wn, bn)
    found = []
    for gate, candidate in zip(gates.unbind(), new.unbind(), strict=True):
        f = torch.sigmoid(torch.addmm(gate, h, uf.t()))
        n = torch.tanh(torch.addmm(candidate, f * h, un.t()))
        h = torch.lerp(h, n, f)
        found.append(h)
    return torch.stack(found)


def cells_hoisted(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> Tensor:
    wx, wh, b = torch.cat(weights[0::3]), torch.cat(weights[1::3]).t(), torch.cat(weights[2::3])
    found = []
    for now in F.linear(x, wx, b).unbind():
        i, f, g, o = torch.addmm(now, h, wh).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        found.append(h + c)
    return torch.stack(found)


def linear_unbound(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    found = []
    for factor, summand in zip(a.unbind(), b.unbind(), strict=True):
        h = torch.addcmul(summand, factor, h)
        found.append(h)
    return torch.stack(found)


def selective_hoisted(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    decay, into = torch.exp(delta[..., None] * a), (delta * x)[..., None] * b[:, None]
    h, found = torch.zeros_like(a), []
    for factor, summand in zip(decay.unbind(), into.unbind(), strict=True):
        h = torch.addcmul(summand, factor, h)
        found.append(h)
    return torch.einsum("tcs,ts->tc", torch.stack(found), c)


def negative(make: Input) -> Input:
    return lambda sizes: -make(sizes)


STEPS = {"time": 128, "batch": 32, "input": 64, "hidden": 128}
TINY = {"time": 5, "batch": 2, "input": 3, "hidden": 4}
X, H = normal("time batch input"), normal("batch hidden")
GATE = (normal("hidden input", 0.1), normal("hidden hidden", 0.1), normal("hidden", 0.1))
UNROLLED = "unrolls the loop: minutes"
LOOPS = {"naive, compiled": UNROLLED, "hoisted, compiled": UNROLLED, "unbound, compiled": UNROLLED}

WORKLOADS = (
    Workload(
        name="RNN",
        group=GROUP,
        ours=RNN,
        by_hand={"torch.rnn_tanh": rnn_by_hand},
        naive=rnn,
        inputs=(X, H, GATE[0], GATE[1], GATE[2], GATE[2]),
        full=STEPS,
        quick=TINY,
        left_out=LOOPS,
    ),
    Workload(
        name="LSTM",
        group=GROUP,
        ours=LSTM,
        by_hand={"torch.lstm": lstm_by_hand},
        naive=lstm,
        inputs=(
            X,
            H,
            H,
            normal("4 hidden input", 0.1),
            normal("4 hidden hidden", 0.1),
            normal("4 hidden", 0.1),
            normal("4 hidden", 0.1),
        ),
        full=STEPS,
        quick=TINY,
        left_out=LOOPS,
    ),
    Workload(
        name="LSTM of which all cells are wanted",
        group=GROUP,
        ours=Formula(CELLS),
        by_hand={"hoisted": cells_hoisted},
        naive=cells_by_hand,
        edges={"naive": 0.9},
        inputs=(X, H, H, *GATE * 4),
        full=STEPS,
        quick=TINY,
        left_out=LOOPS,
    ),
    Workload(
        name="minimal gated unit",
        group=GROUP,
        ours=Formula(MINIMAL),
        by_hand={"hoisted": minimal_hoisted},
        naive=minimal_by_hand,
        edges={"naive": EDGE},
        inputs=(X, H, *GATE * 2),
        full=STEPS,
        quick=TINY,
        left_out=LOOPS,
    ),
    Workload(
        name="h = a * h + b, 1024 steps",
        group=GROUP,
        ours=Formula(LINEAR),
        by_hand={"unbound": linear_unbound},
        naive=linear_by_hand,
        edges={"naive": EDGE},
        inputs=(positive("time batch state"), normal("time batch state"), normal("batch state")),
        full={"time": 1024, "batch": 1, "state": 64},
        quick={"time": 5, "batch": 1, "state": 4},
        left_out=LOOPS,
        tolerance=1e-3,
    ),
    Workload(
        name="selective state space",
        group=GROUP,
        ours=Formula(SELECTIVE),
        by_hand={"hoisted": selective_hoisted},
        naive=selective_by_hand,
        edges={"naive": EDGE},
        inputs=(
            normal("time chan"),
            positive("time chan"),
            negative(positive("chan state")),
            normal("time state"),
            normal("time state"),
        ),
        full={"time": 1024, "chan": 64, "state": 16},
        quick={"time": 6, "chan": 4, "state": 3},
        left_out=LOOPS,
        tolerance=1e-3,
    ),
)
