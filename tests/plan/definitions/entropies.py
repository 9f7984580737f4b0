"""Cross entropies of a yes or no."""

from __future__ import annotations

from tests.plan.definitions.table import Case

GIVEN = "X[i, j], Y[i, j]"
LIFTS = ("X Y",)


def _case(name: str, body: str, given: str = GIVEN, lifts: tuple[str, ...] = LIFTS) -> Case:
    return Case(name, given, body, ("difference",), lifts)


CASES = (
    _case("yes or no", "softplus(-X) + (1 - Y) * X"),
    _case("yes or no, both ways", "Y * softplus(-X) + (1 - Y) * softplus(X)"),
    _case("yes or no, short", "softplus(X) - X * Y"),
    _case("yes or no by logarithms", "-(Y * log(sigmoid(X)) + (1 - Y) * log(1 - sigmoid(X)))"),
    _case("yes or no, stable", "maximum(X, 0) - X * Y + log(1 + exp(-abs(X)))"),
    _case("yes or no, mean", "mean[i, j](softplus(-X) + (1 - Y) * X)", lifts=()),
    _case("yes or no, weighted", "3 * Y * softplus(-X) + (1 - Y) * softplus(X)"),
    _case("yes or no, weighted by class", "W * Y * softplus(-X) + (1 - Y) * softplus(X)", f"{GIVEN}; W[j]"),
)
