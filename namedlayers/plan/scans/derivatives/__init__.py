"""What comes back to the operands of each operation, by subject.

In: nothing; this is the table. What always holds: an operation is in it, or in `STOPS`, or is left to torch; a test
goes through all operations there are.
"""

from __future__ import annotations

from collections.abc import Mapping

from namedlayers.plan.scans.derivatives import (
    activations,
    along,
    attending,
    elementwise,
    log_products,
    norms,
    places,
    pulled,
)
from namedlayers.plan.scans.derivatives.term import Back
from namedlayers.program.graph import Node

TABLE: Mapping[str, Back] = {
    **elementwise.TABLE, **activations.TABLE, **along.TABLE, **attending.TABLE, **norms.TABLE,
    **places.TABLE, **pulled.TABLE, **log_products.TABLE,
}  # fmt: skip
"""By operation; a reduction is called `reduce` and what it does."""

WHOLE = frozenset({*places.TABLE, *pulled.TABLE, *norms.TABLE, *attending.TABLE, *log_products.TABLE, "glu"})
"""Those to which all axes of what comes back are given."""

STOPS = frozenset({
    "detach", "sign", "floor", "ceil", "round", "int", "floordiv", "imag", "angle", "running", "finfo", "random",
})  # fmt: skip
"""Operations of real operands that nothing comes back through."""

LEFT: Mapping[str, str] = {
    **dict.fromkeys(("call", "scan", "part", "final", "rnn", "gru", "lstm", "cell"), "a step runs a loop of its own"),
    **dict.fromkeys(("dropout", "slice_dropout"), "random numbers are drawn at each step"),
    **dict.fromkeys(("fft", "rfft", "irfft"), "numbers are complex"),
    "class_loss": "its weights and its targets must not have an axis of steps",
    **dict.fromkeys(
        ("slope", "slope_times", "standardize_back", "moment", "standard", "pulled_back", "inverse_share", "behind"),
        "it is part of a gradient itself",
    ),
}
"""Operations that only torch differentiates, step by step, and why."""


def name_of(node: Node) -> str:
    """What a node is called in the table."""
    return node.op if node.op != "reduce" else f"reduce {node.attr('op')}"
