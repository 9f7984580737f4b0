"""What the verifiers share: the error that they raise, and when two sizes are equal.

In: conditions and checks of sizes. Out: nothing, or an `InvariantError`. What always holds: a size that some inputs
make different from another one is not equal to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from namedlayers.program.program import Check
from namedlayers.program.size import SizeExpr


class InvariantError(AssertionError):
    """A stage has made something that may not be."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise InvariantError(message)


class Equal:
    """Whether two sizes are equal, for all sizes or for all that pass the checks."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self.differences = {d for c in checks if c.relation == "==" for d in (c.left - c.right, c.right - c.left)}

    def __call__(self, left: SizeExpr, right: SizeExpr) -> bool:
        return left == right or left - right in self.differences
