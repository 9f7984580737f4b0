"""Cells that torch has kernels for are told by their meaning; what nearly is one says why it is none."""

from __future__ import annotations

from random import Random

import pytest

from tests.plan import networks
from tests.plan.loops import Opened, agree, opened

CELLS = {"rnn": networks.rnn, "gru": networks.gru, "lstm": networks.lstm}


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("kind", CELLS)
def test_however_it_is_written(kind: str, seed: int) -> None:
    text = CELLS[kind](Random(f"{kind}{seed}"))
    found = opened(text)
    assert kind in found.ops and "scan" not in found.ops, f"{text}\n{found.events}"
    gates = {"gate": {"gru": 3, "lstm": 4}[kind]} if "gate" in found.program.symbols else {}
    for steps in (1, 5):
        agree(found, seed, time=steps, **gates)
    agree(found, seed, time=3, hidden=1, **gates)
    agree(found, seed, time=3, input=1, **gates)


RNN = """
def f(X[time, input], h0[hidden]; W[hidden', input], U[hidden', hidden], b[hidden']) -> [time, hidden]:
    scan time with h = h0:
        h = tanh(W @[input] X + U @[hidden] h + b)[hidden' -> hidden]
    return h
"""
PACKED = """
def f(
    X[time, input], h0[hidden], c0[hidden]; W[rows, input], U[rows, hidden], b[rows], d[rows]
) -> [time, hidden], [hidden]:
    scan time with h = h0, c = c0:
        a = (W @[input] X + b + U @[hidden] h + d)[rows -> (gate = 4, hidden)]
        c = sigmoid(a[gate = 1]) * c + sigmoid(a[gate = 0]) * tanh(a[gate = 2])
        h = sigmoid(a[gate = 3]) * tanh(c)
    return h, c[time = -1]
"""
HEADS = """
def f(
    X[time, batch, head, input], h0[batch, head, key]; W[head', key', head, input], U[head', key', head, key]
) -> [time, batch, head, key]:
    scan time with h = h0:
        h = tanh(W @[head, input] X + U @[head, key] h)[head' -> head, key' -> key]
    return h
"""
JOINED = """
def f(X[time, input], h0[hidden]; W[hidden', both], b[hidden'], V[hidden, out]) -> [time, out]:
    scan time with h = h0:
        h = tanh(W @[both] concat[both](X[input -> both], h[hidden -> both]) + b)[hidden' -> hidden]
        y = V @[hidden] h
    return y
"""


def test_weights_that_lie_as_in_torch_are_passed_as_they_are() -> None:
    found = opened(PACKED)
    (lstm,) = [node for node in found.after.live() if node.op == "lstm"]
    sources = [arg.node.op for arg in lstm.args]
    assert sources == ["input"] * 7
    agree(found, time=4, rows=8, hidden=2)


def test_gates_in_another_order_are_cut_at_once_and_put_together_once() -> None:
    found = opened("""
def f(X[time, input], h0[hidden]; W[gate = 4, hidden, input], U[rows, hidden], b[rows]) -> [time, hidden]:
    scan time with h = h0, c = zeros[hidden]:
        a = W @[input] X + (b + U @[hidden] h)[rows -> (gate = 4, hidden)]
        c = sigmoid(a[gate = 0]) * c + sigmoid(a[gate = 1]) * tanh(a[gate = 3])
        h = sigmoid(a[gate = 2]) * tanh(c)
    return h
""")
    assert found.ops.count("lstm") == 1 and found.ops.count("concat") == 3
    assert found.ops.count("piece") == 12 and "index" not in found.ops
    for steps in (1, 5):
        agree(found, steps, time=steps, rows=12, hidden=3)


def test_states_of_several_axes() -> None:
    found = opened(HEADS)
    assert "rnn" in found.ops
    agree(found, time=4)


def test_a_product_with_what_is_joined() -> None:
    """The weights are taken apart, and the output projection is applied to all steps at once."""
    found = opened(JOINED)
    assert "rnn" in found.ops and "scan" not in found.ops
    agree(found, time=4, input=2, hidden=3, both=5)


def _changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


NEAR = {
    "another activation": (
        _changed(RNN, ("tanh(", "exp(")),
        "the update of the state is not that of torch's RNN, GRU or LSTM",
    ),
    "softsign": (
        _changed(
            RNN,
            (
                "h = tanh(W @[input] X + U @[hidden] h + b)",
                "p = W @[input] X + U @[hidden] h + b\n        h = (p / (1 + abs(p)))",
            ),
        ),
        "the update of the state is not that of torch's RNN, GRU or LSTM",
    ),
    "a clipped state": (
        _changed(
            RNN,
            (
                "h = tanh(W @[input] X + U @[hidden] h + b)",
                "p = W @[input] X + U @[hidden] h + b\n        h = minimum(maximum(p, 0), 1000)",
            ),
        ),
        "beside a choice, constants of the update are at most 64",
    ),
    "no input": (
        _changed(RNN, ("W @[input] X + ", ""), ("W[hidden', input], ", "")),
        "what a gate gets beside the state is not one product of weights and an input",
    ),
    "an input as it is": (
        _changed(RNN, ("W @[input] X", "X"), ("X[time, input]", "X[time, hidden']"), ("W[hidden', input], ", "")),
        "what a gate gets beside the state is not one product of weights and an input",
    ),
    "weights of each time": (
        _changed(RNN, ("W[hidden', input]", "W[time, hidden', input]")),
        "what a gate gets beside the state is not one product of weights and an input",
    ),
    "two products with the state": (
        _changed(
            RNN,
            ("U @[hidden] h + b", "U @[hidden] h + V @[hidden] h + b"),
            ("b[hidden']", "b[hidden'], V[hidden', hidden]"),
        ),
        "a gate is not one product of weights and the state",
    ),
    "the cell at every step": (
        _changed(PACKED, (", [hidden]:", ", [time, hidden]:"), ("c[time = -1]", "c")),
        "the cell is needed at every step; torch's kernel tells the last one only",
    ),
    "peepholes": (
        _changed(PACKED, ("+ d)", "+ d + P @[hidden] c)"), ("d[rows]\n", "d[rows], P[rows, hidden]\n")),
        "weights are applied to something else than the state itself (torch's GRU resets after the product)",
    ),
    "coupled gates": (
        _changed(PACKED, ("sigmoid(a[gate = 0]) * tanh", "(1 - sigmoid(a[gate = 1])) * tanh")),
        "the update of the state is not that of torch's RNN, GRU or LSTM",
    ),
    "reset before the product": (
        """
def f(X[time, input], h0[hidden]; W[gate, hidden', input], U[gate, hidden', hidden]) -> [time, hidden]:
    require |gate| == 3
    scan time with h = h0:
        a = (W @[input] X)[hidden' -> hidden]
        r = sigmoid(a[gate = 0] + (U[gate = 0] @[hidden] h)[hidden' -> hidden])
        z = sigmoid(a[gate = 1] + (U[gate = 1] @[hidden] h)[hidden' -> hidden])
        n = tanh(a[gate = 2] + (U[gate = 2] @[hidden] (r * h))[hidden' -> hidden])
        h = (1 - z) * n + z * h
    return h
""",
        "weights are applied to something else than the state itself (torch's GRU resets after the product)",
    ),
}


@pytest.mark.parametrize("name", NEAR)
def test_near_misses(name: str) -> None:
    text, reason = NEAR[name]
    found = opened(text)
    assert not set(found.ops) & set(CELLS)
    assert _reasons(found) == ({reason} if reason else set())
    sizes = {"gate": 3} if "gate" in found.program.symbols else {}
    if "rows" in text:
        sizes = {"rows": 8, "hidden": 2}
    agree(found, time=4, **sizes)


def test_no_kernel_where_sums_may_not_be_regrouped() -> None:
    found = opened(RNN, strict=True)
    assert found.ops.count("scan") == 1
    agree(found, time=4)


def _reasons(found: Opened) -> set[str]:
    return {event.near for event in found.events if event.near}
