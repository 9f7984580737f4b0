"""The memory that one call may take, which it says itself.

In: the keywords of a call, and how to compile for a budget. Out: what runs the call within it. What always holds: an
input or option that is called so is one; each budget is compiled for once, also where torch.compile traces the call.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

from namedlayers.call.manner import manner_of
from namedlayers.call.specialise import bounded
from namedlayers.call.tracing import not_traced

BUDGET = "max_memory"
"""The keyword."""

MOST_BUDGETS = 16
"""For how many budgets that calls have given programs are kept; the oldest go first."""

T = TypeVar("T")


def says_budget(kwargs: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether a call says its budget; `names` are those of inputs and options."""
    return bool(kwargs) and BUDGET in kwargs and BUDGET not in names


class Budgets(Generic[T]):
    """What `make` makes for a number of bytes, or for None: no bound.

    >>> budgets = Budgets(lambda most: f"within {most}")
    >>> given = {"scale": 2, "max_memory": "1KiB"}
    >>> budgets.taken_out(given), given
    ('within 1024', {'scale': 2})
    """

    def __init__(self, make: Callable[[int | None], T]) -> None:
        self._make = make
        self._names: dict[int | None, str] = {}
        self._made = _Attributes()
        self._lock = threading.RLock()
        self._key = next(_numbers)
        _all[self._key] = self

    def taken_out(self, kwargs: dict[str, Any]) -> T:
        """What runs a call within the budget that is no keyword any more. Raises ArgumentError for what is no amount of
        memory."""
        found: T = getattr(self._made, _attribute(self._key, kwargs.pop(BUDGET)))
        return found

    def _name(self, most: int | None) -> str:
        with self._lock:
            if most not in self._names:
                setattr(self._made, f"within_{most}", self._make(most))
                self._names[most] = f"within_{most}"
                for gone in bounded(self._names, MOST_BUDGETS):
                    delattr(self._made, gone)
            return self._names[most]


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Attributes:
    """Holds what was made as attributes: torch.compile sees those that are made while it traces."""


_numbers = itertools.count(1)
_all: weakref.WeakValueDictionary[int, Budgets] = weakref.WeakValueDictionary()


@not_traced
def _attribute(key: int, given: Any) -> str:
    """The attribute under which there is what runs within a budget; made now if it is not there."""
    return _all[key]._name(manner_of(max_memory=given).max_memory)
