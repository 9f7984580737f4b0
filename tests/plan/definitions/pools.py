"""Maxima and means of windows."""

from __future__ import annotations

from tests.plan.definitions.table import Case

SIZES = {"x": 8, "y": 6}


def _case(name: str, body: str, *ops: str) -> Case:
    return Case(name, "X[c, x, y]", body, ops or ("pool",), ("X",), SIZES)


CASES = (
    _case("max pool", "max[k](pool[x, k = 2](X))"),
    _case("max pool of two axes", "max[k, l](pool[x, y, k = 2, l = 2](X))"),
    _case("max pool by an index", "max[k](unroll[x, k = 3](X))"),
    _case("max pool, strided and padded", "max[k](unroll[x, k = 3](X; stride = 2, padding = 1, value = -inf))"),
    _case("max pool by a split", "max[k](X[x -> (p, k = 2)])[p -> x]"),
    _case("min pool", "min[k](unroll[x, k = 3](X))", "neg", "neg", "pool"),
    _case("mean pool", "mean[k](pool[x, k = 2](X))"),
    _case("mean pool of two axes", "mean[k, l](pool[x, y, k = 2, l = 2](X))"),
    _case("mean pool, padded", "mean[k](unroll[x, k = 3](X; padding = 1))"),
    _case("max pool to the end", 'max[k](pool[x, k = 3](X; remainder = "pad", value = -inf))'),
    _case("pool of cubes", "sum[k](pool[x, k = 2](X) ^ 4) ^ 0.25", "mul", "pool", "pow", "pow"),
    _case("global mean pool", "mean[x, y](X)", "statistic"),
)
