"""The sides of a workload: every way there is to run it here, by name.

In: a workload. Out: `Sides`. What always holds: a side is left out with a word that says why; the names are those of
`OURS` and so on, and a form by hand has its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

import torch
from torch import Tensor

from tests.benchmarks.workload import Formula, Function, Made, Workload

OURS = "ours"
INDUCTOR = "ours, inductor"
NAIVE = "naive"
COMPILED = ", compiled"
BY_TORCH_COMPILE = (INDUCTOR, COMPILED)


@dataclass
class Sides:
    """`made`: what makes each side, when it is wanted; `left_out`: why others are not there."""

    made: dict[str, Callable[[], Function]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    forward_only: set[str] = field(default_factory=set)


def sides_of(workload: Workload, *, compiled: bool) -> Sides:
    """`compiled`: also those that torch.compile makes."""
    found = Sides()
    made: dict[str, Callable[[], Function]] = {OURS: workload.ours.make}
    plain = dict(workload.by_hand) | ({NAIVE: workload.naive} if workload.naive is not None else {})
    made |= {name: _maker(side) for name, side in plain.items()}
    if compiled and workload.compiled:
        ours = workload.ours
        if isinstance(ours, Formula):
            made[INDUCTOR] = lambda: ours.make(backend="inductor")
        made |= {f"{name}{COMPILED}": _compiling(_maker(side)) for name, side in plain.items()}
    for name, make in made.items():
        if name in workload.left_out:
            found.left_out[name] = workload.left_out[name]
        else:
            found.made[name] = make
    for name, other in workload.others.items():
        try:
            found.made[name] = _maker(other.make())
        except ImportError as error:
            found.left_out[name] = f"{error.name or name} is not installed"
            continue
        if not other.differentiable:
            found.forward_only.add(name)
    return found


def missing(workload: Workload) -> list[str]:
    """The packages that a workload requires and that are not installed."""
    return [package for package in workload.requires if find_spec(package) is None]


def make_all(workload: Workload, sides: Sides) -> dict[str, Function]:
    """All sides as functions; modules that share their parameters have got them."""
    functions = {name: make() for name, make in sides.made.items()}
    share(workload, functions)
    return functions


def share(workload: Workload, functions: Mapping[str, Function]) -> None:
    """Gives modules the parameters of the first form by hand."""
    sharing = {OURS: workload.ours, **workload.by_hand}
    first = functions[next(iter(workload.by_hand))]
    for name, function in functions.items():
        side = sharing.get(name)
        if isinstance(side, Made) and side.shares and function is not first:
            with torch.no_grad():
                for mine, its in zip(parameters(function), parameters(first), strict=True):
                    mine.copy_(its.reshape(mine.shape))


def parameters(function: Function) -> list[Tensor]:
    """What a side owns and learns."""
    return list(function.parameters()) if isinstance(function, torch.nn.Module) else []


def is_compiled(name: str) -> bool:
    """Whether torch.compile makes this side.

    >>> is_compiled("ours, inductor"), is_compiled("naive, compiled"), is_compiled("ours")
    (True, True, False)
    """
    return name.endswith(BY_TORCH_COMPILE)


def _maker(side: Function | Made) -> Callable[[], Function]:
    return side.make if isinstance(side, Made) else lambda: side


def _compiling(make: Callable[[], Function]) -> Callable[[], Function]:
    return lambda: torch.compile(make(), dynamic=False)
