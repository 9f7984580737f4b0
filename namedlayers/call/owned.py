"""What a module supplies to the program of its layer, and what the program gives back to it.

In: a program with parameters and states. Out: an `Owned`: how they are fetched from the module, and how new values of
states are written. What always holds: tensors are looked up anew at each call, where torch keeps them, so that it does
not matter how they came there; states are written after the call, without gradient; a result never shares the
memory of a state that is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from funsor.terms import Binary
from torch import nn

from namedlayers.call.tracing import is_traced
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.program import Input, Program
from namedlayers.program.terms import Leaf, Primitive, Ref
from namedlayers.program.walk import subterms

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Where a module has its tensors: lines that find the tables, and each tensor's place in them."""

    tables: tuple[str, ...]
    tensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Owned:
    """`fetch` takes the tensors out of the module, KeyError where some are not in its tables; `places` are the same as
    Python. `states` are the numbers of those that are written, in the order of the program's last outputs, and `copied`
    of those that run as copies."""

    inputs: tuple[Input, ...]
    places: Places
    fetch: Callable[[nn.Module], Tensors]
    results: int
    states: tuple[int, ...]
    copied: frozenset[int]

    def find(self, module: nn.Module) -> Tensors:
        """The tensors as attributes: what parametrizations compute, for instance."""
        return tuple([_attribute(module, one) for one in self.inputs])

    def run(self, function: Callable[..., Any], given: Sequence[Any], tensors: Tensors) -> Any:
        """The results of the compiled function; the states are written."""
        if not self.states:
            return function(*given, *tensors)
        if self.copied:
            passed = [one.clone() if k in self.copied else one for k, one in enumerate(tensors)]
            found = function(*given, *passed)
        else:
            found = function(*given, *tensors)
        found = found if isinstance(found, tuple) else (found,)
        for number, new in zip(self.states, found[self.results :], strict=True):
            _write(tensors[number], new)
        return found[0] if self.results == 1 else found[: self.results]


def owned(program: Program) -> Owned | None:
    """What the program of a layer needs of its module; None for a definition that owns nothing."""
    inputs = program.owned
    if not inputs:
        return None
    numbers = {one.path: number for number, one in enumerate(inputs)}
    states = tuple(numbers[path] for path in program.writes)
    results = len(program.outputs) - len(states)
    places = _places(inputs)
    return Owned(inputs, places, _fetcher(places), results, states, _copied(program, results, states))


def _attribute(module: nn.Module, one: Input) -> torch.Tensor:
    *above, name = one.path.split(".")
    owner = module
    try:
        for part in above:
            owner = getattr(owner, part)
        found = getattr(owner, name)
    except AttributeError:
        found = None
    if found is None:
        at = f"`{'.'.join(above)}`, a {type(owner).__name__}," if above else "the module"
        raise ArgumentError(
            "NL0537", f"{at} has no `{name}`, which the layer computes with", Label(one.span, "declared here"),
            hint="a part may be replaced by a module that has the same parameters; "
            "what may be absent is an option: `if bias:`",
        )  # fmt: skip
    return found


# --- fetching ---------------------------------------------------------------------------------------------------------


def _fetcher(places: Places) -> Callable[[nn.Module], Tensors]:
    """A function that looks the tensors up one by one."""
    body = [*places.tables, f"return ({', '.join(places.tensors)},)"]
    source = "def fetch(module):\n" + "".join(f"    {line}\n" for line in body)
    namespace: dict[str, Any] = {}
    exec(compile(source, "<namedlayers parameters>", "exec"), namespace)
    return namespace["fetch"]


def _places(inputs: Sequence[Input]) -> Places:
    """There is a line for each module that owns some, and one for each of its tables."""
    names: dict[tuple[str, ...], str] = {(): "module"}
    lines: list[str] = []

    def module(path: tuple[str, ...]) -> str:
        if path not in names:
            above = module(path[:-1])
            names[path] = f"m{len(names)}"
            lines.append(f"{names[path]} = {above}._modules[{path[-1]!r}]")
        return names[path]

    found: list[str] = []
    tables: dict[tuple[tuple[str, ...], str], str] = {}
    for one in inputs:
        *above, name = one.path.split(".")
        kind = "_parameters" if one.role == "param" else "_buffers"
        key = tuple(above), kind
        if key not in tables:
            owner = module(key[0])
            tables[key] = f"t{len(tables)}"
            lines.append(f"{tables[key]} = {owner}.{kind}")
        found.append(f"{tables[key]}[{name!r}]")
    return Places(tuple(lines), tuple(found))


# --- writing ----------------------------------------------------------------------------------------------------------


def _write(state: torch.Tensor, new: torch.Tensor) -> None:
    """Without gradient. (To say so takes torch longer than to copy a state of a few numbers.)"""
    if new.requires_grad or state.requires_grad or is_traced() or torch._C._are_functorch_transforms_active():
        with torch.no_grad():
            state.copy_(new)
    else:
        state.copy_(new)


def _copied(program: Program, results: int, states: Sequence[int]) -> frozenset[int]:
    """The states that run as copies, because they are written while something may still need the old values: a result
    (which may be the very tensor, and whose gradient may), another state, or itself where it is only moved."""
    reads = _reads(program)
    kept = {name for output in program.outputs[:results] for name in reads[output.value]}
    news = program.outputs[results:]
    owned = program.owned
    fresh = {s.name for s in program.statements if isinstance(s.term, Binary)}
    found = set()
    for number in states:
        name = owned[number].name
        for other, output in zip(states, news, strict=True):
            moved = name in reads[output.value] and (other != number or output.value not in fresh)
            if moved or name in kept:
                found.add(number)
    return frozenset(found)


def _reads(program: Program) -> dict[str, frozenset[str]]:
    """The inputs that each value is computed from."""
    found = {one.name: frozenset((one.name,)) for one in program.inputs}
    for statement in program.statements:
        names: set[str] = set()
        for term in subterms(statement.term):
            if isinstance(term, Leaf):
                names.add(term.name)
            elif isinstance(term, Primitive):
                names |= {operand.name for operand in term.operands if isinstance(operand, Ref)}
        found[statement.name] = frozenset().union(*(found[name] for name in names))
    return found
