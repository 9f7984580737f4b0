"""Recurrences that torch has kernels for, and those that are linear."""

from __future__ import annotations

from tests.plan.definitions.table import Case

RNN = """scan time with h = zeros[i]:
    h = tanh(R @[i] h + W @[d] X + b)[o -> i]
return h"""
LINEAR = """scan time with h = zeros[i]:
    h = a * h + X
return h"""


SIZES = {"time": 5, "d": 2, "i": 3, "o": 3}

CASES = (
    Case("linear recurrence", "X[time, i], a[time, i]", LINEAR, ("recurrence",), ("X a",), SIZES),
    Case("rnn", "X[time, d]; R[o, i], W[o, d], b[o]", RNN, ("rnn",), ("X",), SIZES),
)
