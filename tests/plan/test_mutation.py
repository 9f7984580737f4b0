"""The generator of spellings: what it writes means what it was made from, whatever names and constants a text has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import namedlayers as nl
from tests.plan.alike import base_of, computed, differing
from tests.plan.definitions.table import Case
from tests.plan.mutation import mixtures, singles

CASES = [
    Case("constants over axes", "X[i, j]", "X @[j] ones[j] + zeros[i]", ()),
    Case("coordinates", "X[i, j]", "X * index[i] + index[j]", ()),
    Case("coordinates that are compared", "X[s, d], S[s, t]", "sum[s](where(index[s] <= index[t], S, 0) * X)", ()),
    Case("values named as axes are elsewhere", "X[i, j], Y[j, k]", """\
out = X @[j] Y
row = exp(out)
left = sum[k](row)
return row / left + out""", ()),
    Case("an axis named as the one that is added", "X[n, j]; W[j, k]", "sum[j](W * X) + index[n]", ()),
    Case("a value and an axis of one name", "X[h, j]; W[j, k]", """\
h = sum[j](W * X)
return h * h + index[h]""", ()),
    Case("a value that a scan reads", "X[time, i]; a[i]", """\
row = a * X
scan time with h = zeros[i]:
    u = a * h
    h = u + row
return h * ones[i]""", ()),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_spellings_mean_the_same(case: Case) -> None:
    case = replace(case, ops=computed(base_of(case).planned))
    found = [*singles(case.text), *mixtures(case.text, 12, case.name, (), ("X",))]
    assert len({mutant.text for mutant in found}) > 12
    for _ in differing(case, found):
        pass  # planned otherwise, which laws of integers and the order of terms may do; values were compared


@pytest.mark.parametrize("text", ["-(-a / 1)", "-1 * (a / 1)", "(2 * -a) / 2", "-(a > 1) / 1", "-1.0 * a"])
def test_real_values_of_integers_are_real(text: str) -> None:
    a = torch.arange(3)
    function = nl.compile(f"def f(a[i]) -> [i] = {text}")
    found = function(a)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, function.reference(a))
