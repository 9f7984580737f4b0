"""Contractions planned over the whole formula: what several need is looked through where not holding it is cheaper."""

from __future__ import annotations

import random

import numpy as np
import pytest

import namedlayers as nl
from namedlayers.plan.plan import Variant
from namedlayers.plan.search import steps
from namedlayers.program.program import Kind
from tests.helpers import check
from tests.plan.formulas import Planned, agree, planned, planned_text, program_of, random_inputs, renamed, spellings

LINEAR = "Q[q, k], K[s, k], V[s, v]"
FEATURES = "exp(Q) @[k] exp(K)"

SHARED: dict[str, tuple[str, str, str]] = {
    # name: (signature, expression, axes that no intermediate value has together in one variant at least)
    "linear attention, divided after": (LINEAR, f"(({FEATURES}) @[s] V) / sum[s]({FEATURES})", "q s"),
    "linear attention, divided before": (LINEAR, f"(({FEATURES}) / sum[s]({FEATURES})) @[s] V", "q s"),
    "linear attention, without division": (LINEAR, f"({FEATURES}) @[s] V", "q s"),
    "linear attention with two values": (
        f"{LINEAR}, W[s, w]",
        f"((({FEATURES}) / sum[s]({FEATURES})) @[s] V) * sum[w]((({FEATURES}) / sum[s]({FEATURES})) @[s] W)",
        "q s",
    ),
    "linear attention, weighed": (
        f"{LINEAR}, w[s], c[q]",
        f"c * sum[s](w * ({FEATURES}) * V / sum[s](w * ({FEATURES})))",
        "q s",
    ),
    "linear attention in heads": (
        "Q[b, q, h, k], K[b, s, h, k], V[b, s, h, v]",
        f"(({FEATURES}) / sum[s]({FEATURES})) @[s] V",
        "q s",
    ),
    "linear attention of first degree": (LINEAR, "(1 + Q @[k] K) / sum[s](1 + Q @[k] K) @[s] V", "q s"),
    "the norm of a low rank": ("A[i, r], B[j, r], x[j]", "(A @[r] B) @[j] x / sum[i, j](A @[r] B)", "i j"),
    "a matrix and an outer product": ("A[i, j], u[i], v[j], x[j]", "(A + u * v) @[j] x", ""),
    "a product of matrices with a vector": ("A[i, j], B[j, k], x[k]", "(A @[j] B) @[k] x", "i k"),
    "a shared product of matrices": (
        "A[i, j], B[j, k], x[k], y[i]",
        "sum[i]((A @[j] B) @[k] x) * sum[k]((A @[j] B) @[i] y)",
        "i k",
    ),
    "an outer product that two contract": ("u[i], v[j], x[j], y[i]", "((u * v) @[j] x) * ((u * v) @[i] y)", ""),
    "a chain of five": (
        "A[a, b], B[b, c], C[c, d], D[d, e], x[e]",
        "(((A @[b] B) @[c] C) @[d] D) @[e] x",
        "a c",
    ),
    "a matrix of low rank beside another": (
        "X[b], W[b, o = 24], A[b, r = 2], B[r, o = 24]",
        "X @[b] (W + A @[r] B)",
        "",
    ),
    "an outer product taken away from a matrix": ("A[i, j], u[i], v[j], X[j, n]", "(A - u * v) @[j] X", ""),
    "a mean of products": ("X[n, d], W[d, o], b[o]", "mean[n](X @[d] W + b)", "n o"),
    "a mean of linear attention": (LINEAR, "mean[q]((Q @[k] K) @[s] V)", "q s"),
    "six operands": (
        "x[i], y[j], U[i, r], W[j, r], T[r, t], z[t]",
        "sum[i, j, r, t](x * y * U * W * T * z)",
        "i j",
    ),
}


def _together(variant: Variant) -> set[frozenset[str]]:
    """The symbols of the sizes of each value that a variant computes, steps of contractions included."""
    found = set()
    for node in variant.graph.live():
        if node.op == "input":
            continue
        kept = [tuple(range(node.rank))]
        if node.op == "contract":
            kept += [step.kept for step in steps(node, node.attr("path"))]  # type: ignore[arg-type]
        found |= {frozenset(name for p in axes for name in node.space[p].symbols) for axes in kept}
    return found


def _fewest(found: Planned, axes: str) -> list[Variant]:
    """The variants that hold nothing with all of these axes."""
    at = {name: symbol for one in found.program.inputs for name, size in one.axes for symbol in size.symbols}
    symbols = {at[axis] for axis in axes.split()}
    return [v for v in found.plan.variants if not symbols or not any(symbols <= held for held in _together(v))]


@pytest.mark.parametrize("name", SHARED)
def test_nothing_large_is_held(name: str) -> None:
    signature, expression, axes = SHARED[name]
    for body in spellings(expression, 8):
        found = planned_text(f"def f({signature}):\n{body}\n")
        assert _fewest(found, axes), body
        agree(found)


@pytest.mark.parametrize("name", SHARED)
def test_the_names_of_axes_make_no_difference(name: str) -> None:
    signature, expression, axes = SHARED[name]
    every = sorted({axis for part in signature.split("[")[1:] for axis in part.split("]")[0].split(", ")})
    text = renamed(f"def f({signature}):\n    return {expression}\n", *every)
    assert _fewest(planned_text(text), renamed(axes, *every))


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("seed", range(6))
def test_of_any_size_it_is_the_same(name: str, seed: int) -> None:
    signature, expression, _ = SHARED[name]
    found = planned(signature, expression)
    source = random.Random(seed)
    # The mean of nothing is NaN; what that is multiplied by decides whether it is seen.
    smallest = 1 if "mean" in expression else 0
    sizes = {symbol: source.choice([smallest, 1, 1, 2, 5]) for symbol in found.program.symbols}
    positive = {key: abs(value) + 0.1 for key, value in random_inputs(found.program, sizes, seed).items()}
    assert agree(found, seed, positive, **sizes)


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("size", [1, 2, 9])
def test_values_and_gradients(name: str, size: int) -> None:
    signature, expression, _ = SHARED[name]
    text = f"def f({signature}):\n    return {expression}\n"
    program = program_of(text)
    sizes = {symbol: size + k % 2 * (size > 1) for k, symbol in enumerate(program.symbols)}
    inputs = {key: abs(value) + 0.1 for key, value in random_inputs(program, sizes).items()}
    check(text, inputs, nl.compile(text).reference(**inputs).numpy())


def test_the_cheaper_variant_is_taken() -> None:
    found = planned(LINEAR, f"(({FEATURES}) @[s] V) / sum[s]({FEATURES})")
    at = {"q": 4096, "s": 4096, "k": 64, "v": 64}
    linear = _fewest(found, "q s")
    for sizes, is_linear in ((at, True), ({**at, "q": 4, "s": 4}, False)):
        taken = next(v for v in found.plan.variants if all(_holds(guard, sizes) for guard in v.guards))
        assert (taken in linear) is is_linear


def _holds(guard, sizes) -> bool:  # type: ignore[no-untyped-def]
    assert guard.relation == "<="
    return bool(guard.left.evaluate(sizes) <= guard.right.evaluate(sizes))


def test_constant_sizes_leave_one_variant() -> None:
    found = planned("Q[q = 512, k = 8], K[s = 512, k], V[s, v = 8]", f"(({FEATURES}) @[s] V) / sum[s]({FEATURES})")
    (variant,) = found.plan.variants
    assert not any(len(node.sizes) == 2 and min(s.value or 0 for s in node.sizes) > 8 for node in variant.graph.live())


def test_nothing_summed_is_nothing_divided() -> None:
    text = f"def f({LINEAR}) -> [q, v]:\n    S = {FEATURES}\n    return S / sum[s](S) @[s] V\n"
    result = nl.compile(text)(np.ones((2, 3)), np.ones((0, 3)), np.ones((0, 4)))
    np.testing.assert_array_equal(result, np.zeros((2, 4)))


# --- common factors ---------------------------------------------------------------------------------------------------

FACTORS = {
    "two vectors": ("A[i, j], x[j], y[j]", "A @[j] x + A @[j] y"),
    "a difference": ("A[i, j], x[j], y[j]", "A @[j] x - y @[j] A"),
    "two matrices": ("X[b, i], U[i, o], W[i, o]", "X @[i] U + X @[i] W"),
    "a batch": ("A[b, i, j], X[b, j, n], Y[n, b, j]", "A @[j] X + Y @[j] A"),
    "two summed axes": ("A[i, j, k], X[j, k], Y[k, j]", "A @[j, k] X + A @[j, k] Y"),
    "several": ("A[i, j], x[j], y[j], z[j]", "A @[j] x + A @[j] y + A @[j] z"),
}
APART = {
    "other axes": ("A[i, j], X[j, n], y[j]", "A @[j] X + A @[j] y"),
    "two matrices that differ": ("A[i, j], B[i, j], x[j], y[j]", "A @[j] x + B @[j] y"),
    "transposed": ("A[i = 3, j = 3], x[j], y[j]", "A @[j] x + A[i -> j, j -> i] @[j] y"),
}


@pytest.mark.parametrize("name", FACTORS)
def test_common_factors(name: str) -> None:
    signature, expression = FACTORS[name]
    for body in spellings(expression, 6):
        found = planned_text(f"def f({signature}):\n{body}\n")
        assert found.ops.count("contract") == 1 and "linear" not in found.ops
        agree(found)


@pytest.mark.parametrize("name", APART)
def test_no_common_factor(name: str) -> None:
    signature, expression = APART[name]
    found = planned(signature, expression)
    assert found.ops.count("contract") + found.ops.count("linear") == 2
    agree(found)


# --- what is held all the same ----------------------------------------------------------------------------------------

HELD = {
    "a function of it": (LINEAR, f"tanh({FEATURES}) @[s] V / sum[s](tanh({FEATURES}))", {}),
    "its maximum": (LINEAR, f"({FEATURES}) @[s] V / max[s]({FEATURES})", {}),
    "it divides": (LINEAR, f"({FEATURES}) @[s] V + sum[s](1 / ({FEATURES}))", {}),
    "strict": (LINEAR, f"({FEATURES}) @[s] V / sum[s]({FEATURES})", {"numerics": "strict"}),
    "integers": (
        LINEAR,
        "((Q @[k] K) @[s] V) * sum[s](Q @[k] K)",
        {"kinds": {"Q": Kind.INT, "K": Kind.INT, "V": Kind.INT}},
    ),
}


@pytest.mark.parametrize("name", HELD)
def test_what_is_held(name: str) -> None:
    signature, expression, options = HELD[name]
    found = planned(signature, expression, **options)
    assert not _fewest(found, "q s")
    agree(found)


def test_what_is_a_result_is_held() -> None:
    found = planned_text(f"def f({LINEAR}):\n    S = {FEATURES}\n    return S, S @[s] V, sum[s](S)\n")
    assert not _fewest(found, "q s")
    agree(found)


def test_why_a_value_is_held() -> None:
    found = planned("X[b, i = 64], W[i, h = 16], U[h, o = 64], u[o = 64]", "(X @[i] W + 1) @[h] U + u")
    assert "cheaper held" in found.near["contraction through shared values"]
    agree(found)


def test_divisors_of_summed_axes_are_planned_too() -> None:
    """The normalisation of a graph's neighbours: what is sent along, or has come, is divided, and not the graph."""
    found = planned_text(
        "def f(X[i, d], A[i, j]; W[o, d]) -> [i, o]:\n    deg = sum[j](A)\n"
        "    N = A / sqrt(deg) / sqrt(deg[i -> j])\n    return N @[j] (W @[d] X)[i -> j]\n"
    )
    divided = [[n.args[0].node.op for n in v.graph.live() if n.op == "div"] for v in found.plan.variants]
    assert any("input" not in ops for ops in divided)
    agree(found)


# --- at random --------------------------------------------------------------------------------------------------------

INPUTS = {"A": "ij", "B": "jk", "C": "ki", "u": "i", "v": "j", "w": "k", "X": "ijk"}


def _random_text(source: random.Random) -> str:
    """Statements that add, multiply, divide and contract what is there, all of which the result depends on."""
    values = dict(INPUTS)
    lines = []
    for number in range(source.randint(2, 6)):
        left, right = (source.choice(list(values)) for _ in range(2))
        axes = "".join(sorted({*values[left], *values[right]}))
        common = sorted({*values[left]} & {*values[right]})
        kind = source.choice(["+", "-", "*", "*", "/", "@", "@", "@", "sum"])
        if kind == "@" and common:
            over = source.sample(common, source.randint(1, len(common)))
            expression = f"{left} @[{', '.join(over)}] {right}"
        elif kind == "sum" and values[left]:
            axes, over = values[left], [source.choice(values[left])]
            expression = f"sum[{over[0]}]({left})"
        else:
            over = []
            expression = f"{left} / (3 + {right} * {right})" if kind == "/" else f"{left} {kind} {right}"
            if kind in "@sum":
                expression = f"{left} * {right}"
        name = f"t{number}"
        values[name] = "".join(a for a in axes if a not in over)
        lines.append(f"    {name} = {expression}")
    last = " + ".join(_total(name, axes) for name, axes in values.items() if name not in INPUTS)
    return "\n".join([f"def f({_signature()}):", *lines, f"    return {last}", ""])


def _total(name: str, axes: str) -> str:
    return f"sum[{', '.join(axes)}]({name})" if axes else name


def _signature() -> str:
    return ", ".join(f"{name}[{', '.join(axes)}]" for name, axes in INPUTS.items())


@pytest.mark.parametrize("seed", range(60))
def test_random_sums_and_products(seed: int) -> None:
    source = random.Random(seed)
    found = planned_text(_random_text(source))
    for _ in range(3):
        sizes = {symbol: source.choice([0, 1, 2, 3]) for symbol in found.program.symbols}
        assert agree(found, seed, **sizes)
