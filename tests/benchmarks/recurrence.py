"""Recurrence: torch's networks as formulas, a scan that no kernel covers, linear recurrences.

    python tests/benchmarks/recurrence.py [--threads 2] [--rounds 15]

Both sides compute the same from the same tensors; that they agree is asserted before anything is timed. Networks stand
beside `torch.nn`'s modules with the same weights; what no kernel covers beside the loop over steps as one writes it in
Python, products with the input inside of the loop. There the floor is told, too: what is left if nothing but products
and activations took any time, those that depend on the step before in a loop, all others for all steps at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from turns import medians, report

import namedlayers as nl

NETWORKS = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}
SIZES = ((128, 32, 64, 128), (64, 8, 256, 256), (100, 1, 32, 64))
"""Steps, batch, inputs, hidden."""
WIDER = (*SIZES, (128, 32, 512, 128))
"""With inputs of which the product is most of the work: what can leave the loop is worth more."""

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


def pair(kind: str, steps: int, batch: int, inputs: int, hidden: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """The formula's network, as a module over (batch, time, input), and torch's with the same weights."""
    torch.manual_seed(0)
    theirs = NETWORKS[kind](inputs, hidden, batch_first=True)
    ours = getattr(nl.load("recurrent"), kind)(input=inputs, hidden=hidden)
    names = {"Wx": "weight_ih_l0", "Wh": "weight_hh_l0", "bx": "bias_ih_l0", "bh": "bias_hh_l0"}
    ours.load_state_dict({mine: getattr(theirs, its).detach() for mine, its in names.items()})

    def first(found: object) -> Tensor:
        return found[0] if isinstance(found, tuple) else found  # type: ignore[return-value]

    return {"formula": lambda x: first(ours(x)), f"nn.{kind}": lambda x: first(theirs(x))}


def compare(
    title: str, sides: dict[str, Callable[..., Tensor]], tensors: Sequence[Tensor], rounds: int,
    bound: Callable[[bool], object] | None = None,
) -> None:  # fmt: skip
    """Forward without gradients, then forward and backward to all tensors. `bound` is the floor, with a backward pass
    or without."""
    (_, mine), (base, theirs) = sides.items()
    torch.testing.assert_close(mine(*tensors), theirs(*tensors), rtol=1e-4, atol=1e-4)
    plain = [one.detach() for one in tensors]

    def forward(run: Callable[..., Tensor]) -> Callable[[], object]:
        def call() -> object:
            with torch.no_grad():
                return run(*plain)

        return call

    def both(run: Callable[..., Tensor]) -> Callable[[], object]:
        leaves = [one.detach().requires_grad_() for one in tensors]
        return lambda: run(*leaves).square().sum().backward()

    def least(backward: bool) -> dict[str, Callable[[], object]]:
        return {} if bound is None else {"floor": torch.no_grad()(lambda: bound(backward))}

    once = {name: forward(side) for name, side in sides.items()} | least(False)
    twice = {name: both(side) for name, side in sides.items()} | least(True)
    report(f"{title}, forward", medians(once, rounds=rounds), base)
    report(f"{title}, forward and backward", medians(twice, rounds=rounds), base)


LOOPS = (
    ("minimal gated unit", MINIMAL, minimal_by_hand, minimal_gates, 1, 2),
    ("LSTM with all cells", CELLS, cells_by_hand, cells_gates, 2, 4),
    ("independent RNN", INDEPENDENT, independent_by_hand, independent_gates, 1, 1),
)
"""What no kernel covers: formula, by hand, its gates, how many states it begins with, how many gates."""


def _bound(tensors: Sequence[Tensor], gates: Sequence[Gate], backward: bool) -> None:
    floor(tensors[0], tensors[1], gates, backward=backward)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for sizes in SIZES:
        steps, batch, inputs, hidden = sizes
        for kind in NETWORKS:
            title = f"{kind} {steps} steps, batch {batch}, {inputs} inputs, {hidden} hidden"
            compare(title, pair(kind, *sizes), [torch.randn(batch, steps, inputs)], options.rounds)
    for sizes in WIDER:
        for title, text, hand, gates, states, count in LOOPS:
            steps, batch, inputs, hidden = sizes
            state = (hidden,) if gates is independent_gates else (hidden, hidden)
            shapes = ((steps, batch, inputs), *((batch, hidden),) * states,
                      *((hidden, inputs), state, (hidden,)) * count)  # fmt: skip
            tensors = [torch.randn(shape) * 0.1 for shape in shapes]
            known = gates(*tensors[1 + states :])
            compare(
                f"{title}, {steps} steps, batch {batch}, {inputs} inputs, {hidden} hidden",
                {"formula": nl.compile(text), "loop": hand}, tensors, options.rounds,
                partial(_bound, tensors, known),
            )  # fmt: skip
    for steps, chan, state in ((1024, 64, 16), (4096, 16, 4), (512, 512, 16)):
        shapes = ((steps, chan), (steps, chan), (chan, state), (steps, state), (steps, state))
        tensors = [torch.randn(shape) for shape in shapes]
        tensors[1], tensors[2] = tensors[1].abs(), -tensors[2].abs()
        sides = {"formula": nl.compile(SELECTIVE), "loop": selective_by_hand}
        title = f"selective state space, {steps} steps, {chan} channels, {state} states"
        compare(title, sides, tensors, options.rounds)
    for steps, batch, state in ((1024, 1, 64), (1024, 8, 16 * 64), (4096, 1, 1024)):
        tensors = [torch.rand(steps, batch, state), torch.randn(steps, batch, state), torch.randn(batch, state)]
        sides = {"formula": nl.compile(LINEAR), "loop": linear_by_hand}
        compare(f"h = a * h + b, {steps} steps of {batch} x {state}", sides, tensors, options.rounds)


if __name__ == "__main__":
    main()
