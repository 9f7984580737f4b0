"""Contractions, linear maps, distances, products of logarithms."""

from __future__ import annotations

from namedlayers.program.program import Kind
from tests.plan.definitions.table import Case


def _case(name: str, signature: str, body: str, *ops: str, lifts: tuple[str, ...] = ("X",)) -> Case:
    return Case(name, signature, body, ops, lifts)


CASES = (
    _case("product", "X[i, j]; W[j, k]", "X @[j] W", "contract"),
    _case("product over two axes", "X[i, j, k]; W[j, k, l]", "X @[j, k] W", "contract"),
    _case("bilinear form", "X[i], Y[j]; W[i, j]", "X @[i] W @[j] Y", "contract", lifts=("X", "X Y", "X Y W")),
    _case("chain", "X[i, j]; A[j, k], B[k, l]", "X @[j] A @[k] B", "contract"),
    _case("linear", "X[i, j]; W[o, j], b[o]", "W @[j] X + b", "linear"),
    _case("linear and gelu", "X[i, j]; W[o, j], b[o]", "gelu(W @[j] X + b)", "gelu", "linear"),
    _case(
        "cosines",
        "X[i, c], Y[j, c]",
        "X @[c] Y / (norm[c](X) * norm[c](Y))",
        "contract",
        "div",
        "div",
        "statistic",
        "statistic",
        lifts=(),
    ),
    _case(
        "product with factors",
        "X[i, j], a[i]; W[j, k], b[k]",
        "3 * (a * (X @[j] W) / b)",
        "contract",
        "div",
        "mul",
        lifts=(),
    ),
    Case(
        "layer of rows that are read",
        "X[p, d], near[p, k]; W[o, d], c[o]",
        "max[k](relu(W @[d] X[p = near] + c))",
        ("extreme", "gather", "linear", "relu"),
        sizes={"p": 4},
        kinds={"near": Kind.INT},
    ),
    Case(
        "mean of rows that are read",
        "X[p, d], near[m, k]; W[o, d]",
        "W @[d] mean[k](X[p = near])",
        ("row_products",),
        sizes={"p": 4},
        kinds={"near": Kind.INT},
    ),
    Case(
        "experts that are read",
        "X[t, d], I[t, k], p[t, k]; W[x, d, o]",
        "sum[k](p * (X @[d] W[x = I]))",
        ("contract", "grouped_product"),
        sizes={"x": 3},
        kinds={"I": Kind.INT},
    ),
    _case("log product", "X[i, j]; W[j, k]", "logsumexp[j](X + W)", "log_contract"),
    _case("extreme product", "X[i, j]; W[j, k]", "max[j](X + W)", "extreme_contract"),
    _case("extreme product of factors", "X[i, j]; W[j, k]", "min[j](X * W)", "extreme_contract"),
    _case(
        "logsumexp of a term, and of what it is added to",
        "A[i, j]; B[j, k]",
        "logsumexp[i, j](A + B)",
        "add",
        "reduce",
        "reduce",
        lifts=(),
    ),
    _case(
        "mean by an outer softmax",
        "K[s, f], V[s, f]; w[t, s]",
        "softmax[s](K + w) @[s] V",
        "outer_mean",
        lifts=("K V",),
    ),
    _case(
        "quotient of log products",
        "K[s, f], V[s, f]; w[t, s]",
        "sum[s](exp(K + w) * V) / sum[s](exp(K + w))",
        "outer_mean",
        lifts=(),
    ),
    _case("squares of differences", "X[i, c], Y[i, c]", "(X - Y) ^ 2", "difference", lifts=("X Y",)),
    _case(
        "smooth differences",
        "X[i, c], Y[i, c]",
        "where(abs(X - Y) < 1, 0.5 * (X - Y) ^ 2, abs(X - Y) - 0.5)",
        "difference",
        lifts=("X Y",),
    ),
    _case("linear and relu", "X[i, j]; W[o, j], b[o]", "relu(W @[j] X + b)", "linear", "relu"),
)
