"""Loops that torch has no kernel for: formulas, the loop over steps as one writes it in Python, and what bounds them.

In: nothing. Out: texts, functions of tensors, and `floor`: what is left if nothing but products and activations took
any time, those that depend on the step before in a loop, all others for all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Zhou et al., Minimal Gated Unit for Recurrent Neural Networks, 2016: torch has no kernel for it.
MINIMAL = """
def minimal(X[time, batch, input], h0[batch, hidden];
            Wf[hidden', input], Uf[hidden', hidden], bf[hidden'], Wn[hidden', input], Un[hidden', hidden], bn[hidden']
) -> [time, batch, hidden]:
    scan time with h = h0:
        f = sigmoid(Wf @[input] X + Uf @[hidden] h + bf)[hidden' -> hidden]
        n = tanh((Wn @[input] X + bn)[hidden' -> hidden] + (Un @[hidden] (f * h))[hidden' -> hidden])
        h = (1 - f) * h + f * n
    return h
"""
# An LSTM whose cell is needed at every step: torch's kernel tells the last one only.
CELLS = """
def cells(X[time, batch, input], h0[batch, hidden], c0[batch, hidden];
          Wi[hidden', input], Ui[hidden', hidden], bi[hidden'], Wf[hidden', input], Uf[hidden', hidden], bf[hidden'],
          Wg[hidden', input], Ug[hidden', hidden], bg[hidden'], Wo[hidden', input], Uo[hidden', hidden], bo[hidden']
) -> [time, batch, hidden]:
    scan time with h = h0, c = c0:
        i = sigmoid(Wi @[input] X + Ui @[hidden] h + bi)[hidden' -> hidden]
        f = sigmoid(Wf @[input] X + Uf @[hidden] h + bf)[hidden' -> hidden]
        g = tanh(Wg @[input] X + Ug @[hidden] h + bg)[hidden' -> hidden]
        o = sigmoid(Wo @[input] X + Uo @[hidden] h + bo)[hidden' -> hidden]
        c = f * c + i * g
        h = o * tanh(c)
    return h + c
"""
# Li et al., Independently Recurrent Neural Network, 2018: nothing but an activation has to stay in the loop.
INDEPENDENT = """
def independent(X[time, batch, input], h0[batch, hidden]; W[hidden, input], u[hidden], b[hidden]
) -> [time, batch, hidden]:
    scan time with h = h0:
        h = tanh(W @[input] X + u * h + b)
    return h
"""
# Gu and Dao, Mamba, 2023, section 3.2: the selective state space.
SELECTIVE = """
def selective(X[time, chan], delta[time, chan], A[chan, state], B[time, state], C[time, state]) -> [time, chan]:
    scan time with h = zeros[chan, state]:
        h = exp(delta * A) * h + delta * X * B
        y = C @[state] h
    return y
"""
LINEAR = """
def linear(a[time, batch, state], b[time, batch, state], h0[batch, state]) -> [time, batch, state]:
    scan time with h = h0:
        h = a * h + b
    return h
"""


def minimal_by_hand(x: Tensor, h: Tensor, wf: Tensor, uf: Tensor, bf: Tensor, wn: Tensor, un: Tensor, bn: Tensor):  # type: ignore[no-untyped-def]
    found = []
    for now in x:
        f = torch.sigmoid(now @ wf.T + h @ uf.T + bf)
        n = torch.tanh(now @ wn.T + bn + (f * h) @ un.T)
        h = (1 - f) * h + f * n
        found.append(h)
    return torch.stack(found)


def cells_by_hand(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> Tensor:
    found = []
    for now in x:
        gates = [now @ weights[k].T + h @ weights[k + 1].T + weights[k + 2] for k in (0, 3, 6, 9)]
        c = torch.sigmoid(gates[1]) * c + torch.sigmoid(gates[0]) * torch.tanh(gates[2])
        h = torch.sigmoid(gates[3]) * torch.tanh(c)
        found.append(h + c)
    return torch.stack(found)


def independent_by_hand(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in x:
        h = torch.tanh(now @ w.T + u * h + b)
        found.append(h)
    return torch.stack(found)


def selective_by_hand(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    h, found = torch.zeros_like(a), []
    for now, step, into, out in zip(x, delta, b, c, strict=True):
        h = torch.exp(step[:, None] * a) * h + (step * now)[:, None] * into
        found.append(h @ out)
    return torch.stack(found)


def linear_by_hand(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    found = []
    for factor, summand in zip(a, b, strict=True):
        h = factor * h + summand
        found.append(h)
    return torch.stack(found)


@dataclass(frozen=True)
class Gate:
    """Rows of weights for the input and for the state, a bias, and what is applied in place."""

    inputs: Tensor
    state: Tensor | None
    bias: Tensor
    activation: Callable[[Tensor], object]


def minimal_gates(wf: Tensor, uf: Tensor, bf: Tensor, wn: Tensor, un: Tensor, bn: Tensor) -> list[Gate]:
    return [Gate(wf, uf, bf, torch.sigmoid_), Gate(wn, un, bn, torch.tanh_)]


def cells_gates(*weights: Tensor) -> list[Gate]:
    w, u, b = (torch.cat([weights[k + part] for k in (0, 3, 9, 6)]) for part in range(3))
    hidden = u.shape[1]

    def activation(gates: Tensor) -> None:
        gates[:, : 3 * hidden].sigmoid_()
        gates[:, 3 * hidden :].tanh_()
        gates[:, :hidden].tanh_()  # of the cell

    return [Gate(w, u, b, activation)]


def independent_gates(w: Tensor, u: Tensor, b: Tensor) -> list[Gate]:
    return [Gate(w, None, b, torch.tanh_)]


def floor(x: Tensor, h: Tensor, gates: Sequence[Gate], *, backward: bool) -> None:
    """The products and activations of a network, and (`backward`) those products that give its gradients; no more."""
    hoisted = [F.linear(x, gate.inputs, gate.bias) for gate in gates]
    packed = [None if gate.state is None else gate.state.t().contiguous() for gate in gates]
    for now in zip(*(one.unbind() for one in hoisted), strict=True):
        for value, state, gate in zip(now, packed, gates, strict=True):
            gate.activation(value if state is None else value.addmm_(h, state))
    if not backward:
        return
    back = torch.empty_like(h)
    for now in zip(*(reversed(one.unbind()) for one in hoisted), strict=True):
        for value, gate in zip(now, gates, strict=True):
            if gate.state is not None:
                torch.mm(value, gate.state, out=back)
    for values, gate in zip(hoisted, gates, strict=True):
        flat = values.flatten(0, 1)
        flat.t() @ x.flatten(0, 1)
        flat @ gate.inputs
        if gate.state is not None:
            flat.t() @ flat[:, : h.shape[1]]


LOOPS = (
    ("minimal gated unit", MINIMAL, minimal_by_hand, minimal_gates, 1, 2),
    ("LSTM with all cells", CELLS, cells_by_hand, cells_gates, 2, 4),
    ("independent RNN", INDEPENDENT, independent_by_hand, independent_gates, 1, 1),
)
"""What no kernel covers: formula, by hand, its gates, how many states it begins with, how many gates."""
