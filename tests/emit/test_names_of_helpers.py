"""A definition may have the name of anything that its generated code calls: it is not what is called."""

from __future__ import annotations

import re

import pytest
import torch

import namedlayers as nl

FORMULAS = {
    "distances": ("x[i, d], y[j, d]", "[i, j]", "norm[d](x - y)", ((5, 3), (4, 3))),
    "softmax": ("x[i, d]", "[i, d]", "exp(x) / sum[d](exp(x))", ((5, 3),)),
    "logsumexp": ("x[i, d]", "[i]", "log(sum[d](exp(x)))", ((5, 3),)),
    "attention": ("x[i, d], y[j, d]", "[i, d]", "softmax[j](x @[d] y) @[j] y", ((5, 8), (4, 8))),
    "residual": ("x[i, d]; w[d, e]", "[i, d]", "x + (x @[d] w)[e -> d]", ((5, 3), (3, 3))),
    "log product": ("x[i, d]; w[j, d]", "[i, j]", "logsumexp[d](x + w)", ((5, 3), (4, 3))),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_helpers_are_not_what_is_defined(case: str) -> None:
    inputs, output, expression, shapes = FORMULAS[case]
    text = f"def f({inputs}) -> {output} = {expression}"
    tensors = [torch.randn(shape) for shape in shapes]
    function = nl.compile(text)
    wanted = function(*tensors)
    helpers = set(re.findall(r"(?<![.\w])(\w+)\(", function.code)) - {"f", "fail", "assume", "is_compiling"}
    helpers -= set(re.findall(r"\w+", expression))  # nothing may use itself
    assert helpers, "else there is nothing to be seen here"
    for name in helpers:
        renamed = nl.compile(re.sub(r"\bf\b", name, text, count=1))
        torch.testing.assert_close(renamed(*tensors), wanted, msg=name)
