"""The one exception to IEEE arithmetic: a softmax whose row is all -inf is 0, however it is written.

In: the operands of an `exp` or a division that would give NaN. Out: where the value is 0 instead. The definition, by
values and not by names:

- `exp(A - B)` where `B` is the logsumexp or the maximum of `A` over some of its axes is 0 where both are -inf;
- `A / B` where `A` is an exponential and `B` the sum of `A` over some of its axes is 0 where both are 0 and the
  exponent is not finite (so not where a finite exponent merely underflowed).

"`B` is the … of `A`" holds when `B` was made so from values equal to `A`'s, whatever names and lets lie between.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from namedlayers.reference.named import Named

_SHIFTS = frozenset({"max", "logsumexp"})


def masked_exponent(exponent: Named) -> np.ndarray | None:
    """Where `exp(exponent)` is 0 by promise, in the array's own layout; None: nowhere."""
    made = exponent.made
    if made is None or made.op != "sub" or not np.isnan(exponent.array).any():
        return None
    a, b = made.operands
    where = np.isneginf(_real(a, made.axes)) & np.isneginf(_real(b, made.axes))
    return where if where.any() and _is_reduction(b, a, _SHIFTS) else None


def masked_quotient(a: Named, b: Named, axes: tuple[str, ...]) -> np.ndarray | None:
    """Where `a / b` over `axes` is 0 by promise; None: nowhere."""
    if a.made is None or a.made.op != "exp" or b.made is None:
        return None
    where = (a.over(axes) == 0) & (b.over(axes) == 0)
    if not where.any() or not _is_reduction(b, a, frozenset({"sum"})):
        return None
    exponent = Named(a.made.operands[0].array, a.axes)
    return where & ~np.isfinite(exponent.over(axes))


def _is_reduction(b: Named, a: Named, ops: frozenset[str]) -> bool:
    """Whether `b` was made as one of the reductions `ops` of values equal to those of `a`."""
    if b.made is None or b.made.op not in ops:
        return False
    (operand,) = b.made.operands
    kept = dict(zip(b.made.axes, b.axes, strict=True))
    gone = [axis for axis in operand.axes if axis not in kept]
    free = [axis for axis in a.axes if axis not in b.axes]
    if len(gone) != len(free) or len(operand.axes) != len(a.axes):
        return False
    for choice in permutations(free):
        name = kept | dict(zip(gone, choice, strict=True))
        renamed = Named(operand.array, tuple(name[axis] for axis in operand.axes))
        if set(renamed.axes) == set(a.axes) and np.array_equal(renamed.over(a.axes), a.array, equal_nan=True):
            return True
    return False


def _real(value: Named, axes: tuple[str, ...]) -> np.ndarray:
    return value.over(axes).real
