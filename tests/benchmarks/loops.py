"""Loops that torch has no kernel for: formulas, the loop over steps as one writes it in Python, and what bounds them.

In: nothing. Out: texts, functions of tensors, and `floor`: what depends on nothing carried is computed for all steps at
once, and each step is as few calls as torch has for it, into memory that is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
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


def independent_hoisted(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    found = []
    for now in F.linear(x, w, b).unbind():
        h = torch.tanh(torch.addcmul(now, u, h))
        found.append(h)
    return torch.stack(found)


@dataclass(frozen=True)
class Gate:
    """Rows of weights for the input and for the state, and a bias."""

    inputs: Tensor
    state: Tensor | None
    bias: Tensor


Step = Callable[[list[Tensor], list[Tensor | None], list[Tensor], Tensor], None]
"""One step in as few calls as torch has for it: of the hoisted products of this step, the weights of the state, the
carried values, into memory that is there."""


def minimal_gates(wf: Tensor, uf: Tensor, bf: Tensor, wn: Tensor, un: Tensor, bn: Tensor) -> list[Gate]:
    return [Gate(wf, uf, bf), Gate(wn, un, bn)]


def minimal_step(now: list[Tensor], states: list[Tensor | None], carried: list[Tensor], out: Tensor) -> None:
    f, n = now
    (h,) = carried
    torch.mul(f.addmm_(h, states[0]).sigmoid_(), h, out=out)  # type: ignore[arg-type]
    n.addmm_(out, states[1]).tanh_()  # type: ignore[arg-type]
    torch.lerp(h, n, f, out=out)
    carried[0] = out


def cells_gates(*weights: Tensor) -> list[Gate]:
    w, u, b = (torch.cat([weights[k + part] for k in (0, 3, 9, 6)]) for part in range(3))
    return [Gate(w, u, b)]


def cells_step(now: list[Tensor], states: list[Tensor | None], carried: list[Tensor], out: Tensor) -> None:
    (gates,), (h, c) = now, carried
    gates.addmm_(h, states[0])  # type: ignore[arg-type]
    hidden = h.shape[1]
    i, f, o = gates[:, : 3 * hidden].sigmoid_().split(hidden, 1)
    carried[1] = torch.addcmul(c * f, i, gates[:, 3 * hidden :].tanh_())
    carried[0] = o.mul_(carried[1].tanh())
    torch.add(carried[0], carried[1], out=out)


def independent_gates(w: Tensor, u: Tensor, b: Tensor) -> list[Gate]:
    return [Gate(w, None, b)]


def independent_step(u: Tensor) -> Step:
    def step(now: list[Tensor], states: list[Tensor | None], carried: list[Tensor], out: Tensor) -> None:
        torch.addcmul(now[0], u, carried[0], out=out).tanh_()
        carried[0] = out

    return step


def floor(x: Tensor, carried: Sequence[Tensor], gates: Sequence[Gate], step: Step, *, backward: bool) -> Tensor:
    """The loop in as few calls as torch has for it, and (`backward`) those products that give its gradients; no
    more."""
    hoisted = [F.linear(x, gate.inputs, gate.bias) for gate in gates]
    packed = [None if gate.state is None else gate.state.t().contiguous() for gate in gates]
    h = carried[0]
    found, values = h.new_empty((len(x), *h.shape)), list(carried)
    for out, *now in zip(found.unbind(), *(one.unbind() for one in hoisted), strict=True):
        step(now, packed, values, out)
    if not backward:
        return found
    back = torch.empty_like(h)
    for now in zip(*(reversed(one.unbind()) for one in hoisted), strict=True):
        for value, gate in zip(now, gates, strict=True):
            if gate.state is not None:
                torch.mm(value, gate.state, out=back)
    for slopes, gate in zip(hoisted, gates, strict=True):
        flat = slopes.flatten(0, 1)
        flat.t() @ x.flatten(0, 1)
        flat @ gate.inputs
        if gate.state is not None:
            flat.t() @ flat[:, : h.shape[1]]
    return found


def defined_last(text: str) -> str:
    """The name of the last definition of a text."""
    return re.findall(r"^def (\w+)", text, re.MULTILINE)[-1]


@dataclass(frozen=True)
class Loop:
    """A formula, the same by hand, also with what can be taken out of the loop, and what its floor is made of: `states`
    is how many values it carries, `count` how many gates it has; `step` has the weights besides those of gates."""

    name: str
    text: str
    by_hand: Callable[..., Tensor]
    hoisted: Callable[..., Tensor]
    gates: Callable[..., list[Gate]]
    step: Callable[..., Step]
    states: int
    count: int

    @property
    def formula(self) -> str:
        """The name of the definition that is compiled."""
        return defined_last(self.text)

    def tensors(self, sizes: Mapping[str, int]) -> list[Tensor]:
        """The input, the values to begin with, the weights."""
        steps, batch, inputs, hidden = (sizes[axis] for axis in ("time", "batch", "input", "hidden"))
        of_state = (hidden,) if self.gates is independent_gates else (hidden, hidden)
        shapes = [(steps, batch, inputs), *[(batch, hidden)] * self.states]
        shapes += [(hidden, inputs), of_state, (hidden,)] * self.count
        return [torch.randn(shape) * 0.1 for shape in shapes]

    def floor(self, tensors: Sequence[Tensor], *, backward: bool = False) -> Tensor:
        """The result, at the floor."""
        carried, weights = tensors[1 : 1 + self.states], tensors[1 + self.states :]
        return floor(tensors[0], carried, self.gates(*weights), self.step(*weights), backward=backward)


LOOPS = (
    Loop("minimal gated unit", MINIMAL, minimal_by_hand, minimal_hoisted, minimal_gates, lambda *_: minimal_step, 1, 2),
    Loop("LSTM with all cells", CELLS, cells_by_hand, cells_hoisted, cells_gates, lambda *_: cells_step, 2, 4),
    Loop("independent RNN", INDEPENDENT, independent_by_hand, independent_hoisted, independent_gates,
         lambda w, u, b: independent_step(u), 1, 1),
)  # fmt: skip
"""What no kernel covers."""
