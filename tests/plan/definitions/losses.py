"""Cross entropies and likelihoods of classes."""

from __future__ import annotations

from typing import Any

from namedlayers.program.program import Kind
from tests.plan.definitions.table import Case

SIZES = {"c": 5}
KINDS = {"T": Kind.INT}


def _case(
    name: str, body: str, *, given: str = "Z[b, c], T[b]", lifts: tuple[str, ...] = ("Z T",), **more: Any
) -> Case:
    return Case(name, given, body, ("class_loss",), lifts, SIZES, KINDS, **more)


WEIGHTED = "Z[b, c], T[b]; W[c]"

CASES = (
    _case("cross entropy of each", "-log_softmax[c](Z)[c = T]"),
    _case("cross entropy from the logits", "logsumexp[c](Z) - Z[c = T]"),
    _case("cross entropy below the maximum", "log(sum[c](exp(Z - max[c](Z)))) + max[c](Z) - Z[c = T]"),
    _case("cross entropy, mean", "-mean[b](log_softmax[c](Z)[c = T])", lifts=()),
    _case("cross entropy, sum", "-sum[b](log_softmax[c](Z)[c = T])", lifts=()),
    _case("cross entropy with weights", "-log_softmax[c](Z)[c = T] * W[c = T]", given=WEIGHTED),
    _case(
        "cross entropy, weighted mean",
        "sum[b](-W[c = T] * log_softmax[c](Z)[c = T]) / sum[b](W[c = T])",
        given=WEIGHTED,
        lifts=(),
    ),
    _case(
        "cross entropy of targets that count",
        "sum[b](where(T != 2, -log_softmax[c](Z)[c = where(T != 2, T, 0)], 0)) / sum[b](T != 2)",
        lifts=(),
        without={"real identity": "a target that is a real number is no index", "root": "as is its root"},
    ),
    _case("negative log likelihood", "-mean[b](Z[c = T])", lifts=()),
    _case(
        "cross entropy of smoothed targets",
        "-0.9 * log_softmax[c](Z)[c = T] - 0.1 * mean[c](log_softmax[c](Z))",
    ),
)
