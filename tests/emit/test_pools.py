"""Pools, compiled, against torch's own: values and gradients, sizes that kernels refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import namedlayers as nl
from tests.emit.harness import agree, compiled

POOLS = nl.load("pooling")
CEIL = nl.compile('def f(X[b, c, x, y]) = max[k, l](pool[x, y, k = 3, l = 2](X; remainder = "pad", value = -inf))\n')
REACHING = nl.compile("def f(X[b, c, x]) = max[k](unroll[x, k = 4](X; stride = 3, padding = (1, 3), value = -inf))\n")
ROWS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "to the end": (CEIL, lambda x: F.max_pool2d(x, (3, 2), ceil_mode=True), (2, 3, 8, 9)),
    "to the end, padded": (REACHING, lambda x: F.max_pool1d(x, 4, 3, 1, ceil_mode=True), (2, 3, 11)),
    "uncounted": (
        lambda x: POOLS.avg_pool2d(x, kernel=3, stride=2, padding=1, count_padding=False),
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), (2, 3, 8, 9),
    ),
    "uncounted, one axis": (
        lambda x: POOLS.avg_pool1d(x, kernel=3, stride=1, padding=1, count_padding=False),
        lambda x: F.avg_pool1d(x, 3, 1, 1, count_include_pad=False), (3, 9),
    ),
    "uncounted, three axes": (
        lambda x: POOLS.avg_pool3d(x, kernel=2, stride=2, padding=1, count_padding=False),
        lambda x: F.avg_pool3d(x, 2, 2, 1, count_include_pad=False), (2, 4, 5, 6),
    ),
    "cells": (
        lambda x: POOLS.adaptive_max_pool2d(x, n=3, m=5), lambda x: F.adaptive_max_pool2d(x, (3, 5)), (2, 3, 7, 11),
    ),
    "more cells than places": (
        lambda x: POOLS.adaptive_max_pool1d(x, n=7), lambda x: F.adaptive_max_pool1d(x, 7), (2, 3),
    ),
    "means of cells": (
        lambda x: POOLS.adaptive_avg_pool2d(x, n=3, m=5), lambda x: F.adaptive_avg_pool2d(x, (3, 5)), (2, 3, 7, 11),
    ),
    "means of more cells than places": (
        lambda x: POOLS.adaptive_avg_pool1d(x, n=7), lambda x: F.adaptive_avg_pool1d(x, 7), (2, 3),
    ),
    "norms": (lambda x: POOLS.lp_pool2d(x, p=2), lambda x: F.lp_pool2d(x, 2.0, 2), (2, 3, 6, 8)),
    "cubes": (
        lambda x: POOLS.lp_pool1d(x.abs(), p=3, kernel=3, stride=2),
        lambda x: F.lp_pool1d(x.abs(), 3.0, 3, 2), (2, 3, 9),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_against_torch(name: str) -> None:
    ours, theirs, shape = ROWS[name]
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    found, wanted = ours(x), theirs(x)
    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(result.sin().sum(), x)[0] for result in (found, wanted)]
    torch.testing.assert_close(*slopes)


def test_a_norm_of_nothing_but_0_has_no_slope() -> None:
    x = torch.zeros(1, 4, 4, requires_grad=True)
    found = POOLS.lp_pool2d(x)
    assert torch.equal(found, torch.zeros(1, 2, 2))
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], torch.zeros_like(x))
    assert POOLS.lp_pool2d(torch.full((2, 2), torch.nan)).isnan().all()


def test_rows_of_infinities_have_largest_values_too() -> None:
    x = torch.full((2, 7), -torch.inf)
    assert torch.equal(POOLS.adaptive_max_pool1d(x, n=3), torch.full((2, 3), -torch.inf))
    x[1, 3] = torch.nan
    assert torch.equal(POOLS.adaptive_max_pool1d(x, n=3).isnan(), torch.tensor([[False] * 3, [False, True, False]]))


TEXTS = {
    "to the end": 'def f(X[c, x]) -> [c, x] = max[k](pool[x, k = 3](X; remainder = "pad", value = -inf))',
    "uncounted": """
def f(X[c, x]) -> [c, x]:
    return mean[k](unroll[x, k = 3](X; padding = 1)) / mean[k](unroll[x, k = 3](ones[x]; padding = 1))
""",
    "cells": """
def f(X[c, x]) -> [c, x]:
    |cell| = 2
    first = index[cell] * |x| // 2
    last = -(-(index[cell] + 1) * |x| // 2)
    return max[x](where(first <= index[x] < last, X, -inf))[cell -> x]
""",
    "cells of rows": """
def f(X[x, c]) -> [c, x]:
    |cell| = 2
    first = index[cell] * |x| // 2
    last = -(-(index[cell] + 1) * |x| // 2)
    return max[x](where(first <= index[x] < last, X, -inf))[cell -> x]
""",
    "norms": "def f(X[c, x]) -> [c, x] = norm[k](unroll[x, k = 2](X))",
    "products": "def f(X[c, x]) -> [c, x] = sum[k](unroll[x, k = 2](X) * unroll[x, k = 2](exp(X)))",
    "filtered products": """
def f(X[c, x]) -> [c, x] = sum[k](unroll[x, k = 2](X; padding = 1) * unroll[x, k = 2](exp(X); padding = 1) * (k + 1))
""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_sizes(name: str) -> None:
    source = np.random.default_rng(0)
    for c, x in ((3, 7), (0, 7), (2, 3), (1, 2)):
        given = {"X": source.standard_normal((x, c) if "X[x, c]" in TEXTS[name] else (c, x))}
        agree(compiled(TEXTS[name] + "\n", given), given)
