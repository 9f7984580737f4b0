"""Rules of single kernels: hard sigmoids, gates, slices that drop out, cross entropies of a yes or no."""

from __future__ import annotations

import pytest

from namedlayers.plan import explain
from tests.plan.formulas import agree, planned, planned_text

GIVEN = "X[i, j], Y[i, j]"
HALVES = "X[b, layer = 6]"

SPELLINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    # expression: (signature, what is left)
    "clip(X + 3, 0, 6) / 6": (GIVEN, ("activation",)),
    "minimum(relu(3 + X), 6) * (1 / 6)": (GIVEN, ("activation",)),
    "clip(X / 6 + 0.5, 0, 1)": (GIVEN, ("activation",)),
    "X * clip(X / 6 + 0.5, 0, 1)": (GIVEN, ("activation",)),
    "clip(X + 3, 0, 6) / 6 * X": (GIVEN, ("activation",)),
    "log(sigmoid(X))": (GIVEN, ("activation",)),
    "log1p(-sigmoid(X))": (GIVEN, ("activation", "neg")),
    "softplus(X) - Y * X": (GIVEN, ("difference",)),
    "X - X * Y + softplus(-X)": (GIVEN, ("difference",)),
    "-mean[i, j](Y * log(sigmoid(X)) + (1 - Y) * log(1 - sigmoid(X)))": (GIVEN, ("difference",)),
    "sum[i, j](relu(X) - X * Y + log1p(exp(-abs(X))))": (GIVEN, ("difference",)),
    "(1 - Y) * X + (1 + 2 * Y) * softplus(-X)": (GIVEN, ("difference",)),
    "-(W * Y * log(sigmoid(X)) + (1 - Y) * log(1 - sigmoid(X)))": (f"{GIVEN}; W[j]", ("difference",)),
    "(1 - Y) * X + (1 + (W - 1) * Y) * softplus(-X)": (f"{GIVEN}; W[i]", ("difference",)),
    "X[layer -> (half = 2, layer)][half = 0] * sigmoid(X[layer -> (half = 2, layer)][half = 1])": (HALVES, ("glu",)),
    "X[layer = 0:3] / (1 + exp(-X[layer = 3:6]))": (HALVES, ("glu",)),
}
SHOWN = {
    "clip(X + 3, 0, 6) / 6": "hardsigmoid", "clip(X / 6 + 0.5, 0, 1)": "hardsigmoid",
    "X * clip(X / 6 + 0.5, 0, 1)": "hardswish", "log(sigmoid(X))": "log_sigmoid",
}  # fmt: skip


@pytest.mark.parametrize("expression", SPELLINGS)
def test_spellings(expression: str) -> None:
    signature, left = SPELLINGS[expression]
    found = planned(signature, expression)
    assert found.ops == left, explain(found.plan)
    if expression in SHOWN:
        assert found.node("activation").attr("function") == SHOWN[expression]
    agree(found)


ALMOST: dict[str, tuple[str, str]] = {
    # expression: (signature, what must not be there)
    "clip(X + 3, 0, 6) / 5": (GIVEN, "hardsigmoid"),
    "clip(X + 2, 0, 6) / 6": (GIVEN, "hardsigmoid"),
    "where(X + 3 > 0, X + 3, 6) / 6": (GIVEN, "hardsigmoid"),
    "X * where(X + 3 > 0, X + 3, 6) / 6": (GIVEN, "hardswish"),
    "Y * clip(X + 3, 0, 6) / 6": (GIVEN, "hardswish"),
    "log(2 - sigmoid(X))": (GIVEN, "log_sigmoid"),
    "softplus(X) + Y * X": (GIVEN, "difference"),
    "softplus(X) - 2 * Y * X": (GIVEN, "difference"),
    "relu(X) - X * Y + softplus(abs(X))": (GIVEN, "difference"),
    "softplus(X) - W * X": (f"{GIVEN}; W[j]", "difference"),
    "X[layer = 3:6] * sigmoid(X[layer = 0:3])": (HALVES, "glu"),
    "X[layer = 0:3] * sigmoid(X[layer = 0:3])": (HALVES, "glu"),
    "X[layer = 0:2] * sigmoid(X[layer = 4:6])": (HALVES, "glu"),
    "X[layer = 0:3] * tanh(X[layer = 3:6])": (HALVES, "glu"),
    "X[layer -> (layer, half = 2)][half = 0] * sigmoid(X[layer -> (layer, half = 2)][half = 1])": (HALVES, "glu"),
}


@pytest.mark.parametrize("expression", ALMOST)
def test_what_only_looks_alike(expression: str) -> None:
    signature, absent = ALMOST[expression]
    found = planned(signature, expression)
    shown = {
        *found.ops,
        *(str(n.attr("function")) for n in found.plan.variants[0].graph.live() if n.op == "activation"),
    }
    assert absent not in shown, explain(found.plan)
    agree(found)


def test_why_a_gate_is_none() -> None:
    assert (
        "the first half by the second" in planned(HALVES, "X[layer = 3:6] * sigmoid(X[layer = 0:3])").near["gated half"]
    )


DRAWN = {
    "X * (bernoulli[b, c](0.7) / 0.7)": True,
    "bernoulli[b, c](0.5) * X * 2": True,
    "X / 0.7 * bernoulli[b](0.7)": True,
    "X * (bernoulli[b, c](0.7) / 0.3)": False,
    "X * bernoulli[b, c](0.7)": False,
    "X * (bernoulli[b, c](P) / P)": False,
}


@pytest.mark.parametrize(("expression", "one"), DRAWN.items())
def test_slices_that_drop_out(expression: str, one: bool) -> None:
    signature = "X[b, c, x], P[]" if "P" in expression else "X[b, c, x]"
    assert ("slice_dropout" in planned(signature, expression).ops) == one


def test_a_draw_that_has_a_name_stays() -> None:
    found = planned_text("def f(X[b, c]):\n    m = bernoulli[b](0.5)\n    return X * m / 0.5 + m\n")
    assert "random" in found.ops and "slice_dropout" not in found.ops
