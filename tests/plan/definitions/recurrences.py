"""Recurrences that torch has kernels for, and those that are linear."""

from __future__ import annotations

from tests.plan.definitions.table import Case

RNN = """scan time with h = zeros[i]:
    h = tanh(R @[i] h + W @[d] X + b)[o -> i]
return h"""
GRU = """scan time with h = zeros[i]:
    r = sigmoid((Rr @[i] h + Wr @[d] X + br)[o -> i])
    z = sigmoid((Rz @[i] h + Wz @[d] X + bz)[o -> i])
    n = tanh((Wn @[d] X + bn)[o -> i] + r * (Rn @[i] h + cn)[o -> i])
    h = (1 - z) * n + z * h
return h"""
LINEAR = """scan time with h = zeros[i]:
    h = a * h + X
return h"""
RUNNING = """scan time with h = -inf:
    h = maximum(h, X + a)
return h"""

SIZES = {"time": 5, "d": 2, "i": 3, "o": 3}

GATES = ", ".join(f"R{gate}[o, i], W{gate}[o, d], b{gate}[o]" for gate in "rzn")

CASES = (
    Case("linear recurrence", "X[time, i], a[time, i]", LINEAR, ("recurrence",), ("X a",), SIZES),
    Case("running maximum", "X[time, i], a[i]", RUNNING, ("add", "cumulative"), ("X",), SIZES),
    Case("rnn", "X[time, d]; R[o, i], W[o, d], b[o]", RNN, ("rnn",), ("X",), SIZES, share=0.5),
    Case("gru", f"X[time, d]; {GATES}, cn[o]", GRU, (*["concat"] * 4, "gru"), ("X",), SIZES, share=0.2),
)
