"""Transposed convolutions: folds of contractions."""

from __future__ import annotations

from tests.plan.definitions.table import Case

SIZES = {"x": 6, "y": 5, "k": 3, "l": 2}
ONE = "X[c, x]; W[c, o, k]"


def _case(name: str, signature: str, body: str) -> Case:
    return Case(name, signature, body, ("conv_transpose",), ("X",), SIZES)


CASES = (
    _case("transposed", ONE, "fold[x, k](W @[c] X)"),
    _case("transposed with bias", "X[c, x]; W[c, o, k], b[o]", "fold[x, k](W @[c] X) + b"),
    _case("transposed, strided", ONE, "fold[x, k](W @[c] X; stride = 2, padding = 1)"),
    _case(
        "transposed, all of it", ONE, "fold[x, k](W @[c] X; stride = 2, dilation = 2, padding = 1, output_padding = 1)"
    ),
    _case(
        "transposed in two axes",
        "X[c, x, y]; W[c, o, k, l]",
        "fold[x, y, k, l](W @[c] X; stride = (2, 1), padding = 1)",
    ),
    _case("depthwise transposed", "X[c, x]; W[c, k]", "fold[x, k](X * W; stride = 2)"),
)
