"""What a step of a loop's gradient is: as few calls of torch as somebody writes who derives it by hand."""

from __future__ import annotations

import re

import pytest
import torch

import namedlayers as nl
from tests.benchmarks.cells import CELLS
from tests.benchmarks.loops import LOOPS

NAMED = {one.name: one for one in (*CELLS, *LOOPS)}

STEPS = {
    # sum(dp * p), off from dp, times chances / sum, one product
    "hidden Markov filter": ["mul", "sum", "sub", "mul", "addmm"],
    # what comes back to a gate by two ways is put together by factors that have the gate's slope in them
    "minimal gated unit": ["mul", "addcmul", "mul", "mm", "addcmul", "addcmul", "addmm"],
    # what is normed lies by itself: nothing is cut apart or put together
    "GRU with layer norms": ["mul", "mul", "addcmul", "mm", "mul", "addcmul", "addmm", "addmm"],
}


def calls_of_a_step(code: str, function: str) -> list[str]:
    """The calls of torch in the loop over the steps of a generated function."""
    (body,) = re.findall(rf"^def {function}\(.*?(?=^def |\Z)", code, re.MULTILINE | re.DOTALL)
    loop = re.findall(r"^        (.*)", body[body.index("\n    for ") :], re.MULTILINE)
    lines = [line.split("  #")[0] for line in loop]
    return [
        name.rstrip("_") for line in lines for name in re.findall(r"^(?:\w+ = )?(?:torch|\w+)\.(\w+)\(", line)
        if name not in ("copy_", "unsqueeze")
    ]  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_the_gradient(name: str) -> None:
    cell = NAMED[name]
    code = nl.compile(cell.text, cell.formula).code
    assert calls_of_a_step(code, "scan_time_back_in_place") == STEPS[name]


QUOTIENTS = {
    "by their sum": "h / sum[k](h) * exp(X)",
    "by what is given": "tanh(h * X / Y)",
    "by their sum and by another": "h / (sum[k](h) + 1) + X / (sum[k](h) + 1)",
    "by a value with fewer axes": "h * X / C + h / C",
    "by themselves": "X / (1 + h * h)",
}


@pytest.mark.parametrize("name", QUOTIENTS)
def test_quotients(name: str) -> None:
    """Gradients of quotients, of which steps divide by what they sum over, are those of the steps one by one."""
    head = "def f(X[t, b, k], Y[t, b, k], C[t, b], h0[b, k]) -> [t, b, k]:"
    text = f"{head}\n    scan t with h = h0:\n        h = {QUOTIENTS[name]}\n    return h\n"
    function, plainly = nl.compile(text), nl.compile(text, numerics="strict")
    torch.manual_seed(0)
    shapes = ((4, 2, 3), (4, 2, 3), (4, 2), (2, 3))
    tensors = [(torch.rand(one, dtype=torch.double) + 0.5).requires_grad_() for one in shapes]
    torch.testing.assert_close(function(*tensors), plainly(*tensors))
    slope = torch.randn(4, 2, 3, dtype=torch.double)
    found, expected = (
        torch.autograd.grad(one(*tensors), tensors, slope, allow_unused=True) for one in (function, plainly)
    )
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(function, tensors)
    assert torch.autograd.gradgradcheck(function, tensors)
