"""Softmax, its logarithm, and sums of exponentials."""

from __future__ import annotations

from namedlayers.program.program import Kind
from tests.plan.definitions.table import Case


def _case(name: str, signature: str, body: str, *ops: str) -> Case:
    return Case(name, signature, body, ops, ("X",), kinds={"B": Kind.BOOL})


CASES = (
    _case("softmax", "X[i, j]", "softmax[j](X)", "softmax"),
    _case("softmax as a quotient", "X[i, j]", "exp(X) / sum[j](exp(X))", "softmax"),
    _case("softmax, shifted", "X[i, j]", "exp(X - max[j](X)) / sum[j](exp(X - max[j](X)))", "softmax"),
    _case("softmax over two axes", "X[i, j, k]", "softmax[j, k](X)", "softmax"),
    _case(
        "softmax of what is left",
        "X[i, j]; B[i, j]",
        "where(B, exp(X), 0) / sum[j](where(B, exp(X), 0))",
        "softmax",
        "where",
    ),
    _case("softmax of what its mean is taken off", "X[i, j]", "softmax[j](X - mean[j](X))", "softmax"),
    _case("log of a mean of powers", "X[i, j]", "log(mean[j](exp(X)))", "reduce", "sub"),
    _case("log of two powers", "X[i, j], Y[i, j]", "log(exp(X) + exp(Y))", "logaddexp"),
    _case("log_softmax", "X[i, j]", "log_softmax[j](X)", "log_softmax"),
    _case(
        "log of a quotient of softmaxes",
        "X[i, j], Y[i, j]",
        "log(softmax[j](X) / softmax[j](Y))",
        "log_softmax",
        "log_softmax",
        "sub",
    ),  # fmt: skip
    _case("logsumexp", "X[i, j]", "log(sum[j](exp(X)))", "reduce"),
    _case("logsumexp, shifted", "X[i, j]", "max[j](X) + log(sum[j](exp(X - max[j](X))))", "reduce"),
)
