"""The straight way of a call: from its arguments to the compiled function that takes them as they stand.

In: the forms of calls that were made, with what they run. Out: what a call runs, or None. What always holds: no answer
depends on anything but types, precisions, ranks, and the values that compiling has asked for; no two calls that need
different programs get one answer.

There are two ways to find it: a table by `straight_key`; and before it, for the form that was found last, its test
written out in Python, as most functions are called in one form only, and a call of a small tensor takes no longer than
the table.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from namedlayers.call.forms import PLAIN, PLAIN_TYPES, CallForm, straight_key
from namedlayers.call.owned import Owned
from namedlayers.call.specialise import bounded
from namedlayers.call.supply import Pick
from namedlayers.program.spec import Static

Straight = tuple[Callable[..., Any], Pick, Owned | None]
"""A compiled function; what it takes of the keyword arguments, after the positional ones; what a module supplies."""

Find = Callable[[Sequence[Any], Mapping[str, Any]], Straight | None]

MOST = 1024
"""For how many kinds of calls the way is kept; the oldest go first."""


class StraightWay:
    """What the calls of one function run. `find` gives the entry for the arguments of a call: ask for it anew each
    time, as it becomes another one."""

    def __init__(self) -> None:
        self.find: Find = self._look_up
        self._table: dict[tuple, _Known] = {}
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def add(self, form: CallForm, settled: Mapping[str, Static], entry: Straight) -> None:
        """Keeps what calls of this form run that give these values of options."""
        if any(name in settled and _elusive(settled[name]) for name, _ in form[1]):
            return
        key = straight_key(form, settled)
        if key is not None:
            with self._lock:
                self._asked.update(settled)
                self._table[key] = _Known(entry, written_out(form, settled, entry, self._look_up))
                bounded(self._table, MOST)

    def _look_up(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Straight | None:
        key: list[object] = []  # as `straight_key` makes it of forms
        try:
            for tensor in args:
                key += (tensor.dtype, tensor.ndim, tensor.layout)
            for name, value in kwargs.items():
                if (kind := type(value)) not in PLAIN:
                    key += (name, value.dtype, value.ndim, value.layout)
                elif name in self._asked:
                    key += (name, kind, value)
                else:
                    key += (name, kind)
        except AttributeError:  # neither a torch tensor nor a plain option
            return None
        known = self._table.get(tuple(key))
        if known is None:
            return None
        self.find = known.find
        return known.entry


def written_out(form: CallForm, settled: Mapping[str, Static], entry: Straight, other: Find) -> Find:
    """Gives `entry` for calls of this form with these values of options, and for all others what `other` says.

    >>> import torch
    >>> tensor, number = ("tensor", torch.float32, 1, torch.strided), ("number", "int")
    >>> find = written_out(((tensor,), (("k", number),)), {"k": 3}, "the entry", lambda args, kwargs: "another")
    >>> x = torch.ones(2)
    >>> find((x,), {"k": 3}), find((x,), {"k": 4}), find((x,), {"k": True}), find((x,), {}), find((7,), {"k": 3})
    ('the entry', 'another', 'another', 'another', 'another')
    """
    positional, keywords = form
    known: dict[str, Any] = {"entry": entry, "other": other}

    def constant(value: object) -> str:
        name = f"c{len(known)}"
        known[name] = value
        return name

    def is_tensor(name: str, plain: tuple) -> list[str]:
        _, dtype, ndim, layout = plain
        return [
            f"{name}.dtype is {constant(dtype)}", f"{name}.ndim == {ndim}", f"{name}.layout is {constant(layout)}"
        ]  # fmt: skip

    names = [f"a{number}" for number in range(len(positional))]
    tests = [test for name, plain in zip(names, positional, strict=True) for test in is_tensor(name, plain)]
    reads = [f"{', '.join(names)}, = args"] if names else []
    for number, (keyword, plain) in enumerate(keywords):
        name = f"k{number}"
        reads.append(f"{name} = kwargs[{keyword!r}]")
        if plain[0] == "tensor":
            tests += is_tensor(name, plain)
            continue
        tests.append(f"type({name}) is {constant(PLAIN_TYPES[plain[-1]])}")
        if keyword in settled:
            tests.append(f"{name} == {constant(settled[keyword])}")
    alike = f"len(kwargs) == {len(keywords)}" if keywords else "not kwargs"
    source = f"""
def find(args, kwargs):
    if len(args) == {len(names)} and {alike}:
        try:
{"".join(f"            {line}{chr(10)}" for line in reads)}            if {" and ".join(tests) or "True"}:
                return entry
        except (AttributeError, KeyError):
            pass
    return other(args, kwargs)
"""
    exec(compile(source, "<namedlayers call>", "exec"), known)
    return known["find"]


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Known:
    entry: Straight
    find: Find


def _elusive(value: Static) -> bool:
    """Whether equality does not tell it from others, of its type, that mean something else: zeros, what is no number,
    tuples."""
    return value == 0.0 if isinstance(value, float) and value == value else not isinstance(value, (int, str))
