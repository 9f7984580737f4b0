"""Each rule: the spellings that it must find, what it makes of them, and that the numbers stay the same."""

from __future__ import annotations

import pytest

from namedlayers.program.program import Kind
from tests.plan.formulas import agree, planned, planned_text, renamed, spellings

INTS = {"I": Kind.INT}
BOOLS = {"B": Kind.BOOL}
ATTENTION = "Q[t, key], K[s, key], V[s, val]"
MASKED = ATTENTION + "; M[t, s]"

SPELLINGS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # name: (signature, what must be left of it, expressions)
    "relu": (
        "X[i]",
        ("relu",),
        (
            "relu(X)",
            "maximum(X, 0)",
            "maximum(0, X)",
            "maximum(X, 0.0)",
            "where(X > 0, X, 0)",
            "where(X >= 0, X, 0)",
            "where(X < 0, 0, X)",
            "where(0 < X, X, 0)",
            "X * (X > 0)",
        ),
    ),
    "sigmoid": (
        "X[i]",
        ("sigmoid",),
        ("sigmoid(X)", "1 / (1 + exp(-X))", "exp(X) / (1 + exp(X))", "1 / (exp(-1 * X) + 1)"),
    ),
    "silu": ("X[i]", ("silu",), ("silu(X)", "X / (1 + exp(-X))", "sigmoid(X) * X", "X * (1 / (1 + exp(-X)))")),
    "gelu": (
        "X[i]",
        ("gelu",),
        (
            "gelu(X)",
            "X * 0.5 * (1 + erf(X / sqrt(2)))",
            "X / 2 * (erf(X * (1 / sqrt(2))) + 1)",
            "0.5 * (X * (1 + erf(X * 2 ^ -0.5)))",
            'gelu(X; approximate = "tanh")',
            "0.5 * X * (1 + tanh(sqrt(2 / pi) * (X + 0.044715 * X * X * X)))",
            "0.5 * X * (1 + tanh(sqrt(2 / pi) * X * (1 + 0.044715 * X ^ 2)))",
        ),
    ),
    "gelu of a product": ("X[i]", ("gelu", "mul"), ("gelu(3 * X)",)),
    "softplus": (
        "X[i]",
        ("softplus",),
        ("softplus(X)", "logaddexp(0, X)", "log(1 + exp(X))", "log(exp(X) + 1)", "log1p(exp(X))"),
    ),
    "logsumexp": (
        "X[i, j]",
        ("reduce",),
        (
            "logsumexp[j](X)",
            "log(sum[j](exp(X)))",
            "max[j](X) + log(sum[j](exp(X - max[j](X))))",
            "log(sum[j](exp(X - detach(max[j](X))))) + detach(max[j](X))",
        ),
    ),
    "softmax": (
        "X[i, j]",
        ("softmax",),
        (
            "softmax[j](X)",
            "exp(X - logsumexp[j](X))",
            "exp(X) / sum[j](exp(X))",
            "exp(log_softmax[j](X))",
            "exp(X - max[j](X)) / sum[j](exp(X - max[j](X)))",
            "exp(X - log(sum[j](exp(X))))",
            "exp(X - detach(max[j](X))) / sum[j](exp(X - detach(max[j](X))))",
            "exp(X - max[i, j](X)) / sum[j](exp(X - max[i, j](X)))",
            "exp(X) * (1 / sum[j](exp(X)))",
        ),
    ),
    "softmax over two axes": ("X[i, j, k]", ("softmax",), ("softmax[j, k](X)", "exp(X) / sum[j, k](exp(X))")),
    "log_softmax": (
        "X[i, j]",
        ("log_softmax",),
        (
            "log_softmax[j](X)",
            "X - logsumexp[j](X)",
            "log(softmax[j](X))",
            "X - log(sum[j](exp(X)))",
            "X - max[j](X) - log(sum[j](exp(X - max[j](X))))",
        ),
    ),
    "mean": (
        "X[i, j, k]",
        ("statistic",),
        (
            "mean[j, k](X)",
            "sum[j, k](X) / |j, k|",
            "sum[j, k](X) / (|j| * |k|)",
            "sum[j, k](X) * (1 / |j, k|)",
            "sum[k](sum[j](X)) / |j, k|",
        ),
    ),
    "mean of constant sizes": ("X[i, j = 4]", ("statistic",), ("sum[j](X) / 4", "0.25 * sum[j](X)")),
    "var": (
        "X[i, j]",
        ("statistic",),
        (
            "var[j](X)",
            "mean[j]((X - mean[j](X)) ^ 2)",
            "sum[j]((X - mean[j](X)) * (X - mean[j](X))) / |j|",
            "var[j](X; ddof = 1)",
            "sum[j]((X - sum[j](X) / |j|) ^ 2) / (|j| - 1)",
        ),
    ),
    "std": ("X[i, j]", ("statistic",), ("std[j](X)", "var[j](X) ^ 0.5", "sqrt(mean[j]((X - mean[j](X)) ^ 2))")),
    "norm": (
        "X[i, j]",
        ("statistic",),
        ("norm[j](X)", "sqrt(sum[j](X ^ 2))", "sqrt(sum[j](X * X))", "sum[j](X * X) ^ 0.5"),
    ),
    "standardize": (
        "X[i, j]",
        ("standardize",),
        (
            "standardize[j](X)",
            "(X - mean[j](X)) / sqrt(var[j](X) + 1e-5)",
            "(X - mean[j](X)) * rsqrt(1e-5 + var[j](X))",
            "(X - mean[j](X)) * (var[j](X) + 1e-5) ^ -0.5",
            "(X - mean[j](X)) / std[j](X)",
        ),
    ),
    "layer norm": (
        "X[i, j, k]; g[j, k], b[j, k]",
        ("standardize",),
        (
            "standardize[j, k](X) * g + b",
            "g * ((X - mean[j, k](X)) / sqrt(var[j, k](X) + 1e-5)) + b",
            "g * (X - mean[j, k](X)) / sqrt(var[j, k](X) + 1e-5) + b",
        ),
    ),
    "batch norm": (
        "X[b, c, x]; g[c], d[c]",
        ("standardize",),
        ("standardize[b, x](X) * g + d", "d + (X - mean[b, x](X)) * g / sqrt(1e-3 + var[b, x](X))"),
    ),
    "rms norm": (
        "X[i, j]; g[j]",
        ("rms_norm",),
        (
            "X / sqrt(mean[j](X ^ 2) + 1e-6) * g",
            "X * rsqrt(sum[j](X * X) / |j| + 1e-6) * g",
            "g * X / sqrt(mean[j](X * X) + finfo_eps(X))",
        ),
    ),
    "contraction": ("A[i, j], B[j, k]", ("contract",), ("A @[j] B", "sum[j](A * B)")),
    "scaled contraction": ("A[i, j], B[j, k]; c[]", ("contract", "mul"), ("A * c @[j] B", "(2 * A) @[j] (c * B)")),
    "contraction with an own axis": ("A[i, j, m], B[j, k]", ("contract", "reduce"), ("sum[j, m](A * B)",)),
    "contraction of three": (
        "A[i, j], B[j, k], C[k, l]",
        ("contract",),
        (
            "A @[j] B @[k] C",
            "A @[j] (B @[k] C)",
            "sum[j](A * sum[k](B * C))",
            "sum[k, j](A * B * C)",
        ),
    ),
    "quotients": ("A[i, j], B[j, k], D[j]", ("contract", "div"), ("(A / D) @[j] B", "sum[j](A * B / D)")),
    "linear": ("X[i, j]; W[o, j], b[o]", ("linear",), ("W @[j] X + b", "b + X @[j] W", "sum[j](X * W) + b")),
    "linear and more": (
        "X[i, j], Y[i, o]; W[o, j], b[o]",
        ("add", "linear"),
        ("Y + W @[j] X + b", "(b + Y) + X @[j] W"),
    ),
    "constant axis": ("A[i, j]", ("mul",), ("sum[k](A * ones[k = 3])",)),
    "attention": (
        ATTENTION,
        ("attention",),
        (
            "softmax[s](Q @[key] K) @[s] V",
            "softmax[s](Q @[key] K / sqrt(|key|)) @[s] V",
            "softmax[s]((Q / sqrt(|key|)) @[key] K) @[s] V",
            "softmax[s](Q @[key] (0.25 * K)) @[s] V",
            "softmax[s](Q @[key] K * |key| ^ -0.5) @[s] V",
            "softmax[s](where(s <= t, Q @[key] K, -inf)) @[s] V",
            "softmax[s](Q @[key] K / sqrt(|key|) + where(s <= t, 0, -inf)) @[s] V",
            "softmax[s](Q @[key] K + where(s > t, -inf, 0)) @[s] V",
            "softmax[s](Q @[key] K + where(not s > t, 0, -inf)) @[s] V",
            "sum[s](exp(Q @[key] K) / sum[s](exp(Q @[key] K)) * V)",
            "exp(Q @[key] K) @[s] V / sum[s](exp(Q @[key] K))",
        ),
    ),
    "masked attention": (
        MASKED,
        ("attention",),
        (
            "softmax[s](Q @[key] K / sqrt(|key|) + M) @[s] V",
            "softmax[s](M + where(s <= t, 0, -inf) + Q @[key] K / 8) @[s] V",
            "softmax[s](where(t >= s, M + Q @[key] K, -inf)) @[s] V",
            "softmax[s]((where(s <= t, 0, -inf) + Q @[key] K) / sqrt(|key|) + M) @[s] V",
            "softmax[s](where(s <= t, Q @[key] K, -inf) / 8 + M) @[s] V",
        ),
    ),
    "attention masked by numbers": (
        MASKED,
        ("attention", "ne"),
        ("softmax[s](where(M, Q @[key] K, -inf)) @[s] V", "softmax[s](Q @[key] K + where(M, 0, -inf)) @[s] V"),
    ),
    "attention with a scaled mask": (
        MASKED,
        ("attention", "div"),
        ("softmax[s]((M + Q @[key] K) / sqrt(|key|)) @[s] V",),
    ),
    "attention with projections": (
        "X[t, d], Y[s, d]; A[key, d], B[key, d], C[val, d]",
        ("attention", "contract", "contract", "contract"),
        ("softmax[s]((A @[d] X) @[key] (B @[d] Y) / sqrt(|key|)) @[s] (C @[d] Y)",),
    ),
    "attention over heads": (
        "Q[h, t, key], K[h, s, key], V[h, s, val]",
        ("attention",),
        ("softmax[s](Q @[key] K / sqrt(|key|)) @[s] V",),
    ),
    "grouped queries": (
        "Q[g, h, t, key], K[h, s, key], V[h, s, val]",
        ("attention",),
        ("softmax[s](Q @[key] K) @[s] V",),
    ),
    "conv1d": (
        "X[c, x]; W[o, c, k], b[o]",
        ("conv",),
        (
            "W @[c, k] unroll[x, k](X) + b",
            "W @[c, k] X[x = x + k] + b",
            "sum[c, k](W * unroll[x, k](X)) + b",
            "sum[c](sum[k](unroll[x, k](X) * W)) + b",
            "W @[c, k] X[x = x + k - 1; fill = 0] + b",
            "W @[c, k] X[x = 2 * x - 3 + 2 * k; fill = 0] + b",
            "b + W @[c, k] unroll[x, k](X; stride = 2)",
            "W @[c, k] unroll[x, k](X; dilation = 2) + b",
            "W @[c, k] unroll[x, k](X; padding = 1, stride = 2, dilation = 2) + b",
            'W @[c, k] pool[x, k](X; remainder = "drop") + b',
            "W @[c, k] pad[x](X; before = 2, after = 1)[x = x + k] + b",
            "2 * unroll[x, k](X) @[c, k] W / 2 + b",
        ),
    ),
    "conv2d": (
        "X[c, x, y]; W[o, c, k, l]",
        ("conv",),
        (
            "W @[c, k, l] unroll[x, y, k, l](X)",
            "W @[c, k, l] unroll[x, k](unroll[y, l](X; padding = 1); padding = 1)",
            "W @[c, k, l] X[x = 2 * x + k, y = y + 2 * l]",
        ),
    ),
    "conv3d": ("X[c, x, y, z]; W[o, c, k, l, m]", ("conv",), ("W @[c, k, l, m] unroll[x, y, z, k, l, m](X)",)),
    "depthwise conv": ("X[c, x]; W[c, k]", ("conv",), ("W @[k] unroll[x, k](X)",)),
    "depthwise conv of squares": ("X[c, x]; W[k]", ("conv", "pow"), ("W @[k] unroll[x, k](X) ^ 2",)),
    "depthwise conv of products": (
        "X[c, x], Y[c, x]; W[k]",
        ("conv", "mul"),
        (
            "sum[k](unroll[x, k](X; padding = 1) * unroll[x, k](Y; padding = 1) * W)",
            "(unroll[x, k](X; padding = 1) * unroll[x, k](Y; padding = 1)) @[k] W",
        ),
    ),
    "conv of what a mask leaves": (
        "X[c, x], M[x]; W[o, c, k]",
        ("conv", "mul"),
        ("sum[c, k](unroll[x, k](X) * unroll[x, k](M) * W)",),
    ),
    "conv of composed filters": (
        "X[c, x]; W[o, c, e], F[e, k]",
        ("contract", "conv"),
        (
            "(W @[e] F) @[c, k] unroll[x, k](X)",
            "sum[c, k, e](W * F * unroll[x, k](X))",
        ),
    ),
    "clip": ("X[i]", ("activation",), ("minimum(maximum(X, -1), 2)", "maximum(minimum(X, 2), -1)", "clip(X, 0, 6)")),
    "leaky relu": (
        "X[i]",
        ("activation",),
        (
            "where(X > 0, X, 0.1 * X)",
            "where(X < 0, X * 0.1, X)",
            "maximum(X, 0) + 0.1 * minimum(X, 0)",
            "where(X >= 0, X, X / 4)",
        ),
    ),
    "elu": (
        "X[i]",
        ("activation",),
        (
            "where(X > 0, X, 0.7 * expm1(minimum(X, 0)))",
            "where(X > 0, X, 0.7 * (exp(X) - 1))",
            "maximum(X, 0) + 0.7 * expm1(minimum(X, 0))",
        ),
    ),
    "selu": (
        "X[i]",
        ("activation",),
        ("1.0507009873554805 * where(X > 0, X, 1.6732632423543772 * expm1(minimum(X, 0)))",),
    ),
    "shrink": (
        "X[i]",
        ("activation",),
        ("X - clip(X, -0.5, 0.5)", "where(abs(X) > 0.5, X, 0)", "where(X > 0.2, X, 7)"),
    ),
    "hard swish": ("X[i]", ("activation",), ("X * (clip(X + 3, 0, 6) / 6)", "clip(X + 3, 0, 6) * X / 6")),
    "mish": ("X[i]", ("activation",), ("X * tanh(softplus(X))", "X * tanh(log(1 + exp(X)))")),
    "log of a sigmoid": ("X[i]", ("activation",), ("-softplus(-X)",)),
    "group norm": (
        "X[b, c = 6, x, y]; g[c], h[c]",
        ("group_norm",),
        (
            "standardize[m, x, y](X[c -> (n = 2, m)])[(n, m) -> c] * g + h",
            "h + g * standardize[m, x, y](X[c -> (n, m = 3)]; eps = 1e-3)[(n, m) -> c]",
        ),
    ),
    "mean of a constant size": ("X[i, j = 49]", ("statistic",), ("sum[j](X) / 49", "mean[j](X)")),
    "square of a difference": ("X[i], Y[i]", ("difference",), ("(X - Y) ^ 2", "(X - Y) * (X - Y)")),
    "all squares of differences": ("X[i, c], Y[i, c]", ("difference",), ("mean[i, c]((X - Y) ^ 2)",)),
    "huber": ("X[i], Y[i]", ("difference",), ("clip(X - Y, -2, 2) * (X - Y - clip(X - Y, -2, 2) / 2)",)),
    "cross entropy of a logit": (
        "Z[i], Y[i]",
        ("difference",),
        ("softplus(-Z) + (1 - Y) * Z", "Z * (1 - Y) + log(1 + exp(-Z))"),
    ),
    "prelu": ("X[i, c]; a[c]", ("prelu",), ("maximum(X, 0) + a * minimum(X, 0)",)),
    "transposed conv": (
        "X[c, x]; W[c, o, k], b[o]",
        ("conv_transpose",),
        (
            "fold[x, k](W @[c] X) + b",
            "fold[x, k](sum[c](W * X); stride = 2) + b",
            "b + fold[x, k](X @[c] W; stride = 2, dilation = 2, padding = 1, output_padding = 1)",
        ),
    ),
    "transposed conv2d": (
        "X[c, x, y]; W[c, o, k, l]",
        ("conv_transpose",),
        (
            "fold[x, y, k, l](W @[c] X; stride = (2, 1), padding = 1)",
            "fold[y, l](fold[x, k](X @[c] W; padding = 1))",
        ),
    ),
    "depthwise transposed conv": ("X[c, x]; W[c, k]", ("conv_transpose",), ("fold[x, k](X * W; stride = 2)",)),
    "max pool": (
        "X[c, x, y]",
        ("pool",),
        (
            "max[k, l](pool[x, y, k = 2, l = 2](X))",
            "max[k](pool[x, k = 2](max[l](pool[y, l = 2](X))))",
            "max[k](unroll[x, k = 3](X; padding = 1, value = -inf))",
            "max[k](X[x -> (p, k = 2)])[p -> x]",
            "max[k, l](unroll[x, y, k = 2, l = 3](X; stride = 2, dilation = 2))",
        ),
    ),
    "mean pool": (
        "X[c, x, y]",
        ("pool",),
        (
            "mean[k, l](pool[x, y, k = 2, l = 2](X))",
            "mean[k](unroll[x, k = 3](X; padding = 1))",
            "sum[k](pool[x, k = 2](X)) / 2",
        ),
    ),
    "max pool and more": ("X[c, x]", ("extreme", "pool"), ("max[c, k](unroll[x, k = 3](X))",)),
    "mean pool and more": ("X[c, x]", ("pool", "statistic"), ("mean[c, k](pool[x, k = 2](X))",)),
    "sum pool": ("X[c, x]", ("mul", "pool"), ("sum[k](pool[x, k = 2](X))",)),
    "gather": (
        "I[t]; E[v = 3, e]",
        ("take",),
        (
            "E @[v] one_hot[v](I)",
            "one_hot[v](I) @[v] E",
            "sum[v](where(I == v, E, 0))",
            "E @[v] (v == I)",
            "sum[v](where(v == I, 1, 0) * E)",
        ),
    ),
    "gather along": ("X[t, v = 3], I[t]", ("take",), ("X @[v] one_hot[v](I)",)),
    "index-add": ("X[t, e], I[t]; Y[v = 3, e]", ("add", "put"), ("Y + X @[t] one_hot[v](I)",)),
    "identities": ("X[i]", (), ("X * 1", "1 * X", "X + 0", "X / 1", "-(-X)", "X - 0", "sum[](X)", "X ^ 1")),
    "neutral conditions": (
        "X[i]",
        ("gt",),
        ("X > 0 and True", "True and X > 0", "X > 0 or False", "(False or X > 0) and 1 == 1"),
    ),
    "identity by choice": ("X[i]", (), ("where(True, X, -inf)", "where(False, 0, X)", "where(1 == 1, X, inf)")),
    "nested reductions": ("X[i, j, k]", ("extreme",), ("max[i](max[j](X))", "max[i, j](X)")),
}

CASES = [(name, signature, wanted, e) for name, (signature, wanted, es) in SPELLINGS.items() for e in es]
SIZES = {"x": 8, "y": 8, "z": 5, "k": 3, "l": 2, "v": 3}


@pytest.mark.parametrize(("name", "signature", "wanted", "expression"), CASES, ids=[f"{c[0]}: {c[3]}" for c in CASES])
def test_spellings(name: str, signature: str, wanted: tuple[str, ...], expression: str) -> None:
    found = planned(signature, expression, kinds=INTS)
    assert found.ops == wanted, found.plan.variants[0].graph.live()
    assert agree(found, **SIZES) >= 1


@pytest.mark.parametrize(("name", "signature", "wanted", "expression"), CASES, ids=[f"{c[0]}: {c[3]}" for c in CASES])
def test_the_same_in_other_words(name: str, signature: str, wanted: tuple[str, ...], expression: str) -> None:
    for body in spellings(expression, 4):
        text = renamed(f"def f({signature}):\n{body}\n", "i", "j", "t", "c")
        found = planned_text(text, kinds=INTS)
        assert found.ops == wanted, text
        agree(found, **SIZES)


ONE_INPUT = [case for case in CASES if case[1].startswith("X[") and case[2]]
INNER = [("P + R", "add"), ("P * R", "mul"), ("-P", "")]
PRODUCTS = frozenset({"mul", "div", "neg", "add", "sub"})


@pytest.mark.parametrize(("inner", "op"), INNER, ids=[inner for inner, _ in INNER])
@pytest.mark.parametrize(("name", "signature", "wanted", "expression"), ONE_INPUT, ids=[c[3] for c in ONE_INPUT])
def test_of_an_expression(
    name: str, signature: str, wanted: tuple[str, ...], expression: str, inner: str, op: str
) -> None:
    """Rules see in an expression of an expression what they see in one of an input."""
    axes = signature[1 : signature.index("]") + 1]
    given = ", ".join(f"{p}{axes}" for p in "PR" if p in inner) + signature[len(axes) + 1 :]
    found = planned_text(f"def f({given}):\n    X = {inner}\n    return {expression}\n", kinds=INTS)
    agree(found, **SIZES)
    if name.startswith("mean") and op == "mul":
        assert found.ops in (("contract", "div"), ("contract", "mul"), ("mul", "pool"), ("mul", "pool", "statistic"))
    elif op:
        assert found.ops == tuple(sorted((*wanted, op))), found.plan.variants[0].graph.live()
    elif "linear" not in wanted and "take" not in wanted and not ("tanh" in expression and inner == "-P"):
        # A constant factor may move, to where it costs less or vanishes; less one of each row is a loss.
        assert set(found.ops) - PRODUCTS == set(wanted) - PRODUCTS, found.plan.variants[0].graph.live()
