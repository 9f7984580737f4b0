"""Padding that repeats a tensor's own elements: along several axes at once, within what the kernel does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.plan import explain
from tests.emit.harness import agree as agree_compiled
from tests.emit.harness import compiled
from tests.plan.formulas import agree, planned

GIVEN = "X[c, x, y, z]"
MODES = ("circular", "reflect", "replicate")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("axes", "amounts"),
    [("x", "1"), ("y, x", "1"), ("x, y, z", "1"), ("z, y", "(2, 1)"), ("x", "(0, 2)")],
)
def test_one_kernel(axes: str, amounts: str, mode: str) -> None:
    before, after = ("1", "1") if amounts == "1" else amounts.strip("()").split(", ")
    found = planned(GIVEN, f'pad[{axes}](X; before = {before}, after = {after}, mode = "{mode}")')
    assert found.ops == ("pad_around",), explain(found.plan)
    for sizes in ({"x": 3, "y": 4, "z": 5}, {"x": 4, "y": 3, "z": 3}):
        assert agree(found, **sizes) == 2


ALMOST = {
    'pad[x](pad[y](X; before = 1, mode = "reflect"); before = 1, mode = "circular")': ("pad_around", "pad_around"),
    'pad[x](pad[x](X; before = 1, mode = "reflect"); before = 1, mode = "reflect")': ("pad_around", "pad_around"),
    "pad[x](X; before = 1, after = 1)": ("pad",),
    'pad[c](pad[x, y, z](X; before = 1, mode = "circular"); before = 1, mode = "circular")': (
        "pad_around", "pad_around",
    ),
}  # fmt: skip


@pytest.mark.parametrize("expression", ALMOST)
def test_what_stays_apart(expression: str) -> None:
    found = planned(GIVEN, expression)
    assert found.ops == ALMOST[expression]
    agree(found, c=2, x=4, y=3, z=2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ["c, x, y", "x, c, y", "y, x, c", "b, c, x, y", "x, b, y, c, d"])
def test_any_order_of_axes(order: str, mode: str) -> None:
    text = f'def f(X[{order}]) -> [{order}] = pad[x, y](X; before = 2, after = 1, mode = "{mode}")\n'
    sizes = {"b": 2, "c": 3, "d": 2, "x": 4, "y": 5}
    x = np.random.default_rng(0).standard_normal([sizes[a] for a in order.split(", ")])
    agree_compiled(compiled(text, {"X": x}), {"X": x})


@pytest.mark.parametrize(("mode", "size"), [("circular", 7), ("reflect", 8), ("replicate", 1)])
def test_as_long_as_can_be(mode: str, size: int) -> None:
    text = f'def f(X[c, x]) -> [c, x] = pad[x](X; before = 3, after = 7, mode = "{mode}")\n'
    x = np.random.default_rng(0).standard_normal((2, size))
    agree_compiled(compiled(text, {"X": x}), {"X": x})


@pytest.mark.parametrize("mode", MODES)
def test_gradients(mode: str) -> None:
    f = nl.compile(f'def f(X[b, x, y]) = pad[x, y](X; before = 1, after = 2, mode = "{mode}")\n')
    x = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, x) and torch.autograd.gradgradcheck(f, x)
