"""Recurrences that torch has kernels for, and those that are linear."""

from __future__ import annotations

from tests.plan.definitions.table import Case

RNN = """scan time with h = zeros[i]:
    h = tanh(R @[i] h + W @[d] X + b)[o -> i]
return h"""
LSTM = """scan time with h = zeros[i], c = zeros[i]:
    a = (R @[i] h + W @[d] X + b)[o -> i]
    c = sigmoid(a[g = 0]) * c + sigmoid(a[g = 1]) * tanh(a[g = 2])
    h = sigmoid(a[g = 3]) * tanh(c)
return h"""
LINEAR = """scan time with h = zeros[i]:
    h = a * h + X
return h"""


SIZES = {"time": 5, "d": 2, "i": 3, "o": 3}

CASES: tuple[Case, ...] = ()
# Missed where the body has a factor 1, a double negation or the like; the LSTM copies its weights gate by gate.
PENDING = (
    Case("linear recurrence", "X[time, i], a[time, i]", LINEAR, ("expand", "recurrence"), ("X a",), SIZES),
    Case("rnn", "X[time, d]; R[o, i], W[o, d], b[o]", RNN, ("expand", "rnn"), ("X",), SIZES),
)
PENDING = (Case("lstm", "X[time, d]; R[g = 4, o, i], W[g, o, d], b[g, o]", LSTM, ("lstm",), ("X",), SIZES),)
