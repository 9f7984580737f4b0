"""Pools: padding that kernels do, counts without it, cells of a given number, functions below windows."""

from __future__ import annotations

import pytest

from namedlayers.plan import explain
from tests.plan.formulas import agree, planned, planned_text

GIVEN = "X[c, x, y]"
ONES = "unroll[x, y, k = 3, l = 3](ones[x, y]; stride = 2, padding = 1)"
SOME = "unroll[x, y, k = 3, l = 3](X; stride = 2, padding = 1)"

SPELLINGS: dict[str, tuple[tuple[str, ...], dict[str, object]]] = {
    # expression: (what is left, attributes of the pool)
    'max[k](pool[x, k = 3](X; remainder = "pad", value = -inf))': (("pool",), {"ceil": True}),
    'max[k, l](pool[x, y, k = 3, l = 2](X; remainder = "pad", value = -inf))': (("pool",), {"ceil": True}),
    "max[k](unroll[x, k = 3](X; stride = 2, padding = (1, 2), value = -inf))": (("pool",), {"ceil": True}),
    "max[k](unroll[x, k = 3](X; stride = 2, padding = (0, 1), value = -inf))": (("pool",), {"ceil": True}),
    "max[l](unroll[y, l = 3](max[k](unroll[x, k = 2](X)); stride = 2, padding = (0, 1), value = -inf))": (
        ("pool",), {"ceil": True},
    ),
    "max[k](unroll[x, k = 3](X; dilation = 2))": (("pool",), {"ceil": False}),
    f"mean[k, l]({SOME}) / mean[k, l]({ONES})": (("pool",), {"counted": False}),
    f"sum[k, l]({SOME}) / sum[k, l]({ONES})": (("pool",), {"counted": False}),
    f"mean[k, l]({SOME}) * (1 / mean[k, l]({ONES}))": (("pool",), {"counted": False}),
    "mean[k](unroll[x, k = 3](X; padding = 1)) / mean[k](unroll[x, k = 3](ones[x]; padding = 1))": (
        ("pool",), {"counted": False},
    ),
    "sum[k](pool[x, k = 2](X) ^ 4) ^ 0.25": (("mul", "pool", "pow", "pow"), {"op": "mean"}),
    "mean[k](abs(unroll[x, k = 3](X; padding = 1)))": (("abs", "pool"), {"op": "mean"}),
    "max[k](2 * unroll[x, k = 3](X))": (("mul", "pool"), {"op": "max"}),
    "max[k](relu(unroll[x, k = 3](X) * unroll[x, k = 3](X[x = -x])))": (
        ("index", "mul", "pool", "relu"), {"op": "max"},
    ),
    "sum[k](unroll[x, k = 3](X; padding = 1) * exp(unroll[x, k = 3](X; padding = 1)))": (
        ("exp", "mul", "mul", "pad", "pool"), {"op": "mean"},
    ),
    "mean[k](unroll[x, k = 3](X; padding = 1) * unroll[x, k = 3](tanh(X); padding = 1))": (
        ("mul", "pool", "tanh"), {"op": "mean"},
    ),
    "sum[k](unroll[x, k = 3](X) * unroll[x, k = 3](X[y = 0]))": (("index", "mul", "mul", "pool"), {"op": "mean"}),
    "norm[k](pool[x, k = 2](X))": (("eq", "mul", "mul", "pool", "sqrt", "where", "where"), {"op": "mean"}),
}  # fmt: skip


@pytest.mark.parametrize("expression", SPELLINGS)
def test_spellings(expression: str) -> None:
    left, attributes = SPELLINGS[expression]
    found = planned(GIVEN, expression)
    assert found.ops == left, explain(found.plan)
    for name, value in attributes.items():
        assert found.node("pool").attr(name) == value
    for x, y in ((8, 6), (6, 8), (9, 9), (10, 11)):
        if "pool[x, k = 2]" not in expression or x % 2 == 0:
            assert agree(found, x=x, y=y) >= 1
    assert found.plan.variants[0].guards


ALMOST: dict[str, tuple[str, ...]] = {
    # expression: what is left
    "max[k](unroll[x, k = 3](X; stride = 3, padding = (1, 3), value = -inf))": ("pad", "pool"),
    "max[k](unroll[x, k = 3](X; stride = 3, padding = (0, 1), value = -inf))": ("pad", "pool"),
    'mean[k](pool[x, k = 3](X; remainder = "pad"))': ("pad", "pool"),
    'max[k](pool[x, k = 3](X; remainder = "pad"))': ("pad", "pool"),
    "mean[k](exp(unroll[x, k = 3](X; padding = 1)))": ("exp", "pad", "pool"),
    "mean[k](unroll[x, k = 3](X) * unroll[x, k = 3](X; dilation = 2, padding = 1))": (
        "div", "index", "pad", "window_product",
    ),
}  # fmt: skip


def test_the_variance_of_windows_that_overlap_is_what_the_text_says() -> None:
    """Two pools; of windows that lie apart it is a variance."""
    windows = "unroll[x, k = 3](X; stride = {})"
    apart, overlapping = (
        planned(GIVEN, f"mean[k]({one} ^ 2) - mean[k]({one}) ^ 2") for one in map(windows.format, (3, 1))
    )
    assert overlapping.ops == ("pool", "pool", "pow", "pow", "sub")
    assert "statistic" in apart.ops
    for found in (apart, overlapping):
        assert agree(found, x=9, y=2) >= 1


@pytest.mark.parametrize("expression", ALMOST)
def test_what_only_looks_alike(expression: str) -> None:
    found = planned(GIVEN, expression)
    assert found.ops == ALMOST[expression], explain(found.plan)
    for x in (8, 9, 10):
        agree(found, x=x, y=5)


def test_padding_along_one_axis_only() -> None:
    expression = "unroll[x, y, k = 3, l = 3](X; stride = 2, padding = (0, 1), value = -inf)"
    found = planned(GIVEN, f"max[k, l]({expression}[y = 0:2])")
    assert "not all that fit" in found.near["max pool"]
    other = "unroll[x, k = 3](unroll[y, l = 3](X; stride = 2); stride = 2, padding = (0, 1), value = -inf)"
    assert found.ops != ("pool",)
    for one in (found, planned(GIVEN, f"max[k, l]({other})")):
        agree(one, x=8, y=8)


def test_a_count_of_something_else_stays() -> None:
    ones = ONES.replace("ones[x, y]", "ones[x, y] * 2")
    found = planned(GIVEN, f"mean[k, l]({SOME}) / mean[k, l]({ones})")
    assert "counted" not in {
        n for node in found.plan.variants[0].graph.live() for n, v in node.attrs if v is False and n != "ceil"
    }
    agree(found, x=8, y=6)


# --- cells of a given number ------------------------------------------------------------------------------------------

BOUNDS = """
    |cell| = n
    first = index[cell] * |x| // n
    last = {last}
"""
LASTS = (
    "-(-(index[cell] + 1) * |x| // n)",
    "-((-|x| - |x| * index[cell]) // n)",
    "((index[cell] + 1) * |x| + n - 1) // n",
)
READ = "    |k| = -(-|x| // n) + 1\n    return max[k](X[x = minimum(first + index[k], last - 1)])[cell -> x]\n"
TURNED = "    |k| = |x|\n    return max[k](X[x = minimum(-1 + last, index[k] + first)])[cell -> x]\n"
MASKED = "    return max[x](where(first <= index[x] < last, X, -inf))[cell -> x]\n"
AND = "    return max[x](where(last > index[x] and index[x] >= first, X, -inf))[cell -> x]\n"


@pytest.mark.parametrize("end", [READ, TURNED, MASKED, AND], ids=["read", "turned", "masked", "and"])
@pytest.mark.parametrize("last", LASTS)
def test_cells(last: str, end: str) -> None:
    found = planned_text("def f(X[c, x]; n = 3):" + BOUNDS.format(last=last) + end)
    assert found.ops == ("adaptive_max",), explain(found.plan)
    for x in (1, 2, 3, 5, 6, 10):
        agree(found, x=x)


COUNT = "    inside = first <= index[x] < last\n    count = last - first\n"
MEANS = (
    "(inside / (last - first) @[x] X)",
    "(X @[x] inside / (last - first))",
    "sum[x](inside * X / (-first + last))",
    "(sum[x](X * inside) / (last - first))",
    "(sum[x](where(index[x] >= first and index[x] < last, X, 0)) / (last - first))",
    "(sum[x](where(inside, X, 0)) / (last - first))",
    "(sum[x](where(not inside, 0, X)) / count)",
)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("last", LASTS)
def test_means_of_cells(last: str, mean: str) -> None:
    text = "def f(X[c, x]; n = 3):" + BOUNDS.format(last=last) + COUNT + f"    return {mean}[cell -> x]\n"
    found = planned_text(text)
    assert found.ops == ("adaptive_mean",), explain(found.plan)
    for x in (1, 2, 3, 5, 6, 10):
        agree(found, x=x)


NO_MEANS = (
    (LASTS[0], "(inside / (first - last) @[x] X)"),
    (LASTS[0], "(inside / (last - first + 1) @[x] X)"),
    (LASTS[0], "(inside / |cell| @[x] X)"),
    (LASTS[0], "(2 * inside / (last - first) @[x] X)"),
    (LASTS[0].replace("+ 1", "+ 2"), "(inside / (last - first) @[x] X)"),
)


@pytest.mark.parametrize(("last", "mean"), NO_MEANS)
def test_no_means_of_cells(last: str, mean: str) -> None:
    text = "def f(X[c, x]; n = 3):" + BOUNDS.format(last=last) + COUNT + f"    return {mean}[cell -> x]\n"
    assert "adaptive_mean" not in planned_text(text).ops


def test_what_else_a_mean_is_multiplied_with() -> None:
    text = "def f(X[c, x], w[c]; n = 3):" + BOUNDS.format(last=LASTS[0]) + COUNT
    found = planned_text(text + "    return (2 * w * sum[x](inside * X) / (last - first))[cell -> x]\n")
    assert "adaptive_mean" in found.ops, explain(found.plan)
    agree(found, x=7)


NO_CELLS = (
    (LASTS[0].replace("+ 1", "+ 2"), MASKED),
    (LASTS[0].replace("// n", "// 2"), MASKED),
    (LASTS[0], MASKED.replace("-inf", "0")),
    (LASTS[0], MASKED.replace("<= index[x] <", "< index[x] <")),
    (LASTS[0], READ.replace("-(-|x| // n) + 1", "-(-|x| // n)")),
    (LASTS[0], READ.replace("last - 1", "last - 2")),
    (LASTS[0], READ.replace("first + index[k]", "first + 2 * index[k]")),
)


@pytest.mark.parametrize(("last", "end"), NO_CELLS)
def test_no_cells(last: str, end: str) -> None:
    found = planned_text("def f(X[c, x]; n = 3):" + BOUNDS.format(last=last) + end)
    assert "adaptive_max" not in found.ops


def test_cells_of_two_axes_are_one_pool() -> None:
    one = "def cells[ax](X[ax]; n):" + BOUNDS.format(last=LASTS[0]).replace("|x|", "|ax|")
    one += MASKED.replace("index[x]", "index[ax]").replace("max[x]", "max[ax]").replace("-> x", "-> ax")
    found = planned_text(one + "\ndef f(X[c, x, y]):\n    return cells[y](cells[x](X; n = 3); n = 2)\n")
    assert found.ops == ("adaptive_max",), explain(found.plan)
    assert len(found.node("adaptive_max").attr("cells")) == 2
    agree(found, x=7, y=5)


def test_means_of_cells_of_two_axes_are_one_pool() -> None:
    one = "def cells[ax](X[ax]; n):" + (BOUNDS.format(last=LASTS[0]) + COUNT).replace("|x|", "|ax|")
    one = one.replace("index[x]", "index[ax]") + "    return (inside / count @[ax] X)[cell -> ax]\n"
    found = planned_text(one + "\ndef f(X[c, x, y]):\n    return cells[y](cells[x](X; n = 3); n = 2)\n")
    assert found.ops == ("adaptive_mean",), explain(found.plan)
    assert len(found.node("adaptive_mean").attr("cells")) == 2
    agree(found, x=7, y=5)
