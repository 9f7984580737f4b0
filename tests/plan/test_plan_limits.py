"""Where rules must not fire, and what plans promise beside their values: reasons, strictness, infinities, orders."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from opt_einsum.paths import optimal

from namedlayers.plan import explain, plan
from namedlayers.plan.paths import cost
from namedlayers.plan.search import steps
from namedlayers.program.graph import Node
from namedlayers.program.numbering import number
from namedlayers.program.program import Kind
from tests.plan.evaluate import evaluate
from tests.plan.formulas import agree, holds, ops, planned, planned_text, program_of, random_inputs

ATTENTION = "Q[t, key], K[s, key], V[s, val]"

WEIGHTS_TWICE = "softmax[s](Q @[key] K) @[s] V + sum[s](softmax[s](Q @[key] K))"
NEAR = [
    # signature, expression, the rule, a part of the reason, an operation that must not be there
    ("X[c, x]; W[o, c, k]", "W @[c, k] X[x = x + k][x = 0:2]", "convolution", "not all that fit", None),
    ("X[c, x]; W[o, c, k, y]", "sum[c, k](W * X[x = y + k])", "convolution", "differs by the", "conv"),
    ("X[c, x]; W[o, c]", "max[k](W @[c] unroll[x, k = 3](X))", "convolution", "has to be summed", "conv"),
    (
        "X[c, x]; W[c, o, k]",
        "fold[x, k](W @[c] X; output_padding = 1)",
        "transposed convolution",
        "one that the kernel",
        "conv_transpose",
    ),
    (
        "X[c, x, k]; W[c, o]",
        "fold[x, k](W @[c] X)",
        "transposed convolution",
        "each factor has to have one",
        "conv_transpose",
    ),
    (
        "X[c = 6, x]",
        "standardize[n, x](X[c -> (n = 2, m)])[(n, m) -> c]",
        "group norm",
        "the second part is to be normalised",
        "group_norm",
    ),
    ("X[c, x]", "mean[k](unroll[x, k = 3](X; dilation = 2))", "mean pool", "no dilation", "pool"),
    ("X[i, j]", "sum[j](X) / |i|", "mean", "divided by |i|", "statistic"),
    ("X[i, j]", "(X - mean[j](X)) / sqrt(var[j](X; ddof = 1) + 1e-5)", "standardize", "ddof 1", "standardize"),
    ("X[b, c, d, e]; g[c, d]", "standardize[b](X) * g", "norm with weight and bias", "lies along c, d", None),
    (ATTENTION, "softmax[t](Q @[key] K) @[s] V", "attention", "not those that the values are summed", "attention"),
    (ATTENTION, WEIGHTS_TWICE, "attention", "used elsewhere", "attention"),
    (ATTENTION, "softmax[s](tanh(Q @[key] K) + 1) @[s] V", "attention", "another operation than", "attention"),
    ("X[i, j]; W[o, j], b[i, o]", "W @[j] X + b", "bias in the kernel", "no summand", None),
]


@pytest.mark.parametrize(("signature", "expression", "rule", "reason", "absent"), NEAR, ids=[n[1] for n in NEAR])
def test_near_misses(signature: str, expression: str, rule: str, reason: str, absent: str | None) -> None:
    found = planned(signature, expression)
    assert reason in found.near.get(rule, ""), found.near
    assert absent not in found.ops
    assert reason in explain(found.plan)
    agree(found, x=8, k=3, y=2)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("max[k](unroll[x, k = 3](X; padding = 1))", ("pad", "pool")),
        ("max[k](unroll[x, k = 3](X; padding = 2, value = -inf))", ("pad", "pool")),
        ("mean[k](unroll[x, k = 3](X; padding = (0, 1)))", ("pad", "pool")),
        ("W @[c, k] unroll[x, k](X; padding = 1, value = 2)", ("conv", "pad")),
        ("W @[c, k] unroll[x, k](X; padding = (2, 0))", ("conv",)),
    ],
)
def test_padding_that_the_kernel_does_not_do_is_done_before(expression: str, wanted: tuple[str, ...]) -> None:
    found = planned("X[c, x]; W[o, c, k]" if "W" in expression else "X[c, x]", expression)
    assert found.ops == wanted
    agree(found, x=8, k=3)


ELSEWHERE = {
    "relu": ("maximum(X, 1)", "where(X > 1, X, 0)", "minimum(X, 0)", "where(X > 0, Y, 0)"),
    "sigmoid": ("1 / (2 + exp(-X))", "1 / (1 + exp(Y)) ^ 2"),
    "silu": ("X * sigmoid(Y)", "X * sigmoid(2 * X)"),
    "gelu": ("0.5 * X * (1 + erf(X / sqrt(3)))", "X * (1 + erf(X / sqrt(2)))", "0.5 * X * (1 + erf(Y / sqrt(2)))"),
    "softplus": ("logaddexp(X, 1)", "log(2 + exp(X))"),
    "softmax": ("exp(X - logsumexp[j](Y))", "exp(X) / sum[j](exp(Y))", "exp(2 * X) / sum[j](exp(X))"),
    "log_softmax": ("X + logsumexp[j](X)", "logsumexp[j](X) - X", "2 * X - logsumexp[j](X)"),
    "statistic": ("sum[i](X) / 7", "sum[i](X) * |i|", "sqrt(sum[i](X ^ 3))", "sum[i](X) / (|i| + 1)"),
    "standardize": ("(X - mean[j](Y)) / sqrt(var[j](X) + 1)", "(X - mean[j](X)) / sqrt(var[i](X) + 1)",
                    "(X + mean[j](X)) / sqrt(var[j](X) + 1)", "(X - mean[i](X)) / sqrt(var[j](X) + 1)"),
    "rms_norm": ("Y / sqrt(mean[j](X ^ 2) + 1)", "X / sqrt(sum[j](X ^ 2) + 1)"),
    "take": ("sum[i](where(i == j, X, 1))", "X @[i] where(i == j, 2, 0)"),
}  # fmt: skip


@pytest.mark.parametrize(("op", "expression"), [(op, e) for op, es in ELSEWHERE.items() for e in es])
def test_what_only_looks_alike(op: str, expression: str) -> None:
    found = planned("X[i, j], Y[i, j]", expression)
    assert op not in found.ops, explain(found.plan)
    agree(found, i=3, j=4)


# --- numerics ---------------------------------------------------------------------------------------------------------


def test_strict_takes_nothing_apart() -> None:
    chain = "A @[j] B @[k] C"
    signature = "A[i, j], B[j, k], C[k, l]"
    assert planned(signature, chain, numerics="strict").ops == ("contract", "contract")
    assert planned("X[i, j]", "exp(X) / sum[j](exp(X))", numerics="strict").ops == ("div", "exp", "reduce")
    assert planned("X[i, j]", "exp(X - logsumexp[j](X))", numerics="strict").ops == ("softmax",)
    assert planned("A[i, j], B[j, k]", "(2 * A) @[j] B", numerics="strict").ops == ("contract", "mul")
    for numerics in ("strict", "default", "fast"):
        agree(planned(signature, chain, numerics=numerics))
        events = planned("A[i, j], B[j, k]", "sum[j](3 * A * B) + 0", numerics=numerics).plan.events
        assert ({event.numerics for event in events} <= {"exact"}) == (numerics == "strict")


def test_distances_become_a_product_only_when_asked() -> None:
    signature, expression = "X[i, d], Y[j, d]", "sum[d]((X - Y) ^ 2)"
    assert "contract" not in planned(signature, expression).ops
    fast = planned(signature, expression, numerics="fast")
    assert "linear" in fast.ops and "distance" not in fast.ops
    bound = "in error by up to 2 eps (|x - c| + |y - c|)^2, c the mean of y (conditioned)"
    assert f"squared distances as a product, {bound}" in explain(fast.plan)
    agree(fast)
    same = planned("X[i, d], Y[i, d]", expression, numerics="fast")
    assert "linear" not in same.ops and "contract" not in same.ops
    agree(same)


INFINITE = np.array([[-np.inf, -np.inf, -np.inf], [0.0, -np.inf, 1.0]])


@pytest.mark.parametrize(
    "expression",
    [
        "softmax[j](X)",
        "exp(X) / sum[j](exp(X))",
        "exp(X - max[j](X)) / sum[j](exp(X - max[j](X)))",
        "exp(log_softmax[j](X))",
    ],
)
def test_a_masked_row_is_zero(expression: str) -> None:
    found = planned("X[i, j]", expression)
    for variant in found.plan.variants:
        (result,) = evaluate(variant.graph, {"X": INFINITE}, {"i": 2, "j": 3})
        e = np.exp(1.0)
        np.testing.assert_allclose(result, [[0, 0, 0], [1 / (1 + e), 0, e / (1 + e)]])


def test_an_exponential_below_its_maximum_is_zero_in_a_masked_row() -> None:
    found = planned("X[i, j]", "exp(X - max[j](X))")
    for variant in found.plan.variants:
        (result,) = evaluate(variant.graph, {"X": INFINITE}, {"i": 2, "j": 3})
        np.testing.assert_allclose(result, [[0, 0, 0], [np.exp(-1.0), 0, 1]])


@pytest.mark.parametrize(
    "expression", ["logsumexp[j](X)", "log(sum[j](exp(X)))", "log(sum[j](exp(X - max[j](X)))) + max[j](X)"]
)
def test_logsumexp_of_nothing_is_nothing(expression: str) -> None:
    found = planned("X[i, j]", expression)
    (result,) = evaluate(found.plan.variants[0].graph, {"X": INFINITE}, {"i": 2, "j": 3})
    np.testing.assert_allclose(result, [-np.inf, np.log(1 + np.exp(1.0))])


def test_attention_with_a_masked_query() -> None:
    found = planned(ATTENTION + "; M[t, s]", "softmax[s](Q @[key] K + M) @[s] V")
    sizes = {"t": 2, "s": 3, "key": 2, "val": 2}
    inputs = random_inputs(found.program, sizes) | {"M": np.array([[0, 0, -np.inf], [-np.inf] * 3])}
    (result,) = evaluate(found.plan.variants[0].graph, inputs, sizes)
    assert np.isfinite(result).all() and (result[1] == 0).all() and (result[0] != 0).all()


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "expression", "short"),
    [
        ("X[i, j]", "max[j](X)", {"j": 0}),
        ("X[i, j]", "std[j](X; ddof = 1)", {"j": 1}),
        ("X[c, x]; W[o, c, k], b[o]", "W @[c, k] unroll[x, k](X) + b", {"x": 2, "k": 3}),
        ("X[c, x]; W[o, c, k], b[o]", "W @[c, k] unroll[x, k](X) + b", {"x": 4, "c": 0}),
        ("X[c, x]", "max[k](unroll[x, k = 3](X; stride = 2))", {"x": 2}),
        ("X[c, x]", "sum[k](pool[x, k = 2](X))", {"x": 0, "part": 0}),
    ],
)
def test_short_axes_take_the_last_variant(signature: str, expression: str, short: dict[str, int]) -> None:
    found = planned(signature, expression)
    first, last = found.plan.variants
    assert not last.guards and ops(first.graph) != ops(last.graph)
    assert agree(found, **short) == 1
    assert agree(found, **{name: 9 if name == "x" else 3 for name in found.program.symbols}) == 2


STAR = "G[a, b, c], A[i, a], B[j, b], C[k, c]"


def test_the_call_picks_a_cheap_order() -> None:
    found = planned(STAR, "sum[a, b, c](G * A * B * C)")
    variants = found.plan.variants
    assert 4 < len(variants) <= 8  # four are far from the best
    contractions = [(n, n.attr("path")) for v in variants for n in v.graph.live() if n.op == "contract"]
    source = np.random.default_rng(3)
    ratios = []
    for _ in range(60):
        sizes = {s: int(2 ** source.uniform(0, 9)) for s in found.program.symbols}
        costs = [_operations(*one, sizes) for one in contractions]
        picked = next(k for k, v in enumerate(variants) if all(holds(guard, sizes) for guard in v.guards))
        weights = [cost(*one).evaluate(sizes) for one in contractions]
        assert weights[picked] == min(weights)
        ratios.append(costs[picked] / _best(found.node("contract"), sizes))
    assert min(ratios) >= 1 and np.median(ratios) < 1.05 and np.quantile(ratios, 0.9) < 4
    agree(found)


def _best(node: Node, sizes: dict[str, int]) -> int:
    """The cost of the best of all orders at these sizes."""
    numbers = dict(enumerate(size.evaluate(sizes) for size in node.space))
    path = optimal([frozenset(a.axes) for a in node.args], frozenset(range(node.rank)), numbers)
    return _operations(node, tuple(path), sizes)


def _operations(node: Node, path: tuple[tuple[int, ...], ...], sizes: dict[str, int]) -> int:
    numbers = [size.evaluate(sizes) for size in node.space]
    return sum(step.operations * math.prod(numbers[axis] for axis in step.touched) for step in steps(node, path))


def test_vectors_come_first() -> None:
    """A @ B @ x is A @ (B @ x), whatever the sizes: one variant, for the other order is never cheaper by much, as both
    take two calls."""
    found = planned("A[i, j], B[j, k], x[k]", "A @[j] B @[k] x")
    assert len(found.plan.variants) == 1
    node = found.node("contract")
    taken = {node.args[p].node.attr("name") for p in node.attr("path")[0]}
    assert taken == {"B", "x"}


def test_many_operands() -> None:
    letters = "abcdefghijkl"
    signature = ", ".join(f"T{k}[{letters[k]}x, {letters[k + 1]}x]" for k in range(11))
    expression = "T0" + "".join(f" @[{letters[k]}x] T{k}" for k in range(1, 11))
    found = planned(signature, expression)
    assert found.ops == ("contract",)
    agree(found)


def test_a_shared_product_is_computed_once() -> None:
    found = planned_text(
        "def f(A[i, j], B[j, k], x[k], y[k]):\n    M = A @[j] B\n    return M @[k] x + exp(M) @[k] y\n"
    )
    assert found.ops == ("contract", "contract", "exp", "linear")
    agree(found)


# --- what a plan is ---------------------------------------------------------------------------------------------------


def test_results_are_kept() -> None:
    text = "def f(X[i, j]):\n    Y = softmax[j](X)\n    return X, Y, Y[i -> a, j -> i][a -> j], sum[i](Y), 3.0\n"
    found = planned_text(text)
    assert len(found.plan.variants[-1].graph.outputs) == 5
    agree(found)


def test_the_same_plan_for_every_hash_seed() -> None:
    here = Path(__file__).parent
    script = (
        "from pathlib import Path\n"
        "from namedlayers.plan import plan, explain\n"
        "from tests.plan.formulas import planned, planned_text\n"
        f"texts = [Path({str(here.parent.parent / 'examples' / 'lenet.nl')!r}).read_text(),\n"
        f"         'def f({STAR}): return sum[a, b, c](G * A * B * C)',\n"
        f"         'def f({ATTENTION}; M[t, s]): return softmax[s](Q @[key] K / sqrt(|key|) + M) @[s] V']\n"
        "for text in texts:\n"
        "    p = planned_text(text).plan\n"
        "    print(explain(p))\n"
        "    print([v.graph.live() for v in p.variants], [v.graph.outputs for v in p.variants])\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=here.parent.parent,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ".", "PATH": ""},
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(seen) == 1


def test_long_chains_cost_linear_time() -> None:
    """Steps, not seconds: a chain twice as long makes about twice as many nodes and calls no deeper."""
    body = "".join(f"    X = X + relu(X * {k + 2})\n" for k in range(200))
    found = planned_text(f"def f(X[i]):\n{body}    return X\n")
    assert found.ops.count("relu") == 200
    agree(found)


def test_integers_and_booleans_keep_to_themselves() -> None:
    for expression in ("exp(B - logsumexp[j](B))", "B @[j] C", "sum[j](B) / |j|", "relu(B)"):
        found = planned("B[i, j], C[j, k]", expression, kinds={"B": Kind.INT})
        agree(found)
        for before, after in zip(found.graph.outputs, found.plan.variants[0].graph.outputs, strict=True):
            assert before.node.kind == after.node.kind


def test_an_empty_plan() -> None:
    graph = number(program_of("def f(X[i]) -> [i]: return X\n"))
    found = plan(graph)
    assert [node.op for node in found.variants[0].graph.live()] == ["input"]
    assert explain(found).startswith("Rules that fired:\n  none")
