"""Cells that are nobody's in particular: recurrences of many kinds, none of which any part of the compiler knows.

In: nothing. Out: `CELLS`: each as a formula, as the loop over steps that one writes, as the loop of somebody who takes
out of it what he can, and at its floor: in as few calls as torch has for a step, into memory that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.benchmarks import cells_by_hand as hand
from tests.benchmarks.loops import defined_last
from tests.benchmarks.workload import Input, normal, positive

# A gate that looks at each value of its own, and an update by a tenth.
GELU = """
def gated(X[time, batch, input], h0[batch, hidden];
          A[hidden', hidden], B[hidden', input], C[hidden', input], r[hidden], b[hidden]) -> [time, batch, hidden]:
    scan time with h = h0:
        g = sigmoid((B @[input] X)[hidden' -> hidden] + r * h)
        n = gelu((A @[hidden] (g * h) + C @[input] X)[hidden' -> hidden] + b)
        h = 0.9 * h + 0.1 * n
    return h
"""
# The rate network of computational neuroscience, as in Song, Yang and Wang, 2016.
RATES = """
def rates(X[time, batch, input], h0[batch, hidden]; W[hidden', input], U[hidden', hidden], b[hidden']
) -> [time, batch, hidden]:
    scan time with h = h0:
        h = 0.8 * h + 0.2 * relu(W @[input] X + U @[hidden] h + b)[hidden' -> hidden]
    return h
"""
# Feng et al., Were RNNs All We Needed?, 2024: gates that do not see the state.
MINGRU = """
def mingru(X[time, batch, input], h0[batch, hidden]; Wz[hidden, input], bz[hidden], Wh[hidden, input], bh[hidden]
) -> [time, batch, hidden]:
    scan time with h = h0:
        z = sigmoid(Wz @[input] X + bz)
        h = (1 - z) * h + z * (Wh @[input] X + bh)
    return h
"""
# Gers and Schmidhuber, Recurrent Nets that Time and Count, 2000: gates that see the cell.
PEEPHOLE = """
def peephole(X[time, batch, input], h0[batch, hidden], c0[batch, hidden];
             W[gate = 4, hidden', input], U[gate, hidden', hidden], b[gate, hidden'], p[hidden], q[hidden], s[hidden]
) -> [time, batch, hidden]:
    scan time with h = h0, c = c0:
        a = (W @[input] X + U @[hidden] h + b)[hidden' -> hidden]
        i = sigmoid(a[gate = 0] + p * c)
        f = sigmoid(a[gate = 1] + q * c)
        c = f * c + i * tanh(a[gate = 2])
        h = sigmoid(a[gate = 3] + s * c) * tanh(c)
    return h
"""
# Rusch and Mishra, Coupled Oscillatory Recurrent Neural Network, 2021.
OSCILLATOR = """
def oscillator(X[time, batch, input], y0[batch, hidden], z0[batch, hidden];
               W[hidden', hidden], V[hidden', hidden], U[hidden', input], b[hidden']) -> [time, batch, hidden]:
    scan time with y = y0, z = z0:
        a = tanh(W @[hidden] y + V @[hidden] z + U @[input] X + b)[hidden' -> hidden]
        z = z + 0.05 * (a - 1.2 * y - 0.9 * z)
        y = y + 0.05 * z
    return y
"""
# Ba et al., Layer Normalization, 2016, in a GRU that resets before the product.
NORMED = """
def norm[f](Y[f], s[f], b[f]):
    C = Y - mean[f](Y)
    return s * C / sqrt(mean[f](C**2) + 1e-5) + b

def normed(X[time, batch, input], h0[batch, hidden];
           Wr[hidden', input], Ur[hidden', hidden], Wz[hidden', input], Uz[hidden', hidden],
           Wn[hidden', input], Un[hidden', hidden], s[hidden'], b[hidden']) -> [time, batch, hidden]:
    scan time with h = h0:
        r = sigmoid(norm[hidden'](Wr @[input] X + Ur @[hidden] h, s, b))[hidden' -> hidden]
        z = sigmoid(norm[hidden'](Wz @[input] X + Uz @[hidden] h, s, b))[hidden' -> hidden]
        n = tanh(norm[hidden'](Wn @[input] X + Un @[hidden] (r * h), s, b))[hidden' -> hidden]
        h = (1 - z) * n + z * h
    return h
"""
# A decoder that looks at a memory at each step: Luong et al., 2015, with the state for a query.
DECODER = """
def decoder(X[time, batch, input], h0[batch, hidden];
            M[batch, mem, hidden], W[hidden', input], U[hidden', hidden], V[hidden', hidden], b[hidden']
) -> [time, batch, hidden]:
    scan time with h = h0:
        a = softmax[mem](sum[hidden](M * h) / sqrt(|hidden|))
        c = sum[mem](a * M)
        h = tanh(W @[input] X + U @[hidden] h + V @[hidden] c + b)[hidden' -> hidden]
    return h
"""
# The filter of a hidden Markov model, of probabilities.
FILTER = """
def filter(X[time, batch, input], p0[batch, hidden]; A[hidden, hidden'], W[hidden', input], b[hidden']
) -> [time, batch, hidden]:
    scan time with p = p0:
        q = (p @[hidden] A) * exp(W @[input] X + b)
        p = (q / sum[hidden'](q))[hidden' -> hidden]
    return p
"""
# The same forwards, of logarithms.
FORWARD = """
def forward(X[time, batch, input], p0[batch, hidden]; A[hidden, hidden'], W[hidden', input], b[hidden']
) -> [time, batch, hidden]:
    scan time with p = p0:
        p = (logsumexp[hidden](p + A) + W @[input] X + b)[hidden' -> hidden]
    return p
"""
# Kalman's filter of independent values.
KALMAN = """
def kalman(Y[time, batch, input], m0[batch, hidden], v0[batch, hidden]; H[hidden, input], a[hidden], q[hidden],
           r[hidden]) -> [time, batch, hidden]:
    scan time with m = m0, v = v0:
        m = a * m
        v = a * a * v + q
        k = v / (v + r)
        m = m + k * (H @[input] Y - m)
        v = (1 - k) * v
    return m
"""


@dataclass(frozen=True)
class Cell:
    """A formula, the same by hand in three ways; `inputs` are its tensors, of which those numbered in `of_input` and in
    `of_state` are multiplied with the sequence and with what is carried."""

    name: str
    text: str
    by_hand: Callable[..., Tensor]
    hoisted: Callable[..., Tensor]
    at_floor: Callable[..., Tensor]
    inputs: tuple[Input, ...]
    of_input: tuple[int, ...]
    of_state: tuple[int, ...]

    @property
    def formula(self) -> str:
        """The name of the definition that is compiled."""
        return defined_last(self.text)

    def tensors(self, sizes: Mapping[str, int]) -> list[Tensor]:
        return [one(sizes) for one in self.inputs]

    def floor(self, tensors: Sequence[Tensor], *, backward: bool = False) -> Tensor:
        """The result, at the floor, and (`backward`) those products with weights that give its gradients; no more."""
        found = self.at_floor(*tensors)
        if backward:
            self._products(tensors, found)
        return found

    def _products(self, tensors: Sequence[Tensor], found: Tensor) -> None:
        states, flat = [tensors[k].flatten(0, -2) for k in self.of_state], found.flatten(0, 1)
        slopes = [found.repeat(1, 1, one.shape[0] // found.shape[2]) for one in states]
        for state, slope in zip(states, slopes, strict=True):
            for now in slope.unbind():
                torch.mm(now, state)
            slope.flatten(0, 1).t() @ flat
        for number in self.of_input:
            weights = tensors[number].flatten(0, -2)
            slope = found.repeat(1, 1, weights.shape[0] // found.shape[2]).flatten(0, 1)
            slope @ weights
            slope.t() @ tensors[0].flatten(0, 1)


X, H, P = normal("time batch input"), normal("batch hidden"), positive("batch hidden")
W, U, B = normal("hidden input", 0.1), normal("hidden hidden", 0.05), normal("hidden", 0.1)
GATES = (normal("4 hidden input", 0.1), normal("4 hidden hidden", 0.05), normal("4 hidden", 0.1))
CHANCES, RATE = positive("hidden hidden"), positive("hidden")

CELLS = (
    Cell("gated cell with gelu", GELU, hand.gelu, hand.gelu_hoisted, hand.gelu_floor,
         (X, H, U, W, W, B, B), (3, 4), (2,)),
    Cell("rate network", RATES, hand.rates, hand.rates_hoisted, hand.rates_floor, (X, H, W, U, B), (2,), (3,)),
    Cell("minGRU", MINGRU, hand.mingru, hand.mingru_hoisted, hand.mingru_floor, (X, H, W, B, W, B), (2, 4), ()),
    Cell("LSTM with peepholes", PEEPHOLE, hand.peephole, hand.peephole_hoisted, hand.peephole_floor,
         (X, H, H, *GATES, B, B, B), (3,), (4,)),
    Cell("coupled oscillators", OSCILLATOR, hand.oscillator, hand.oscillator_hoisted, hand.oscillator_floor,
         (X, H, H, U, U, W, B), (5,), (3, 4)),
    Cell("GRU with layer norms", NORMED, hand.normed, hand.normed_hoisted, hand.normed_floor,
         (X, H, W, U, W, U, W, U, B, B), (2, 4, 6), (3, 5, 7)),
    Cell("decoder over a memory", DECODER, hand.decoder, hand.decoder_hoisted, hand.decoder_floor,
         (X, H, normal("batch 16 hidden"), W, U, U, B), (3,), (4, 5)),
    Cell("hidden Markov filter", FILTER, hand.filtered, hand.filtered_hoisted, hand.filtered_floor,
         (X, P, CHANCES, W, B), (3,), (2,)),
    Cell("hidden Markov filter in logarithms", FORWARD, hand.forwards, hand.forwards_hoisted, hand.forwards_floor,
         (X, H, U, W, B), (3,), (2,)),
    Cell("Kalman filter", KALMAN, hand.kalman, hand.kalman_hoisted, hand.kalman_floor,
         (X, H, P, W, RATE, RATE, RATE), (3,), ()),
)  # fmt: skip
"""What no kernel covers, and no figure was ever tuned on."""
