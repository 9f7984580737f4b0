"""Losses of classes: what is taken in, and what only looks alike."""

from __future__ import annotations

import numpy as np
import pytest

from namedlayers.plan import explain
from namedlayers.program.program import Kind
from tests.plan.formulas import agree, planned, planned_text

KINDS = {"T": Kind.INT, "B": Kind.BOOL}
GIVEN = "Z[b, c], T[b]"
MASKED = "Z[b, c], T[b], B[b]"
WEIGHTED = "Z[b, c], T[b]; w[c]"

SPELLINGS: dict[str, tuple[str, tuple[str, ...], dict[str, object]]] = {
    # expression: (signature, what follows the targets, other attributes)
    "-log(softmax[c](Z)[c = T])": (GIVEN, (), {"logits": True}),
    "-sum[c](one_hot[c](T) * log_softmax[c](Z))": (GIVEN, (), {"within": True}),
    "-(one_hot[c](T) @[c] log_softmax[c](Z))": (GIVEN, (), {"within": True}),
    "-sum[c](where(T == c, log_softmax[c](Z), 0))": (GIVEN, (), {"within": True}),
    "-log_softmax[c](Z)[c = T; fill = 0]": (GIVEN, (), {"within": True}),
    "-mean[b](one_hot[c](T) @[c] log_softmax[c](Z))": (GIVEN, (), {"within": True, "reduction": "mean"}),
    "-sum[b, c](one_hot[c](T) * log_softmax[c](Z)) / |b|": (GIVEN, (), {"within": True, "reduction": "mean"}),
    "sum[b](logsumexp[c](Z) - Z[c = T]) / |b|": (GIVEN, (), {"logits": True, "reduction": "mean"}),
    "-sum[b](Z[c = T])": (GIVEN, (), {"logits": False, "reduction": "sum"}),
    "-mean[b](w[c = T] * log_softmax[c](Z)[c = T])": (WEIGHTED, ("weight",), {"reduction": "sum"}),
    "-sum[b](w[c = T] * Z[c = T]) / sum[b](w[c = T])": (WEIGHTED, ("weight",), {"logits": False, "reduction": "mean"}),
    "where(T == 0, 0, -log_softmax[c](Z)[c = T])": (GIVEN, ("ignored",), {"logits": True}),
    "(T != 0) * -log_softmax[c](Z)[c = T]": (GIVEN, ("ignored",), {"logits": True}),
    "sum[b]((T >= 0) * -Z[c = maximum(T, 0)]) / sum[b](T >= 0)": (GIVEN, ("kept",), {"reduction": "mean"}),
    "where(B, -log_softmax[c](Z)[c = where(B, T, 0)], 0)": (MASKED, ("kept",), {"logits": True}),
    "sum[b](B * -log_softmax[c](Z)[c = where(B, T, 0)])": (MASKED, ("kept",), {"reduction": "sum"}),
    "-0.75 * mean[b](log_softmax[c](Z)[c = T]) - 0.25 * mean[b, c](log_softmax[c](Z))": (
        GIVEN, ("smoothing",), {"reduction": "mean", "logits": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("expression", SPELLINGS)
def test_spellings(expression: str) -> None:
    signature, roles, attributes = SPELLINGS[expression]
    found = planned(signature, expression, kinds=KINDS)
    node = found.node("class_loss")
    assert node.attr("roles") == roles, explain(found.plan)
    for name, value in attributes.items():
        assert node.attr(name) == value, name
    assert not {"gather", "take", "log_softmax", "reduce"} & set(found.ops)
    assert agree(found, c=5, inputs={"T": np.array([2, 0]), "B": np.array([True, False])}) >= 1


@pytest.mark.parametrize("expression", [e for e, (*_, more) in SPELLINGS.items() if more.get("within")])
def test_targets_out_of_range_count_nowhere_if_the_text_says_so(expression: str) -> None:
    found = planned(GIVEN, expression, kinds=KINDS)
    for targets in ([5, 1], [-1, 4], [-100, 7]):
        agree(found, c=5, b=2, inputs={"T": np.array(targets)})


EXTRA = "Z[n, c, x, y], T[n, x, y]"


@pytest.mark.parametrize(
    "expression",
    [
        "-log_softmax[c](Z)[c = T]",
        "-mean[n](log_softmax[c](Z)[c = T])",
        "-mean[n, x, y](log_softmax[c](Z)[c = T])",
        "sum[x, y](logsumexp[c](Z) - Z[c = T])",
    ],
)
def test_more_axes(expression: str) -> None:
    found = planned(EXTRA, expression, kinds=KINDS)
    assert "class_loss" in found.ops and not {"gather", "log_softmax"} & set(found.ops)
    agree(found, c=5, n=2, x=3, y=2, inputs={"T": np.arange(12).reshape(2, 3, 2) % 5})


SMOOTHED = """
def f(Z[b, c], T[b]; w[c]) -> []:
    P = log_softmax[c](Z)
    kept = T != -1
    y = where(kept, T, 0)
    u = kept * w[c = y]
    loss = 0.9 * (-u * P[c = y]) - 0.1 * kept * mean[c](w * P)
    return sum[b](loss) / sum[b](u)
"""


def test_everything_at_once() -> None:
    found = planned_text(SMOOTHED, kinds=KINDS)
    assert found.ops == ("class_loss",), explain(found.plan)
    assert found.node("class_loss").attr("roles") == ("ignored", "weight", "smoothing")
    assert [len(variant.guards) for variant in found.plan.variants] == [1, 0]
    agree(found, c=5, b=4, inputs={"T": np.array([-1, 3, 0, 4])})


SHARES = {
    "-sum[c]((0.9 * one_hot[c](T) + 0.1 / |c|) * log_softmax[c](Z))": ("class_loss",),
    "-sum[b, c]((one_hot[c](T) * 0.9 + 0.1 / |c|) * log_softmax[c](Z)) / |b|": ("class_loss",),
    "(one_hot[c](T) - 0.25) @[c] Z": ("take",),
    "sum[c]((1 - one_hot[c](T)) * Z)": ("take",),
}


@pytest.mark.parametrize("expression", SHARES)
def test_targets_that_are_shared_out_are_read_too(expression: str) -> None:
    found = planned(GIVEN, expression, kinds=KINDS)
    assert set(SHARES[expression]) <= set(found.ops) and not {"contract", "where", "eq"} & set(found.ops)
    for targets in ([4, 1], [-1, 7]):
        agree(found, c=5, b=2, inputs={"T": np.array(targets)})


def test_shares_that_differ_by_class_stay() -> None:
    found = planned(WEIGHTED, "(one_hot[c](T) + w) @[c] Z", kinds=KINDS)
    assert "take" not in found.ops or "contract" in found.ops
    agree(found, c=5, b=2, inputs={"T": np.array([3, 0])})


ALMOST = {
    # expression: (signature, what is left)
    "-log_softmax[b](Z)[c = T]": (GIVEN, ("class_loss", "log_softmax")),
    "-softmax[c](Z)[c = T]": (GIVEN, ("class_loss", "softmax")),
    "logsumexp[b, c](Z) - Z[c = T]": (GIVEN, ("gather", "reduce", "sub")),
    "logsumexp[c](2 * Z) - Z[c = T]": (GIVEN, ("gather", "mul", "reduce", "sub")),
    "logsumexp[c](Z) - sum[c](one_hot[c](T) * Z)": (GIVEN, ("reduce", "sub", "take")),
    "Z[c = T]": (GIVEN, ("gather",)),
    "-mean[s](Z[c = T])": ("Z[c, d], T[s]", ("neg", "row_sums")),
    "-mean[b](log_softmax[c](Z)[c = T]) - 0.25 * mean[b, c](log_softmax[c](Z))": (
        GIVEN, ("class_loss", "log_softmax", "statistic"),
    ),
    "B * -log_softmax[c](Z)[c = T]": (MASKED, ("class_loss", "mul")),
    "where(B, -log_softmax[c](Z)[c = where(T != 1, T, 0)], 0)": (MASKED, ("class_loss", "ne", "where", "where")),
    "where(T == 0, 1, -log_softmax[c](Z)[c = T])": (GIVEN, ("class_loss", "eq", "where")),
    "sum[b](-w[c = T] * Z[c = T]) / sum[c](w)": (WEIGHTED, ("class_loss", "reduce")),
}  # fmt: skip


@pytest.mark.parametrize("expression", ALMOST)
def test_what_only_looks_alike(expression: str) -> None:
    signature, left = ALMOST[expression]
    found = planned(signature, expression, kinds=KINDS)
    assert set(found.ops) == set(left), found.plan.variants[0].graph.live()
    agree(found, c=5, b=2, s=2, inputs={"T": np.array([1, 0]), "B": np.array([True, False])})


def test_why_not() -> None:
    assert "read too" in planned(MASKED, "B * -log_softmax[c](Z)[c = T]", kinds=KINDS).near["weighted loss of a class"]
    expression = "logsumexp[c](Z) - one_hot[c](T) @[c] Z"
    assert "read as 0" in planned(GIVEN, expression, kinds=KINDS).near["loss of a class"]


def test_strict_takes_in_only_what_is_exact() -> None:
    assert planned(GIVEN, "-log_softmax[c](Z)[c = T]", kinds=KINDS, numerics="strict").ops == ("class_loss",)
    strict = planned(WEIGHTED, "-w[c = T] * log_softmax[c](Z)[c = T]", kinds=KINDS, numerics="strict")
    assert "mul" in strict.ops
    agree(strict, c=5, inputs={"T": np.array([2, 0])})
