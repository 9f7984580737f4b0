"""Normalisations, with and without weights and biases, and the statistics that they are made of."""

from __future__ import annotations

from tests.plan.definitions.table import Case


def _case(name: str, signature: str, body: str, *ops: str, lifts: tuple[str, ...] = ("X",)) -> Case:
    return Case(name, signature, body, ops, lifts)


CASES = (
    _case("mean", "X[i, j, k]", "mean[j, k](X)", "statistic"),
    _case("variance", "X[i, j]", "var[j](X)", "statistic"),
    _case("standard deviation", "X[i, j]", "std[j](X)", "statistic"),
    _case("norm", "X[i, j]", "sqrt(sum[j](X ^ 2))", "statistic"),
    _case("layer norm", "X[i, j]; g[j], b[j]", "standardize[j](X) * g + b", "standardize"),
    _case("layer norm, bare", "X[i, j]", "standardize[j](X)", "standardize"),
    _case("layer norm with a weight", "X[i, j]; g[j]", "g * standardize[j](X)", "standardize"),
    _case("layer norm of two axes", "X[i, j, k]; g[j, k], b[j, k]", "standardize[j, k](X) * g + b", "standardize"),
    _case(
        "layer norm by moments", "X[i, j]",
        "(X - mean[j](X)) / sqrt(mean[j](X ^ 2) - mean[j](X) ^ 2 + 1e-5)", "standardize",
    ),
    _case("variance by moments", "X[i, j]", "mean[j](X ^ 2) - mean[j](X) ^ 2", "statistic"),
    _case("mean of means", "X[i, j, k]", "mean[j](mean[k](X))", "statistic"),
    _case(
        "batch norm, folded", "X[b, c, x]; g[c], d[c]",
        "a = g / sqrt(var[b, x](X) + 1e-5)\nreturn X * a + (d - mean[b, x](X) * a)", "standardize", lifts=(),
    ),
    _case("batch norm", "X[b, c, x]; g[c], d[c]", "standardize[b, x](X) * g + d", "standardize", lifts=()),
    _case("instance norm", "X[b, c, x]", "(X - mean[x](X)) / sqrt(var[x](X) + 1e-5)", "standardize"),
    _case("rms norm", "X[i, j]; g[j]", "X / sqrt(mean[j](X ^ 2) + 1e-6) * g", "rms_norm"),
    _case("rms norm, bare", "X[i, j]", "X / sqrt(mean[j](X * X) + 1e-6)", "rms_norm"),
    _case("instance norm with weights", "X[b, c, x]; g[c], h[c]", "standardize[x](X) * g + h", "standardize", lifts=()),
    _case("groups with weights", "X[b, n, m, x]; g[n, m]", "standardize[m, x](X) * g", "standardize", lifts=()),
    _case("layer norm weighed in part", "X[b, c, x]; g[c]", "standardize[c, x](X) * g", "standardize", lifts=()),
    _case(
        "group norm", "X[b, c = 6, x]; g[c], h[c]",
        "standardize[m, x](X[c -> (n = 2, m)])[(n, m) -> c] * g + h", "group_norm", lifts=(),
    ),
)  # fmt: skip
