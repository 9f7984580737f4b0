"""Derivatives of everything that a step may compute: the derived gradient against torch's own, step by step.

`CASES` has a step for each operation of the vocabulary; a test goes through all operations that there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from namedlayers.emit.build import Compiled, build
from namedlayers.plan.operations import OPERATIONS
from namedlayers.plan.plan import Plan, Variant
from namedlayers.plan.planner import plan
from namedlayers.plan.scans.block import copied
from namedlayers.plan.scans.cotangents import Missing, cotangents, full
from namedlayers.plan.scans.derivatives import LEFT, STOPS, TABLE, name_of
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph
from namedlayers.program.numbering import number
from namedlayers.program.primitives import PRIMITIVES
from namedlayers.program.program import Input, Kind, Output, Program
from namedlayers.program.terms import BINARY_NAMES, REDUCE_NAMES, UNARY_NAMES
from tests.emit.harness import program_of, run
from tests.emit.test_scan_gradients import RULE, given, leaves, same

STEP = """
def f(X[t, k], A[k', k], I[k]; W[k', k], V[k], U[k], Q[w]) -> [t, k]:
    scan t with h = X[t = 0]:
        M = h[k -> k'] * A + h * X[k -> k']
        B = M * M[k' -> k, k -> k']
        y = {}
        h = 0.5 * (W @[k] y)[k' -> k]
    return h
"""
INPUTS = {"X": "t k", "A": "k k", "W": "k k", "V": "k", "U": "k", "Q": "w"}

CASES: dict[str, str] = {
    # --- elementwise ---
    "neg": "(-h) ^ 2 - (-X)", "exp": "exp(0.3 * h)", "expm1": "expm1(h)", "log": "log(2 + h * h)",
    "log1p": "log1p(h * h)", "log2": "log2(2 + h * h)", "sqrt": "sqrt(1 + h * h)", "sin": "sin(h)", "cos": "cos(h)",
    "tan": "tan(0.5 * h)", "asin": "asin(tanh(h))", "acos": "acos(tanh(h))", "atan": "atan(h)", "sinh": "sinh(h)",
    "cosh": "cosh(h)", "tanh": "tanh(h)", "asinh": "asinh(h)", "acosh": "acosh(1.5 + h * h)",
    "atanh": "atanh(0.5 * tanh(h))", "erf": "erf(h)", "lgamma": "lgamma(2 + h * h)", "abs": "abs(h)",
    "add": "h + X", "sub": "X - h", "mul": "h * X", "div": "h / (2 + X) + X / (2 + h)", "mod": "(X + 1) % (2 + h * h)",
    "pow": "(1 + h * h) ^ X + 2 ^ h + h ^ 3", "maximum": "maximum(h, X)", "minimum": "minimum(h, 0.1)",
    "logaddexp": "logaddexp(h, X)", "atan2": "atan2(h, X)", "where": "where(h > X, h, 2 * X)",
    "lerp": "(1 - sigmoid(X)) * h + sigmoid(X) * sin(h)", "rsqrt": "rsqrt(1 + h * h)",
    "real": "real(h) * X", "conj": "conj(h) * X", "detach": "detach(h) * h", "floor": "floor(3 * h) * h",
    "ceil": "ceil(3 * h) * h", "round": "round(3 * h) * h", "int": "int(3 * h) * h", "sign": "sign(h) * h",
    "imag": "imag(h) + h", "angle": "angle(h) + h", "finfo": "h / (1 + finfo_eps(h))",
    # --- activations and losses ---
    "relu": "relu(h)", "sigmoid": "sigmoid(h)", "silu": "h * sigmoid(h)", "softplus": "softplus(h)",
    "gelu": "gelu(h)", "gelu by tanh": "0.5 * h * (1 + tanh(sqrt(2 / pi) * (h + 0.044715 * h ^ 3)))",
    "prelu": "maximum(h, 0) + V * minimum(h, 0)",
    "elu": "where(h > 0, h, 0.7 * expm1(minimum(h, 0)))", "celu": "maximum(h, 0) + 0.7 * expm1(minimum(h, 0) / 0.7)",
    "selu": "1.0507009873554805 * where(h > 0, h, 1.6732632423543772 * expm1(minimum(h, 0)))",
    "leaky_relu": "where(h > 0, h, 0.01 * h)", "clip": "clip(h, -0.2, 0.3)", "relu6": "clip(8 * h, 0, 6)",
    "hardsigmoid": "clip(h + 3, 0, 6) / 6", "hardswish": "h * clip(h + 3, 0, 6) / 6",
    "mish": "h * tanh(softplus(h))", "softsign": "h / (1 + abs(h))", "log_sigmoid": "-softplus(-h)",
    "tanhshrink": "h - tanh(h)", "softshrink": "h - clip(h, -0.1, 0.1)", "hardshrink": "where(abs(h) > 0.1, h, 0)",
    "threshold": "where(h > 0.1, h, 0.5)",
    # --- along axes ---
    "contract": "(A @[k] h)[k' -> k]", "linear": "(A @[k] h)[k' -> k] + V", "reduce sum": "sum[k](h) * X",
    "reduce max": "max[k](h) * h", "extreme": "min[k](h) * h", "reduce min": "min[k, k'](M) * h",
    "reduce logsumexp": "logsumexp[k](h) * h", "reduce prod": "prod[k](h) * h", "softmax": "softmax[k](h)",
    "log_softmax": "log_softmax[k](h)", "statistic": "h * mean[k](h) + var[k](h) * X + norm[k](h)",
    "deviation": "h * std[k](h)", "cumulative": "cumsum[k](h)", "products so far": "cumprod[k](h)",
    "largest so far": "cummax[k](h)", "sort": "sort[k](h) * X",
    # --- norms ---
    "standardize": "(h - mean[k](h)) / sqrt(var[k](h; ddof = 0) + 1e-5) * V + U",
    "rms_norm": "h / sqrt(mean[k](h * h) + 1e-5) * V",
    "norm of a channel": "sum[k']((M - mean[k'](M)) / sqrt(var[k'](M; ddof = 0) + 1e-5) * V + U) + h",
    # --- places ---
    "index": "h[k = 0] + h[k = -1] * X + h[k = 1]", "flip": "h[k = |k| - 1 - k] * X",
    "every other": "h[k = 2 * (k // 2)]",
    "diagonal": "M[k' = k]", "roll": "h[k = (k + 1) % |k|]",
    "held": "h[k = maximum(k - 1, 0)] * X", "each twice": "h[k = (k + 1) // 2]",
    "a step before": "h[k = k - 1; fill = 2]",
    "windows": "sum[w](pad[k](h; before = 1, after = 1)[k = k + w])",
    "gather": "h[k = I] * X", "chosen": "h[k = argmax[k](h)] * X", "pad": "pad[k](h; before = 1)[k = :-1]",
    "concat": "concat[k](h[k = 1:], h[k = :1])", "stack": "sum[z](stack[z](h, X, h * h) * h)",
    "merge": "sum[k']((M[(k', k) -> p] * 2)[p -> (k', k = 4)])", "split": "sum[i](h[k -> (i = 2, j)])[j = 0] * X",
    "triangle": "sum[k'](where(index[k'] <= index[k], M, 0))", "expand": "sum[w](h * Q)",
    "halves": "h[k = :2][k = 0] * h",
}  # fmt: skip


KERNEL = """
def f(X[t, r, k], A[r, k], I[r]; C[k, k'], K[o, r, w], L[r, o, w], V[k]) -> [t, r, k]:
    scan t with h = X[t = 0]:
        P = h @[r] h[k -> k'] + 3 * (index[k] == index[k'])
        {}
        h = tanh(0.3 * y + X)
    return h
"""
KERNEL_INPUTS = {"X": "t r k", "A": "r k", "C": "k k", "K": "r r w", "L": "r r w", "V": "k"}

KERNELS: dict[str, str] = {
    "conv": "y = (K @[r, w] unroll[k, w](pad[k](h; before = 1, after = 1)))[o -> r]",
    "conv_transpose": "y = fold[k, w](L @[r] h)[o -> r][k = 1:5]",
    "pool": "y = max[p](unroll[k, p = 3](pad[k](h; before = 1, after = 1)))",
    "mean pool": "y = mean[p](pool[k, p = 2](h))[k = 0] * h",
    "pad_around": 'y = (K @[r, w] unroll[k, w](pad[k](h; before = 1, after = 1, mode = "circular")))[o -> r]',
    "attention": "y = softmax[s](h @[k] A[r -> s]) @[s] h[r -> s]",
    "attention to what is there": "y = softmax[s](A @[k] h[r -> s]) @[s] A[r -> s]",
    "group_norm": "y = standardize[m, k](h[r -> (n = 2, m)])[(n, m) -> r]",
    "difference": "y = mean[r, k]((h - A) ^ 2) * h",
    "huber": "y = clip(h - A, -0.2, 0.2) * (h - A - clip(h - A, -0.2, 0.2) / 2)",
    "entropy": "y = softplus(-h) + (1 - A) * h",
    "glu": "y = concat[k](h[k = 0:2] * sigmoid(h[k = 2:4]), A[k = 0:2])",
    "prelu": "y = relu(h) + V * minimum(h, 0)",
    "rotation": "a = h[k -> (j, two = 2)][two = 0]\n        b = h[k -> (j, two = 2)][two = 1]\n"
    "        y = stack[two](a * cos(1.0 * j) - b * sin(1.0 * j), a * sin(1.0 * j) + b * cos(1.0 * j))[(j, two) -> k]",
    "row_sums": "y = mean[w](h[r = (I[r -> s] + index[w]) % |r|])[s -> r]",
    "row_products": "y = h * sum[s](tanh(A[r -> q] @[k] mean[w](h[r = (I[r -> s] + index[w]) % |r|])))[q -> r]",
    "grouped_product": "y = (h @[k] stack[x](P, 2 * P)[x = I % 2])[k' -> k]",
    "chosen_row_sums": "y = sum[w](where(index[w] > 0, h[r = (I[r -> s] + index[w]) % |r|], 0))[s -> r]",
    "sample": "y = sum[s](A[r -> s] * relu(1 - abs(2 * cos(h) - s)))",
    "put": "y = h[r -> s] @[s] one_hot[r](I[r -> s])",
    "window_product": "y = sum[w](unroll[k, w = 3](pad[k](h; before = 1, after = 1)) * sin(A * (w + 1)))",
    "fold": "y = fold[k, w](unroll[k, w = 3](h))",
    "distance": "y = sum[s](sum[k]((h - A[r -> s]) ^ 2)) * h",
    "sum of magnitudes": "y = sum[s](sum[k](abs(h - A[r -> s]))) * h",
    "nearest": "y = min[s](sum[k]((h - A[r -> s]) ^ 2)) * h",
    "root of a distance": "y = sum[s](norm[k](h - A[r -> s])) * h",
    "recurrence": "scan k with y = 0:\n            y = A * y + h",
    "inv": "y = sum[k'](inv[k, k'](P)) * h",
    "solve": "y = solve[k, k'](P, h)[k' -> k]",
    "cholesky": "y = h * sum[k'](cholesky[k, k'](P))",
    "det": "y = h * log(det[k, k'](P))",
    "eigenvalues": "d, E = eigh[k, k' -> e](P)\n        y = h * max[e](d) + sum[e]((E ^ 2) * index[e])",
    "several axes": "y = sum[k'](h[r = I, k = k'] * C)",
    "reflected": 'y = pad[k](h; before = 1, mode = "reflect")[k = 0:4]',
}


CELLS = """def f(X[r, k]) -> [r, cell]:
    |cell| = 3
    first = index[cell] * |k| // 3
    last = -(-(index[cell] + 1) * |k| // 3)
    return {}
"""

FORMULAS: dict[str, tuple[str, dict[str, str]]] = {
    "adaptive_max": (CELLS.format("max[k](where(first <= index[k] < last, X, -inf))"), {"X": "r k"}),
    "take": ("def f(X[r, k], I[b]) -> [b, k] = one_hot[r](I) @[r] X", {"X": "r k"}),
    "adaptive_mean": (CELLS.format("((first <= index[k] < last) / (last - first)) @[k] X"), {"X": "r k"}),
    "gelu": ("def f(X[r, k]) -> [r, k] = gelu(X)", {"X": "r k"}),
    "triangle": ("def f(X[r, k]) -> [r, k] = where(index[k] <= index[r], X, 0)", {"X": "r k"}),
    "arrange": (
        "def f(X[r, k]) -> [k, r, s] = X[r = maximum(r - 1, 0), k = (k + 1) // 2] * X[r = index[s = 5] % |r|]",
        {"X": "r k"},
    ),
    "roll": ("def f(X[r, k]) -> [k, r] = X[r = (r - 2) % |r|, k = (k + 1) % |k|]", {"X": "r k"}),
    "prefix_product": (
        "def f(X[b, k], Y[r, k], V[r, v]) -> [b, v] = where(r <= b, X @[k] Y, 0) @[r] V",
        {"X": "b k", "Y": "r k", "V": "r v"},
    ),
    "log_contract": ("def f(X[r, k], Y[b, k]) -> [r, b] = logsumexp[k](X + Y)", {"X": "r k", "Y": "b k"}),
    "extreme_contract": ("def f(X[r, k], Y[b, k]) -> [r, b] = max[k](X + Y) + min[k](X * Y)", {"X": "r k", "Y": "b k"}),
    "outer_mean": ("def f(X[r, k], Y[b, r]) -> [b, k] = softmax[r](X + Y) @[r] X", {"X": "r k", "Y": "b r"}),
    "harmonics": (
        "def f(X[r, k], Y[b]) -> [r, b] = Y * sum[k](X * cos(pi / (|k| + |b|) * (index[k] + 0.5) * index[b]))",
        {"X": "r k", "Y": "b"},
    ),
    "long_conv": ("def f(X[r, k], Y[r, b]) -> [r, k] = sum[b](Y * X[k = k - b; fill = 0])", {"X": "r k", "Y": "r b"}),
    "wave": (
        "def f(X[r, k], Y[b, k], V[b, v]) -> [r, v] = ((X @[k] Y) * cos(pi / 2 * (r - b) / |r|)) @[b] V",
        {"X": "r k", "Y": "b k", "V": "b v"},
    ),
    "lerp": ("def f(X[r, k], Y[r, k], w[k]) -> [r, k] = (1 - w) * X + w * Y", {"X": "r k", "Y": "r k", "w": "k"}),
    "reduce max": ("def f(X[r, k]) -> [r] = max[k](X[k = :|k| - 4])", {"X": "r k"}),
    "reduce min": ("def f(X[r, k]) -> [r] = min[k](X[k = :|k| - 3])", {"X": "r k"}),
    "fold": ("def f(X[r, k, w]) -> [r, k] = fold[k, w](X; stride = 2, dilation = 3, padding = 1)", {"X": "r k w"}),
    "index": ("def f(X[r, k]) -> [k, j]:\n    |j| = 2\n    return X[r = k + 2 * j]", {"X": "r k"}),
    "concat": (
        "def f(X[r, k], Y[b, k]) -> [n, k] = concat[n](X[r -> n], Y[b -> n], X[r -> n])",
        {"X": "r k", "Y": "b k"},
    ),
}
"""What a step has no need of, or what leaves the loop."""

BY_LEAVE = {"long_conv"}
"""Planned where digits may be lost."""

MADE: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "batch_norm": (
        "def f(X[b, c], m[c], s[c], w[c], u[c]) -> [b, c] = X + m + s + w + u",
        {"X": "b c", "m": "c", "s": "c", "w": "c", "u": "c"},
        {"args": ((0, 1), (), (1,), (1,), (1,), (1,)), "axes": (0,), "affine": ("weight", "bias"), "rate": None},
    ),
    "embedding": (
        "def f(E[v, c], I[b]) -> [b, c] = E[v = I]", {"E": "v c"},
        {"args": ((-1, 1), (0,)), "axis": 0, "row": 2},
    ),
    "cast": ("def f(X[b, c]) -> [b, c] = 2 * X", {"X": "b c"}, {"args": ((0, 1),), "kind": Kind.REAL}),
    "ordered": ("def f(X[b, c]) -> [b, c] = 2 * X", {"X": "b c"}, {"args": ((0, 1),), "axes": (1, 0)}),
}  # fmt: skip


def step(body: str) -> tuple[str, dict[str, np.ndarray]]:
    arrays = given(INPUTS, k=4, w=3)
    arrays["I"] = np.array([2, 0, 2, 1])
    return STEP.format(body), arrays


def kernel(body: str) -> tuple[str, dict[str, np.ndarray]]:
    arrays = given(KERNEL_INPUTS, r=6, k=4, w=3)
    arrays["I"] = np.array([2, 0, 2, 1, 5, 5])
    return KERNEL.format(body), arrays


ALL = {**{name: step(body) for name, body in CASES.items()}, **{name: kernel(body) for name, body in KERNELS.items()}}


@pytest.mark.parametrize("name", ALL)
def test_each_derivative(name: str) -> None:
    same(*ALL[name])


@pytest.mark.parametrize("name", FORMULAS)
def test_each_derivative_alone(name: str) -> None:
    text, inputs = FORMULAS[name]
    arrays = given(inputs, r=6, k=4, w=3, b=5, v=2) | {"I": np.array([2, 0, 2, 1, 5])}
    program = program_of(text, arrays)
    variants = plan(number(program), numerics="fast" if name in BY_LEAVE else "default").variants
    check_alone(name, program, variants[-1 if name.startswith("reduce") else 0].graph, arrays)


@pytest.mark.parametrize("name", MADE)
def test_each_derivative_of_what_no_formula_has(name: str) -> None:
    """Layers have it, or a plan."""
    text, inputs, attrs = MADE[name]
    arrays = given(inputs, b=5, c=3, v=4) | {"I": np.array([2, 0, 2, 1, 3])}
    program = program_of(text, arrays)
    graph = number(program)
    operands = [node for node in graph.nodes if node.op == "input"]
    (end,) = graph.outputs
    if name == "batch_norm":
        operands.insert(1, Scope(graph, end.node, lambda _: 2).number(1e-5).node)
        arrays["s"] = arrays["s"] ** 2
    args = tuple(Arg(one, axes) for one, axes in zip(operands, attrs["args"], strict=True))
    sizes = tuple(end.node.sizes[end.axes.index(position)] for position in range(end.node.rank))
    made = graph.node(
        name, args, sizes, end.node.rank, Kind.REAL, attrs={k: v for k, v in attrs.items() if k != "args"},
        weak=False, names=end.node.names,
    )  # fmt: skip
    graph.outputs[:] = [Arg(made, tuple(range(made.rank)))]
    check_alone(name, program, graph, arrays)


NOTHING = {"m", "s"}
"""Inputs to which nothing comes back: running statistics."""


def check_alone(name: str, program: Program, graph: Graph, arrays: dict[str, np.ndarray]) -> None:
    if name in TABLE:
        assert name in {name_of(node) for node in graph.live()}
    compiled, back = build(program, Plan((Variant((), graph, ""),), ())), differentiated(program, graph)
    args = leaves(compiled, arrays)
    taken = [one for one, of in zip(args, program.inputs, strict=True) if of.kind is Kind.REAL]
    for one, of in zip(args, program.inputs, strict=True):
        one.requires_grad_(one.requires_grad and of.name not in NOTHING)
    (found,) = run(compiled, args)
    slope = torch.randn_like(found)
    reached = [k for k, one in enumerate(taken) if one.requires_grad]
    wanted = torch.autograd.grad(found, [taken[k] for k in reached], slope)
    got = run(back, [*(one.detach() for one in args), slope])
    torch.testing.assert_close([got[k] for k in reached], list(wanted))


def differentiated(program: Program, graph: Graph) -> Compiled:
    """What comes back to the real inputs of a formula, from what comes back to its one result."""
    graph = copied(graph)
    inputs = [node for node in graph.nodes if node.op == "input"]
    (end,) = graph.outputs
    order = [end.axes.index(position) for position in range(end.node.rank)]
    sizes, names = tuple(end.node.sizes[k] for k in order), tuple(f"s{k}" for k in order)
    slope = graph.node("input", (), sizes, len(sizes), Kind.REAL, attrs={"name": "slope"}, weak=False, names=names)
    wanted = [node for node in inputs if node.kind is Kind.REAL]
    ends = {end.node: [Arg(slope, tuple(end.axes.index(k) for k in range(slope.rank)))]}
    found = cotangents(graph, ends, wanted)
    assert not isinstance(found, Missing)
    graph.outputs[:] = [full(Scope(graph, one, lambda _: 2), found.get(one), range(one.rank)) for one in wanted]
    axes = tuple(zip(names, sizes, strict=True))
    taken = (*program.inputs, Input("slope", axes, "data", Kind.REAL, program.span))
    results = tuple(Output(one.name, tuple(a for a, _ in one.axes)) for one in program.inputs if one.kind is Kind.REAL)
    return build(replace(program, inputs=taken, outputs=results), plan(graph))


def planned(name: str) -> Plan:
    text, arrays = ALL[name]
    return plan(number(program_of(text, arrays)))


# --- the whole vocabulary ---------------------------------------------------------------------------------------------

VOCABULARY = [*UNARY_NAMES, *BINARY_NAMES, *(f"reduce {op}" for op in REDUCE_NAMES), *PRIMITIVES, *OPERATIONS]
NOT_REAL = {"not", "isnan", "isinf", "isfinite", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "reduce any"} | {
    "reduce all", "argreduce", "argsort", "categorical",
}  # fmt: skip
SEEN_OTHERWISE = {"piece": "ranges.py puts pieces together", "prefix_sum": "torch's, as prefix_product is"}


def test_all_operations_are_told_of() -> None:
    """Every operation has a rule, or stops what comes back, or says why it is left to torch."""
    for op in VOCABULARY:
        places = [op in table for table in (TABLE, STOPS, LEFT, NOT_REAL, SEEN_OTHERWISE)]
        assert any(places), f"{op} is in no table of namedlayers/plan/scans/derivatives"
    assert not (set(TABLE) | STOPS | set(LEFT)) - set(VOCABULARY)


def test_all_rules_are_tried() -> None:
    tried = set(FORMULAS) | set(MADE) | set(SEEN_OTHERWISE)
    for name in ALL:
        tried |= {name_of(node) for one in planned(name).bodies.values() for node in one.variants[0].graph.live()}
    assert sorted(set(TABLE) - tried) == []


@pytest.mark.parametrize("name", ALL)
def test_no_step_is_left_to_torch(name: str) -> None:
    assert {event.near for event in planned(name).events if event.rule == RULE} == {""}
