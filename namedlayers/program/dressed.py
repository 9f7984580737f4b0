"""Sizes as funsor wants them: an expression dressed as the `int` of a `Bint`.

In: a size expression. Out: an `int` that is compared and hashed by its expression. What always holds: it decides
nothing that is not so for all sizes; what would need the number itself raises TypeError.
"""

from __future__ import annotations

from namedlayers.program.size import Dressed, SizeExpr, SizeLike, size_expr


class Size(Dressed):
    """An expression dressed as an `int`, for funsor's `Bint`. Compared and hashed by the expression.

    The integer inside is a hint that decides nothing: truth, index, float and undecided order raise TypeError.
    """

    def __new__(cls, expr: SizeLike) -> Size:
        expr = size_expr(expr)
        self = super().__new__(cls, expr.value if expr.value is not None and expr.value >= 0 else 2)
        self.expr = expr
        return self

    def __hash__(self) -> int:
        return hash(self.expr) if self.expr.value is None else hash(self.expr.value)

    def __eq__(self, other: object) -> bool:
        return self.expr == (other.expr if isinstance(other, Size) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __ge__(self, other: int) -> bool:
        return self._decide(self.expr - size_expr(other))

    def __gt__(self, other: int) -> bool:
        return self._decide(self.expr - size_expr(other) - 1)

    def __le__(self, other: int) -> bool:
        return self._decide(size_expr(other) - self.expr)

    def __lt__(self, other: int) -> bool:
        return self._decide(size_expr(other) - self.expr - 1)

    def __bool__(self) -> bool:
        return self._known() != 0

    def __index__(self) -> int:
        return self._known()

    def __float__(self) -> float:
        return float(self._known())

    __int__ = __index__

    def __str__(self) -> str:
        return str(self.expr)

    __repr__ = __str__
    __format__ = object.__format__

    def __reduce__(self) -> tuple:
        return Size, (self.expr,)

    def _known(self) -> int:
        if self.expr.value is None:
            raise TypeError(f"the size {self.expr} is not known while compiling")
        return self.expr.value

    def _decide(self, difference: SizeExpr) -> bool:
        if difference.nonnegative:
            return True
        if difference.value is None:
            raise TypeError(f"whether {difference} >= 0 is not known while compiling")
        return False
