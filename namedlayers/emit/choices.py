"""Which variant of a function runs, where telling takes arithmetic.

In: a function from sizes to the number of a variant. Out: the same, which computes nothing for sizes that it has seen.
What always holds: what traces sizes (torch.compile, torch.export, `torch.jit.trace`) sees the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from torch.compiler import is_compiling

MOST = 1024
"""For how many sizes an answer is kept."""

Choose = Callable[..., int]


def remembered(choose: Choose) -> Choose:
    """The function with its answers kept.

    >>> @remembered
    ... def larger(a, b):
    ...     print("comparing")
    ...     return 0 if a >= b else 1
    >>> larger(3, 4), larger(3, 4), larger(4, 3)
    comparing
    comparing
    (1, 1, 0)
    """
    known: dict[tuple[int, ...], int] = {}

    @wraps(choose)
    def chosen(*sizes: int) -> int:
        if is_compiling():
            return choose(*sizes)
        try:
            return known[sizes]
        except (KeyError, TypeError):  # symbols have no hash
            found = choose(*sizes)
        if all(type(size) is int for size in sizes):
            if len(known) >= MOST:
                known.clear()
            known[sizes] = found
        return found

    return chosen
