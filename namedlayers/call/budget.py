"""The memory that one call may take, which it says itself.

In: the keywords of a call. Out: what is left of them, and the budget in bytes. What always holds: an input or option
that is called so is one; what torch traces is not cut.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from namedlayers.call.manner import manner_of

BUDGET = "max_memory"
"""The keyword."""


def says_budget(kwargs: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether a call says its budget; `names` are those of inputs and options."""
    return bool(kwargs) and BUDGET in kwargs and BUDGET not in names


def taken_out(kwargs: dict[str, Any]) -> int | None:
    """The budget, which is no keyword any more. Raises ArgumentError for what is no amount of memory.

    >>> given = {"scale": 2, "max_memory": "1KiB"}
    >>> taken_out(given), given
    (1024, {'scale': 2})
    """
    return manner_of(max_memory=kwargs.pop(BUDGET)).max_memory
