"""Recurrences: those that torch has kernels for, and those that it has not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.benchmarks import loops
from tests.benchmarks.workload import EDGE, Formula, Function, Input, Workload, normal, positive

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

GRU = Formula("""
def gru(X[time, batch, input], h0[batch, hidden];
        Wx[gate = 3, hidden', input], Wh[gate, hidden', hidden], bx[gate, hidden'], bh[gate, hidden']
) -> [time, batch, hidden]:
    scan time with h = h0:
        a = (Wx @[input] X + bx)[hidden' -> hidden]
        b = (Wh @[hidden] h + bh)[hidden' -> hidden]
        r = sigmoid(a[gate = 0] + b[gate = 0])
        z = sigmoid(a[gate = 1] + b[gate = 1])
        n = tanh(a[gate = 2] + r * b[gate = 2])
        h = (1 - z) * n + z * h
    return h
""")


# Dao and Gu, Transformers are SSMs (Mamba-2), 2024, section 6: states that are outer products, one decay for each head.
DUAL = Formula("""
def dual(X[batch, head, time, chan], a[batch, head, time], B[batch, time, state], C[batch, time, state]
) -> [batch, head, time, chan]:
    scan time with h = zeros[batch, head, state, chan]:
        h = a * h + B * X
        y = C @[state] h
    return y
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


def gru(x: Tensor, h: Tensor, wx: Tensor, wh: Tensor, bx: Tensor, bh: Tensor) -> Tensor:
    found = []
    for now in x:
        r, z = (torch.sigmoid(now @ wx[k].T + bx[k] + h @ wh[k].T + bh[k]) for k in range(2))
        n = torch.tanh(now @ wx[2].T + bx[2] + r * (h @ wh[2].T + bh[2]))
        h = (1 - z) * n + z * h
        found.append(h)
    return torch.stack(found)


def gru_by_hand(x: Tensor, h: Tensor, *weights: Tensor) -> Tensor:
    flat = [one.flatten(0, 1) for one in weights]
    return torch.gru(x, h[None], flat, True, 1, 0.0, False, False, False)[0]


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


def dual(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    h, found = torch.zeros(*x.shape[:2], b.shape[2], x.shape[3]), []
    for now, decay, into, out in zip(x.unbind(2), a.unbind(2), b.unbind(1), c.unbind(1), strict=True):
        h = decay[..., None, None] * h + into[:, None, :, None] * now[:, :, None]
        found.append((out[:, None, None] @ h)[:, :, 0])
    return torch.stack(found, 2)


def dual_in_chunks(x: Tensor, a: Tensor, b: Tensor, c: Tensor, chunk: int = 64) -> Tensor:
    """As section 6 has it; for as many steps as whole chunks have."""
    chunk = min(chunk, x.shape[2])
    x, logs = x.unflatten(2, (-1, chunk)), a.log().unflatten(2, (-1, chunk)).cumsum(-1)
    b, c = (one.unflatten(1, (-1, chunk))[:, None] for one in (b, c))
    within = (logs[..., :, None] - logs[..., None, :]).exp().tril()
    found = ((c @ b.mT) * within) @ x
    sums = (b * (logs[..., -1:] - logs).exp()[..., None]).mT @ x
    states = [torch.zeros_like(sums[:, :, 0])]
    for decay, summand in zip(logs[..., -1, None, None].exp().unbind(2), sums.unbind(2), strict=True):
        states.append(torch.addcmul(summand, decay, states[-1]))
    found = found + (c * logs.exp()[..., None]) @ torch.stack(states[:-1], 2)
    return found.flatten(2, 3)


def below_one(make: Input) -> Input:
    return lambda sizes: torch.sigmoid(make(sizes) + 3)


def negative(make: Input) -> Input:
    return lambda sizes: -make(sizes)


STEPS = {
    "": {"time": 128, "batch": 32, "input": 64, "hidden": 128},
    ", wide": {"time": 64, "batch": 8, "input": 256, "hidden": 256},
    ", one sequence": {"time": 100, "batch": 1, "input": 32, "hidden": 64},
    ", wide inputs": {"time": 128, "batch": 32, "input": 512, "hidden": 128},
}
TINY = {"time": 5, "batch": 2, "input": 3, "hidden": 4}
X, H = normal("time batch input"), normal("batch hidden")
GATE = (normal("hidden input", 0.1), normal("hidden hidden", 0.1), normal("hidden", 0.1))
UNROLLED = "torch.compile unrolls the loop: minutes"
LOOPS = {"naive, compiled": UNROLLED, "hoisted, compiled": UNROLLED, "unbound, compiled": UNROLLED}
TAKEN_APART = "torch.compile takes the kernel apart into its steps: minutes"
KERNELS = {
    f"{name}, {by}": TAKEN_APART
    for name, by in (("ours", "inductor"), *((f"torch.{kind}", "compiled") for kind in ("rnn_tanh", "lstm", "gru")))
}


def gates(count: int) -> tuple[Input, ...]:
    """The weights and biases of a kernel: its gates are one axis."""
    return (
        normal(f"{count} hidden input", 0.1),
        normal(f"{count} hidden hidden", 0.1),
        normal(f"{count} hidden", 0.1),
        normal(f"{count} hidden", 0.1),
    )


def sized(name: str, **parts: Any) -> tuple[Workload, ...]:
    """A recurrence at all sizes; beside a kernel, the loop is slow enough once."""
    return tuple(
        Workload(
            name=f"{name}{told}",
            group=GROUP,
            full=sizes,
            quick=TINY,
            left_out={**LOOPS, **({} if parts["edges"] else KERNELS)},
            **parts | ({} if not told or parts["edges"] else {"naive": None}),
        )
        for told, sizes in STEPS.items()
    )


def stepwise(
    name: str, text: str, hand: Function, naive: Function, told: str, inputs: tuple[Input, ...], full: dict[str, int]
) -> Workload:
    """A linear recurrence, which needs no loop."""
    return Workload(
        name=name,
        group=GROUP,
        ours=Formula(text),
        by_hand={told: hand},
        naive=naive,
        edges={"naive": EDGE},
        inputs=inputs,
        full=full,
        quick={axis: {"time": 6, "batch": 1}.get(axis, 3) for axis in full},
        left_out=LOOPS,
        tolerance=1e-3,
    )


LINEAR_INPUTS = (positive("time batch state"), normal("time batch state"), normal("batch state"))
SELECTIVE_INPUTS = (
    normal("time chan"),
    positive("time chan"),
    negative(positive("chan state")),
    normal("time state"),
    normal("time state"),
)

WORKLOADS = (
    *sized("RNN", ours=RNN, by_hand={"torch.rnn_tanh": rnn_by_hand}, naive=rnn, edges={},
           inputs=(X, H, GATE[0], GATE[1], GATE[2], GATE[2])),
    *sized("LSTM", ours=LSTM, by_hand={"torch.lstm": lstm_by_hand}, naive=lstm, edges={}, inputs=(X, H, H, *gates(4))),
    *sized("GRU", ours=GRU, by_hand={"torch.gru": gru_by_hand}, naive=gru, edges={}, inputs=(X, H, *gates(3))),
    *sized("minimal gated unit", ours=Formula(loops.MINIMAL), by_hand={"hoisted": loops.minimal_hoisted},
           naive=loops.minimal_by_hand, edges={"naive": EDGE}, inputs=(X, H, *GATE * 2)),
    *sized("LSTM of which all cells are wanted", ours=Formula(loops.CELLS), by_hand={"hoisted": loops.cells_hoisted},
           naive=loops.cells_by_hand, edges={"naive": EDGE}, inputs=(X, H, H, *GATE * 4)),
    *sized("independent RNN", ours=Formula(loops.INDEPENDENT), by_hand={"hoisted": loops.independent_hoisted},
           naive=loops.independent_by_hand, edges={"naive": EDGE}, inputs=(X, H, GATE[0], GATE[2], GATE[2])),
    *(stepwise(f"h = a * h + b, {time} steps of {batch} x {state}", loops.LINEAR, linear_unbound,
               loops.linear_by_hand, "unbound", LINEAR_INPUTS, {"time": time, "batch": batch, "state": state})
      for time, batch, state in ((1024, 1, 64), (1024, 8, 1024), (4096, 1, 1024))),
    *(stepwise(f"selective state space, {time} steps, {chan} x {state}", loops.SELECTIVE, selective_hoisted,
               loops.selective_by_hand, "hoisted", SELECTIVE_INPUTS, {"time": time, "chan": chan, "state": state})
      for time, chan, state in ((1024, 64, 16), (4096, 16, 4), (512, 512, 16))),
    Workload(
        name="state space dual, as a scan",
        group=GROUP,
        ours=DUAL,
        by_hand={"in chunks": dual_in_chunks},
        naive=dual,
        edges={"naive": EDGE},
        inputs=(normal("batch head time chan"), below_one(normal("batch head time")),
                normal("batch time state", 0.1), normal("batch time state", 0.1)),
        full={"batch": 2, "head": 4, "time": 512, "chan": 64, "state": 64},
        quick={"batch": 1, "head": 2, "time": 6, "chan": 3, "state": 2},
        left_out=LOOPS | {"ours, inductor": "torch.compile runs it step by step: minutes"},
        tolerance=1e-3,
    ),
)  # fmt: skip
