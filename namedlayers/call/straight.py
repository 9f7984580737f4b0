"""The straight way of a call: from its arguments to the compiled function that takes them as they stand.

In: the forms of calls that were made, with what they run. Out: the results of a call, or `ELSEWHERE`. What always
holds: what runs depends on nothing but types, precisions, ranks, and the values that compiling has asked for; no two
calls that need different programs run one function.

There are two ways to find it: a table by `straight_key`; and before it, for the form that was found last, test and call
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
from namedlayers.program.spec import Static

Run = Callable[[Sequence[Any], Mapping[str, Any], Any], Any]
"""What runs a call: from its positional and keyword arguments, and its module, if it is a module's."""

ELSEWHERE = object()
"""What is returned for a call that does not go the straight way."""

MOST = 1024
"""For how many kinds of calls the way is kept; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Straight:
    """A compiled function that takes the positional arguments of a call, those of the keywords, and what a module
    supplies. Before all else it takes apart the shapes of the arguments in `unpacked`, and so finds out itself whether
    they have as many axes as they should."""

    function: Callable[..., Any]
    keywords: tuple[str, ...] = ()
    owned: Owned | None = None
    unpacked: frozenset[int] = frozenset()


class StraightWay:
    """What the calls of one function run. `run` runs it for the arguments of a call: ask for it anew each time, as it
    becomes another one."""

    __slots__ = ("run", "_table", "_asked", "_lock")  # after a large kernel a table of attributes is in no cache

    def __init__(self) -> None:
        self.run: Run = self._look_up
        self._table: dict[tuple, Run] = {}
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def add(self, form: CallForm, settled: Mapping[str, Static], straight: Straight) -> None:
        """Keeps what calls of this form run that give these values of options."""
        if any(name in settled and _elusive(settled[name]) for name, _ in form[1]):
            return
        key = straight_key(form, settled)
        if key is not None:
            with self._lock:
                self._asked.update(settled)
                self._table[key] = written_out(form, settled, straight, self._look_up)
                bounded(self._table, MOST)

    def _look_up(self, args: Sequence[Any], kwargs: Mapping[str, Any], module: Any) -> Any:
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
            return ELSEWHERE
        run = self._table.get(tuple(key))
        if run is None:
            return ELSEWHERE
        self.run = run
        return run(args, kwargs, module)


def written_out(form: CallForm, settled: Mapping[str, Static], straight: Straight, other: Run) -> Run:
    """Runs `straight` for calls of this form with these values of options, and for all others `other`.

    >>> import torch
    >>> tensor, number = ("tensor", torch.float32, 1, torch.strided), ("number", "int")
    >>> run = written_out(((tensor,), (("k", number),)), {"k": 3}, Straight(torch.sum), lambda *call: "another")
    >>> x = torch.ones(2)
    >>> run((x,), {"k": 3}, None), run((x,), {"k": 4}, None), run((x,), {"k": True}, None), run((x,), {}, None)
    (tensor(2.), 'another', 'another', 'another')
    """
    positional, keywords = form
    known: dict[str, Any] = {"function": straight.function, "other": other}

    def constant(value: object) -> str:
        name = next((name for name, one in known.items() if one is value), f"c{len(known)}")
        known[name] = value
        return name

    def is_tensor(name: str, plain: tuple, unpacked: bool) -> list[str]:
        _, dtype, ndim, layout = plain
        tests = [f"{name}.dtype is {constant(dtype)}", f"{name}.layout is {constant(layout)}"]
        rank = f"{name}.ndim == {ndim}"
        if unpacked:
            ranks.append(rank)
            return tests
        return [rank, *tests]

    ranks: list[str] = []  # which the function finds out
    names = [f"a{number}" for number in range(len(positional))]
    given = {keyword: f"k{number}" for number, (keyword, _) in enumerate(keywords)}
    passed = [*names, *(given[keyword] for keyword in straight.keywords)]
    unpacked = {passed[number] for number in straight.unpacked if number < len(passed)}
    tests = [] if keywords else ["not kwargs"]
    for name, plain in zip(names, positional, strict=True):
        tests += is_tensor(name, plain, name in unpacked)
    reads = [f"{''.join(f'{name}, ' for name in names)}= args" if names else "() = args"]
    if keywords:
        tests.append(f"len(kwargs) == {len(keywords)}")
    for keyword, plain in keywords:
        name = given[keyword]
        reads.append(f"{name} = kwargs[{keyword!r}]")
        if plain[0] == "tensor":
            tests += is_tensor(name, plain, name in unpacked)
            continue
        tests.append(f"type({name}) is {constant(PLAIN_TYPES[plain[-1]])}")
        if keyword in settled:
            tests.append(f"{name} == {constant(settled[keyword])}")
    calls = _calling(straight.owned, passed, known)
    if ranks:
        calls = ["try:", *(f"    {line}" for line in calls), "except ValueError:"]
        calls += [f"    if {' and '.join(ranks)}:", "        raise", "return other(args, kwargs, module)"]
    lines = [
        "try:",
        *(f"    {line}" for line in reads),
        f"    if not ({' and '.join(tests) or 'True'}):",
        "        return other(args, kwargs, module)",
        "except (AttributeError, KeyError, ValueError):",
        "    return other(args, kwargs, module)",
        *calls,
    ]
    source = "def run(args, kwargs, module):\n" + "".join(f"    {line}\n" for line in lines)
    exec(compile(source, "<namedlayers call>", "exec"), known)
    return known["run"]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _calling(owned: Owned | None, passed: Sequence[str], known: dict[str, Any]) -> list[str]:
    """The lines that call the function and return its result."""
    if owned is None:
        return [f"return function({', '.join(passed)})"]
    known |= {"find": owned.find, "keep": owned.run}
    tensors = [f"p{number}" for number in range(len(owned.places.tensors))]
    reads = [f"{name} = {place}" for name, place in zip(tensors, owned.places.tensors, strict=True)]
    lines = ["try:", *(f"    {line}" for line in (*owned.places.tables, *reads))]
    lines += ["except KeyError:", f"    {', '.join(tensors)}, = find(module)"]
    if owned.states:
        pairs = (f"({''.join(f'{one}, ' for one in names)})" for names in (passed, tensors))
        return [*lines, f"return keep(function, {', '.join(pairs)})"]
    return [*lines, f"return function({', '.join([*passed, *tensors])})"]


def _elusive(value: Static) -> bool:
    """Whether equality does not tell it from others, of its type, that mean something else: zeros, what is no number,
    tuples."""
    return value == 0.0 if isinstance(value, float) and value == value else not isinstance(value, (int, str))
