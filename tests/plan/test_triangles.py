"""Triangular masks: cumulative operations and triangles of matrices, in every spelling, as planned and compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.plan import explain
from tests.emit.harness import agree as agree_compiled
from tests.emit.harness import compiled
from tests.plan.formulas import Planned, agree, planned, planned_text

X = "X[i -> j]"
RUNNING: dict[str, tuple[str, ...]] = {
    # expression: what is left
    f"sum[j](where(index[j] <= index[i], {X}, 0))": ("cumulative",),
    f"sum[j](where(index[i] >= index[j], {X}, 0))": ("cumulative",),
    f"sum[j](where(index[j] - index[i] <= 0, {X}, 0))": ("cumulative",),
    f"sum[j](where(index[j] < index[i] + 1, {X}, 0))": ("cumulative",),
    f"sum[j](where(index[j] > index[i], 0, {X}))": ("cumulative",),
    f"sum[j](where(not index[j] > index[i], {X}, 0))": ("cumulative",),
    f"sum[j]((index[j] <= index[i]) * {X})": ("cumulative",),
    f"{X} @[j] where(index[j] <= index[i], 1, 0)": ("cumulative",),
    f"{X} @[j] where(index[j] > index[i], 0, 1)": ("cumulative",),
    f"prod[j](where(index[j] <= index[i], {X}, 1))": ("cumulative",),
    f"max[j](where(index[j] <= index[i], {X}, -inf))": ("cumulative",),
    f"min[j](where(index[j] <= index[i], {X}, inf))": ("cumulative",),
    f"logsumexp[j](where(index[j] <= index[i], {X}, -inf))": ("cumulative",),
    f"logsumexp[j]({X} + where(index[j] <= index[i], 0, -inf))": ("cumulative",),
    f"sum[j](where(index[j] < index[i], {X}, 0))": ("cumulative", "index", "pad"),
    f"max[j](where(index[j] < index[i], {X}, -inf))": ("cumulative", "index", "pad"),
    f"sum[j](where(index[j] >= index[i], {X}, 0))": ("cumulative", "index", "index"),
    f"prod[j](where(index[j] > index[i], {X}, 1))": ("cumulative", "index", "index", "index", "pad"),
}


def running(expression: str) -> str:
    return f"def f(X[b, i]) -> [b, i]:\n    |j| = |i|\n    return {expression}\n"


@pytest.mark.parametrize("expression", RUNNING)
def test_running(expression: str) -> None:
    text = running(expression)
    found = planned_text(text)
    assert found.ops == RUNNING[expression], explain(found.plan)
    for size in (1, 2, 5):
        agree(found, i=size)
    for shape in ((3, 5), (2, 1), (2, 0), (0, 3)):
        given = {"X": np.random.default_rng(0).standard_normal(shape)}
        agree_compiled(compiled(text, given), given)


@pytest.mark.parametrize("expression", RUNNING)
def test_slopes(expression: str) -> None:
    f = nl.compile(running(expression))
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    f(x)
    assert "cum" in f.code

    def reals(x: torch.Tensor) -> torch.Tensor:
        found = f(x)
        return torch.where(found.isfinite(), found, 0)

    assert torch.autograd.gradcheck(reals, x)


NOT_RUNNING: dict[str, str] = {
    # expression: an operation that is there instead
    f"sum[j](where(index[j] <= index[i], {X}, 1))": "reduce",
    f"max[j](where(index[j] <= index[i], {X}, 0))": "extreme",
    f"sum[j](where(index[j] <= 2 * index[i], {X}, 0))": "reduce",
    f"sum[j](where(index[j] <= index[i] + 1, {X}, 0))": "prefix_sum",
    f"sum[j](where(index[j] == index[i], {X}, 0))": "take",
    f"sum[j](where(index[j] <= index[i], {X} * X, 0))": "prefix_sum",
    f"sum[j](where(index[j] <= 3, {X}, 0)) + 0 * X": "reduce",
}


@pytest.mark.parametrize("expression", NOT_RUNNING)
def test_not_running(expression: str) -> None:
    found = planned_text(running(expression))
    assert "cumulative" not in found.ops and NOT_RUNNING[expression] in found.ops, explain(found.plan)
    agree(found, i=4)


def test_why_not() -> None:
    found = planned_text(running(f"sum[j](where(index[j] <= index[i] + 1, {X}, 0))"))
    assert "ends 1 after i" in found.near["cumulative"]


def test_different_sizes_are_no_running_sum() -> None:
    found = planned_text(
        "def f(X[j]) -> [i]:\n    |i| = |j| + 1\n    return sum[j](where(index[j] <= index[i], X, 0))\n"
    )
    assert "cumulative" not in found.ops
    agree(found, j=3)


LEFT: dict[str, tuple[str, ...]] = {
    "where(index[j] <= index[i], X, 0)": ("triangle",),
    "where(index[i] < index[j], 0, X)": ("triangle",),
    "where(index[i] <= index[j], X, 0.0)": ("triangle",),
    "where(index[j] < index[i] - 2, X, 0)": ("triangle",),
    "where(index[j] - index[i] <= |j| - |i|, X, 0)": ("triangle",),
    "X * (index[j] <= index[i] + 1)": ("triangle",),
    "where(index[i] + 2 > index[j], 1, 0) * X": ("triangle",),
    "X - where(index[j] <= index[i], X, 0)": ("sub", "triangle"),
}


@pytest.mark.parametrize("order", ["b, i, j", "j, i", "i, b, j"])
@pytest.mark.parametrize("expression", LEFT)
def test_what_is_left_of_a_matrix(expression: str, order: str) -> None:
    found: Planned = planned(f"X[{order}]", expression)
    assert found.ops == LEFT[expression], explain(found.plan)
    text = f"def f(X[{order}]) -> [{order}]:\n    return {expression}\n"
    for i, j in ((3, 5), (5, 3), (4, 4), (1, 1), (0, 3)):
        sizes = {"i": i, "j": j, "b": 2}
        agree(found, **{axis: size for axis, size in sizes.items() if axis in order})
        given = {"X": np.random.default_rng(0).standard_normal([sizes[axis] for axis in order.split(", ")])}
        agree_compiled(compiled(text, given), given)


@pytest.mark.parametrize(
    "expression",
    [
        "where(index[j] <= index[i], X, 1)",
        "where(index[j] <= index[i], X, -inf)",
        "where(index[j] <= 2 * index[i], X, 0)",
        "where(index[j] == index[i], X, 0)",
        "X + (index[j] <= index[i])",
    ],
)
def test_what_is_no_triangle(expression: str) -> None:
    found = planned("X[i, j]", expression)
    assert "triangle" not in found.ops
    agree(found, i=3, j=4)


def test_infinities_above_the_diagonal_go() -> None:
    f = nl.compile("def f(X[i, j]):\n    return where(index[j] <= index[i], X, 0)\n")
    x = torch.tensor([[1.0, torch.inf], [torch.nan, 2.0]], requires_grad=True)
    found = f(x)
    assert found[0, 1] == 0 and found[1, 0].isnan()
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
